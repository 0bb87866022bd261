"""Whether every won is where the rows say it is: payments, prepayments, promotional credit, and the ledger over them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection

from billing.frozen import DocumentError
from billing.notes import CreditNoteDocument

_PAYMENTS = """
SELECT p.reference, p.amount_krw, p.is_reversed, p.allocated_krw, p.prepaid_krw, p.refunded_krw,
       coalesce((SELECT sum(a.amount_krw + a.exchange_krw) FROM billing_allocation a
                 WHERE a.payment_id = p.id AND NOT EXISTS (
                     SELECT 1 FROM billing_allocationreversal r WHERE r.allocation_id = a.id)), 0),
       coalesce((SELECT sum(s.amount_krw) FROM billing_prepayment s WHERE s.payment_id = p.id), 0)
         - coalesce((SELECT sum(w.amount_krw) FROM billing_prepaymentwithdrawal w
                     JOIN billing_prepayment s ON s.id = w.prepayment_id WHERE s.payment_id = p.id), 0),
       coalesce((SELECT sum(r.amount_krw) FROM billing_refund r WHERE r.payment_id = p.id), 0),
       EXISTS (SELECT 1 FROM billing_paymentreversal v WHERE v.payment_id = p.id)
FROM billing_payment p
"""

# Dollars: whether their won are at their rate, and what was allocated of them by the dollar.
_DOLLARS = """
SELECT p.reference, p.received_usd, p.amount_krw, round(p.received_usd * p.rate_krw_per_usd) = p.amount_krw,
       p.allocated_usd, coalesce(sum(a.allocated_usd), 0)
FROM billing_payment p LEFT JOIN billing_allocation a ON a.payment_id = p.id AND NOT EXISTS (
    SELECT 1 FROM billing_allocationreversal r WHERE r.allocation_id = a.id)
WHERE p.currency = 'USD' GROUP BY p.id
"""

# Dollars that paid an invoice by the dollar: both are in dollars, and they are within a cent of the won they settled.
_BY_THE_DOLLAR = """
SELECT a.id, a.amount_krw, a.allocated_usd, coalesce(p.currency = 'USD' AND i.currency = 'USD'
       AND abs(a.amount_krw * i.total_usd - a.allocated_usd * i.total_krw) <= i.total_krw / 100.0, false)
FROM billing_allocation a JOIN billing_invoice i ON i.id = a.invoice_id LEFT JOIN billing_payment p ON p.id = a.payment_id
WHERE a.allocated_usd IS NOT NULL
"""

_PREPAYMENTS = """
SELECT s.id, s.amount_krw, s.consumed_krw, s.refunded_krw, s.withdrawn_krw,
       coalesce((SELECT sum(a.amount_krw) FROM billing_allocation a WHERE a.prepayment_id = s.id AND NOT EXISTS (
           SELECT 1 FROM billing_allocationreversal r WHERE r.allocation_id = a.id)), 0),
       coalesce((SELECT sum(r.amount_krw) FROM billing_refund r WHERE r.prepayment_id = s.id), 0),
       coalesce((SELECT sum(w.amount_krw) FROM billing_prepaymentwithdrawal w WHERE w.prepayment_id = s.id), 0)
FROM billing_prepayment s
"""

_INVOICES = """
SELECT i.id, i.number, i.status, i.total_krw, i.allocated_krw,
       coalesce((SELECT sum(a.amount_krw) FROM billing_allocation a WHERE a.invoice_id = i.id AND NOT EXISTS (
           SELECT 1 FROM billing_allocationreversal r WHERE r.allocation_id = a.id)), 0)
FROM billing_invoice i WHERE i.status <> 'draft'
"""

_CREDIT_NOTES = """
SELECT n.number, n.supply_krw, n.vat_krw, n.total_krw,
       coalesce((SELECT sum(l.amount_krw) FROM billing_creditnoteline l WHERE l.credit_note_id = n.id), 0),
       coalesce((SELECT sum(a.amount_krw) FROM billing_allocation a WHERE a.credit_note_id = n.id AND NOT EXISTS (
           SELECT 1 FROM billing_allocationreversal r WHERE r.allocation_id = a.id)), 0),
       EXISTS (SELECT 1 FROM billing_creditnoteline l JOIN billing_invoiceline i ON i.id = l.invoice_line_id
               WHERE l.credit_note_id = n.id AND (i.invoice_id <> n.invoice_id OR i.amount_krw - i.discount_krw
                   - i.promotion_krw < (
                   SELECT sum(o.amount_krw) FROM billing_creditnoteline o WHERE o.invoice_line_id = i.id)))
       OR (SELECT sum(o.vat_krw) FROM billing_creditnote o WHERE o.invoice_id = n.invoice_id)
          > (SELECT i.vat_krw FROM billing_invoice i WHERE i.id = n.invoice_id)
FROM billing_creditnote n
"""

# An invoice that was corrected: what its tax invoices come to together, and what is left of it. One that was withdrawn says
# nothing to the tax office, and those of a void invoice cancel out.
_AMENDED = """
WITH corrected AS (
    SELECT i.id, i.number, i.status, i.supply_krw, i.vat_krw,
           coalesce((SELECT sum(n.supply_krw) FROM billing_creditnote n WHERE n.invoice_id = i.id), 0) AS note_supply,
           coalesce((SELECT sum(n.vat_krw) FROM billing_creditnote n WHERE n.invoice_id = i.id), 0) AS note_vat
    FROM billing_invoice i
    WHERE i.status = 'void' OR EXISTS (SELECT FROM billing_creditnote n WHERE n.invoice_id = i.id)
       OR EXISTS (SELECT FROM billing_taxinvoice t WHERE t.corrects_id = i.id)
)
SELECT c.number, CASE c.status WHEN 'void' THEN 0 ELSE c.supply_krw - c.note_supply END,
       CASE c.status WHEN 'void' THEN 0 ELSE c.vat_krw - c.note_vat END,
       coalesce(sum(t.supply_krw), 0), coalesce(sum(t.vat_krw), 0)
FROM corrected c
LEFT JOIN billing_taxinvoice t ON (t.invoice_id = c.id OR t.corrects_id = c.id) AND t.status <> 'withdrawn'
GROUP BY c.id, c.number, c.status, c.supply_krw, c.vat_krw, c.note_supply, c.note_vat
"""

# Amendments that nobody brings to the tax office, or that amend a document with none there to amend.
_LOST_AMENDMENTS = """
SELECT t.provider_key FROM billing_taxinvoice t WHERE t.corrects_id IS NOT NULL AND (
    NOT EXISTS (SELECT FROM billing_delivery d WHERE d.tax_invoice_id = t.id)
    OR EXISTS (SELECT FROM billing_taxinvoice o WHERE o.id = t.amends_id AND o.status = 'withdrawn'))
"""

_NOTE_DOCUMENTS = """
SELECT n.number, i.number, n.supply_krw, n.vat_krw, n.total_krw, n.amendment_code, n.issued_on, n.document
FROM billing_creditnote n JOIN billing_invoice i ON i.id = n.invoice_id
"""

_CREDITS = """
SELECT c.id, c.amount_krw, c.used_krw, c.expired_krw, c.voided_krw,
       coalesce(sum(CASE m.kind WHEN 'used' THEN m.amount_krw WHEN 'returned' THEN -m.amount_krw END), 0),
       coalesce(sum(m.amount_krw) FILTER (WHERE m.kind = 'expired'), 0),
       coalesce(sum(m.amount_krw) FILTER (WHERE m.kind = 'voided'), 0)
FROM billing_promotionalcredit c LEFT JOIN billing_promotionalcreditmove m ON m.credit_id = c.id GROUP BY c.id
"""

_CREDIT_LINES = """
WITH shown AS (
    SELECT l.invoice_id, l.promotional_credit_id AS credit_id, -l.amount_krw AS won
    FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id
    WHERE l.kind = 'promotion' AND i.status IN ('issued', 'paid')
), used AS (
    SELECT m.invoice_id, m.credit_id,
           sum(CASE m.kind WHEN 'used' THEN m.amount_krw ELSE -m.amount_krw END) AS won
    FROM billing_promotionalcreditmove m WHERE m.kind IN ('used', 'returned') GROUP BY 1, 2
)
SELECT coalesce(s.invoice_id, u.invoice_id), coalesce(s.credit_id, u.credit_id), coalesce(s.won, 0), coalesce(u.won, 0)
FROM shown s FULL JOIN used u USING (invoice_id, credit_id)
"""

# What each customer's accounts must show: what invoices, payments and prepayments leave open. Unknown payers stand as 0.
_BALANCES = """
WITH booked AS (
    SELECT coalesce(customer_id, 0) AS customer_id, account, sum(amount) AS won FROM billing_ledgerentry
    WHERE currency = 'KRW' AND account IN ('receivable', 'unapplied', 'prepayments') GROUP BY 1, 2
), stand AS (
    SELECT customer_id, 'receivable' AS account, sum(total_krw - allocated_krw) AS won FROM billing_invoice
    WHERE status IN ('issued', 'paid') GROUP BY 1
    UNION ALL
    SELECT coalesce(customer_id, 0), 'unapplied', -sum(amount_krw - allocated_krw - prepaid_krw - refunded_krw)
    FROM billing_payment WHERE NOT is_reversed GROUP BY 1
    UNION ALL
    SELECT customer_id, 'prepayments', -sum(amount_krw - consumed_krw - refunded_krw - withdrawn_krw)
    FROM billing_prepayment GROUP BY 1
)
SELECT coalesce(b.customer_id, s.customer_id), coalesce(b.account, s.account), coalesce(b.won, 0), coalesce(s.won, 0)
FROM booked b FULL JOIN stand s USING (customer_id, account)
"""

_REVERSALS = """
SELECT t.id, t.reverses_id FROM billing_ledgertransaction t WHERE t.reverses_id IS NOT NULL AND EXISTS (
    SELECT account, customer_id, currency, sum(amount) FROM billing_ledgerentry
    WHERE transaction_id IN (t.id, t.reverses_id) GROUP BY 1, 2, 3 HAVING sum(amount) <> 0)
"""

# What one row says that moved, and what its transaction books on that account.
_CAUSES = """
SELECT c.what, c.id, c.won, coalesce(sum(e.amount), 0)
FROM (
    SELECT 'payment' AS what, id, ledger_transaction_id, CASE currency WHEN 'USD' THEN 'bank_usd' ELSE 'bank' END AS account,
           amount_krw AS won FROM billing_payment
    UNION ALL SELECT 'allocation', id, ledger_transaction_id, 'receivable', -amount_krw FROM billing_allocation
    UNION ALL SELECT 'exchange gain', id, ledger_transaction_id, 'exchange_difference', -exchange_krw
        FROM billing_allocation WHERE allocated_usd IS NOT NULL
    UNION ALL SELECT 'prepayment', id, ledger_transaction_id, 'prepayments', -amount_krw FROM billing_prepayment
    UNION ALL SELECT 'withdrawal', id, ledger_transaction_id, 'prepayments', amount_krw
        FROM billing_prepaymentwithdrawal
    UNION ALL SELECT 'refund', r.id, r.ledger_transaction_id, CASE p.currency WHEN 'USD' THEN 'bank_usd' ELSE 'bank' END,
           -r.amount_krw
        FROM billing_refund r LEFT JOIN billing_prepayment s ON s.id = r.prepayment_id
        JOIN billing_payment p ON p.id = coalesce(r.payment_id, s.payment_id)
    UNION ALL SELECT 'upstream payment', id, ledger_transaction_id, 'bank', -amount_krw FROM billing_upstreampayment
    UNION ALL SELECT 'upstream accrual', id, ledger_transaction_id, 'cost_of_sales', cost_krw
        FROM billing_upstreamaccrual
) c
LEFT JOIN billing_ledgerentry e
       ON e.transaction_id = c.ledger_transaction_id AND e.account = c.account AND e.currency = 'KRW'
GROUP BY 1, 2, 3
"""


def payments_add_up() -> Iterator[str | None]:
    """Payments, prepayments and invoices: the sums that stand on them are those of the rows, and none is overspent."""
    for reference, amount, is_reversed, *sums in _rows(_PAYMENTS):
        said, counted, has_reversal = sums[:3], sums[3:6], sums[6]
        holds = said == counted and sum(said) <= amount and is_reversed == has_reversal
        yield None if holds else f"payment {reference}: says {said} of {amount}, its rows say {counted}"
    for reference, received, amount, is_at_rate, *allocated in _rows(_DOLLARS):
        holds = is_at_rate and allocated[0] == allocated[1] <= received
        yield (
            None
            if holds
            else f"payment {reference}: USD {received} for {amount}, says {allocated[0]} allocated, not {allocated[1]}"
        )
    for pk, won, usd, holds in _rows(_BY_THE_DOLLAR):
        yield None if holds else f"allocation {pk}: USD {usd} settle {won} won"
    for pk, amount, *sums in _rows(_PREPAYMENTS):
        holds = sums[:3] == sums[3:] and sum(sums[:3]) <= amount
        yield None if holds else f"prepayment {pk}: says {sums[:3]} of {amount}, its rows say {sums[3:]}"
    for pk, number, status, total, said, counted in _rows(_INVOICES):
        holds = said == counted and 0 <= said <= total and (status == "paid") == (said == total and status != "void")
        yield None if holds else f"{number or pk}: {status}, {said} of {total} settled, its rows say {counted}"


def credits_add_up() -> Iterator[str | None]:
    """Promotional credit: granted = remaining + used + expired + voided, and what was used stands on invoice lines."""
    for pk, amount, *sums in _rows(_CREDITS):
        holds = sums[:3] == sums[3:] and min(sums) >= 0 and sum(sums[:3]) <= amount
        yield None if holds else f"promotional credit {pk}: says {sums[:3]} of {amount}, its rows say {sums[3:]}"
    for invoice, credit, shown, used in _rows(_CREDIT_LINES):
        yield None if shown == used else f"invoice {invoice} takes {shown} won of credit {credit} off and used {used}"


def credit_notes_add_up() -> Iterator[str | None]:
    """Credit notes: their lines add up, none takes more than there was, each has settled its invoice with its own won."""
    for number, supply, vat, total, lines, settled, over in _rows(_CREDIT_NOTES):
        holds = supply == lines and supply + vat == total == settled and not over
        yield None if holds else f"{number}: {supply} + {vat} = {total}, its lines say {lines}, it settled {settled}"


def tax_amendments_add_up() -> Iterator[str | None]:
    """What the tax office is told of a corrected invoice comes to what is left of it, and every amendment is on its way."""
    for number, supply, vat, told_supply, told_vat in _rows(_AMENDED):
        holds = (supply, vat) == (told_supply, told_vat)
        yield None if holds else f"{number}: {supply} + {vat} are left, its tax invoices say {told_supply} + {told_vat}"
    for (key,) in _rows(_LOST_AMENDMENTS):
        yield f"tax invoice {key} amends what never was, or has no delivery"


def note_documents_hold() -> Iterator[str | None]:
    """The document of every credit note says what the note says."""
    for number, invoice, *amounts, code, issued_on, raw in _rows(_NOTE_DOCUMENTS):
        try:
            document = CreditNoteDocument.from_json(json.loads(raw) if isinstance(raw, str) else raw)
        except DocumentError as error:
            yield f"{number}: document does not hold: {error}"
            continue
        said = [document.supply_krw, document.vat_krw, document.total_krw]
        named = (document.number, document.invoice_number, document.amendment_code, document.issued_on)
        holds = said == amounts and named == (number, invoice, code, issued_on)
        yield None if holds else f"{number}: its document says {named} of {said}"


def balances_agree() -> Iterator[str | None]:
    """The ledger shows what the rows leave open, reversals mirror what they reverse, and each row is booked as it says."""
    for customer, account, booked, stand in _rows(_BALANCES):
        yield None if booked == stand else f"customer {customer}: {account} is booked at {booked}, the rows say {stand}"
    for reversal, original in _rows(_REVERSALS):
        yield f"transaction {reversal} does not mirror {original}"
    for what, pk, won, booked in _rows(_CAUSES):
        yield None if won == booked else f"{what} {pk} of {won} won is booked as {booked}"


def _rows(statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[Any] = cursor.fetchall()
    return rows
