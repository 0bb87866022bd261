"""Whether the books hold (DESIGN section 6, items 2 and 4 to 7), read from the data as it is. Repairs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import connection
from django.db.models import Sum

from billing.audit.discounts import discounts_are_taken_as_agreed
from billing.audit.dollars import dollars_are_the_won
from billing.audit.minimums import minimums_are_charged
from billing.audit.money import (
    balances_agree,
    credit_notes_add_up,
    credits_add_up,
    note_documents_hold,
    payments_add_up,
    tax_amendments_add_up,
)
from billing.audit.terms import lines_sell_on_their_terms
from billing.audit.zero_rates import zero_rates_have_evidence
from billing.documents import InvoiceDocument
from billing.frozen import DocumentError
from billing.models import Invoice
from catalog.money import Rounding, round_won, vat_won
from usage.audit import CheckResult, check_usage

#: The triggers without which the database would let history change: (table, trigger).
GUARDS = [
    ("accounts_auditentry", "rows_are_never_changed"),
    ("accounts_taxprofile", "rows_are_never_changed"),
    ("accounts_sellerprofile", "rows_are_never_changed"),
    ("catalog_price", "price_is_history"),
    ("usage_event", "rows_are_never_changed"),
    ("usage_event_key", "rows_are_never_changed"),
    ("usage_quarantinedevent", "quarantine_is_resolved_once"),
    ("usage_upstreamcharge", "rows_are_never_changed"),
    ("usage_upstreamday", "rows_are_never_changed"),
    ("usage_activityestimate", "estimate_is_taken_back_once"),
    ("usage_usagearchive", "archive_stays"),
    ("usage_withdrawnevent", "rows_are_never_changed"),
    ("usage_event_alias", "rows_are_never_changed"),
    ("usage_usagerollup", "unbilled_follows_inserts"),
    ("usage_usagerollup", "unbilled_follows_updates"),
    ("usage_usagerollup", "unbilled_follows_deletes"),
    ("usage_billingperiod", "spending_follows_close"),
    ("usage_billingperiod", "spending_follows_closed_from_the_start"),
    ("accounts_customer", "customer_has_a_spending_account"),
    ("billing_ledgerentry", "spending_follows_ledger"),
    ("usage_billingperiod", "closed_period_stays"),
    ("billing_invoice", "issued_invoice_never_changes"),
    ("billing_invoice", "invoice_begins_as_draft"),
    ("billing_invoiceline", "issued_lines_never_change"),
    ("billing_numbersequence", "sequence_counts_up_by_one"),
    ("billing_ledgerentry", "ledger_transaction_sums_to_zero"),
    ("billing_ledgerentry", "rows_are_never_changed"),
    ("billing_ledgertransaction", "rows_are_never_changed"),
    ("billing_taxinvoice", "tax_invoice_keeps_its_content"),
    ("billing_taxinvoiceattempt", "attempt_is_answered_once"),
    ("billing_delivery", "delivery_stays_made"),
    ("billing_marginrule", "margin_rule_is_history"),
    ("billing_discount", "discount_is_history"),
    ("billing_monthlyminimum", "monthly_minimum_is_history"),
    ("billing_zerorating", "zero_rating_is_history"),
    ("billing_invoice", "zero_rating_is_in_force"),
    ("billing_invoiceline", "discount_is_of_the_customer"),
    ("billing_exchangerate", "rows_are_never_changed"),
    ("billing_invoicepdf", "rows_are_never_changed"),
    ("billing_invoicestatement", "rows_are_never_changed"),
    ("billing_payment", "payment_stays_as_received"),
    ("billing_prepayment", "prepayment_moves_by_its_rows"),
    ("billing_promotionalcredit", "promotional_credit_moves_by_its_rows"),
    ("billing_allocation", "allocation_is_summed"),
    ("billing_allocationreversal", "allocation_reversal_is_summed"),
    ("billing_paymentreversal", "payment_reversal_is_noted"),
    ("billing_prepayment", "prepayment_is_summed"),
    ("billing_prepaymentwithdrawal", "withdrawal_is_summed"),
    ("billing_refund", "refund_is_summed"),
    ("billing_promotionalcreditmove", "promotion_move_is_summed"),
    ("billing_creditnoteline", "credit_note_adds_up"),
    ("billing_pricecorrection", "price_correction_is_decided_once"),
    *(
        (f"billing_{table}", "rows_are_never_changed")
        for table in (
            "allocation",
            "allocationreversal",
            "creditnote",
            "creditnoteline",
            "creditnotepdf",
            "deliverybounce",
            "invoicevoid",
            "paymentassignment",
            "paymentreversal",
            "prepaymentwithdrawal",
            "promotionalcreditmove",
            "refund",
            "upstreamaccrual",
            "upstreampayment",
        )
    ),
]

#: Checks of the apps above, which `check_books` cannot import: they add theirs when Django starts.
_MORE: list[Callable[[], list[CheckResult]]] = []


def add_checks(checks: Callable[[], list[CheckResult]]) -> None:
    """Let `check_books` run these as well, at its end."""
    _MORE.append(checks)


def check_books() -> list[CheckResult]:
    """Every check in the order of DESIGN section 6."""
    return [
        *check_usage(),
        _run("events_are_on_lines", _events_on_lines),
        _run("amounts_agree", _amounts_agree),
        _run("lines_sell_on_their_terms", lines_sell_on_their_terms),
        _run("discounts_are_taken_as_agreed", discounts_are_taken_as_agreed),
        _run("minimums_are_charged", minimums_are_charged),
        _run("zero_rates_have_evidence", zero_rates_have_evidence),
        _run("dollars_are_the_won", dollars_are_the_won),
        _run("one_invoice_per_month", _one_invoice_each),
        _run("numbers_are_gapless", _numbers_are_gapless),
        _run("guards_stand", _guards_stand),
        _run("ledger_balances", _ledger_balances),
        _run("invoices_are_posted", _invoices_are_posted),
        _run("payments_add_up", payments_add_up),
        _run("credits_add_up", credits_add_up),
        _run("credit_notes_add_up", credit_notes_add_up),
        _run("credit_note_documents_hold", note_documents_hold),
        _run("tax_amendments_add_up", tax_amendments_add_up),
        _run("balances_agree", balances_agree),
        *(result for checks in _MORE for result in checks()),
    ]


def _run(name: str, check: Callable[[], Iterator[str | None]]) -> CheckResult:
    """Collect a check's findings: it yields None for everything in order and a sentence for everything that is not."""
    checked, violations = 0, []
    for finding in check():
        checked += 1
        if finding is not None:
            violations.append(finding)
    return CheckResult(name=name, checked=checked, violations=violations)


EVENTS_AGAINST_LINES = """
WITH used AS (
    SELECT customer_id, billing_month, date_trunc('month', day::timestamp)::date AS month, model_id,
           sum(requests) AS requests, sum(cost_usd) AS cost_usd, sum(upstream_basis_usd) AS upstream,
           sum(higher_basis_usd) AS higher
    FROM usage_usagerollup GROUP BY 1, 2, 3, 4
), billed AS (
    SELECT i.customer_id, i.month AS billing_month, l.month, l.model_id, l.requests, l.cost_usd, i.number,
           l.basis, coalesce(l.basis_usd, l.cost_usd) AS sold_usd
    FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id
    WHERE i.status IN ('issued', 'paid') AND l.model_id IS NOT NULL
)
SELECT coalesce(u.customer_id, b.customer_id), coalesce(u.billing_month, b.billing_month), b.number,
       coalesce(u.model_id, b.model_id), p.status, p.outcome, u.requests, b.requests, u.cost_usd, b.cost_usd,
       b.sold_usd = CASE b.basis WHEN 'upstream' THEN u.upstream WHEN 'higher' THEN u.higher ELSE u.cost_usd END,
       b.number IS NULL AND EXISTS (
           SELECT FROM billing_invoice v JOIN billing_invoicevoid d ON d.invoice_id = v.id
           WHERE v.customer_id = u.customer_id AND v.month = u.billing_month AND d.amendment_code <> '01') AS is_given_up
FROM used u
FULL JOIN billed b USING (customer_id, billing_month, month, model_id)
LEFT JOIN usage_billingperiod p
       ON p.customer_id = coalesce(u.customer_id, b.customer_id)
      AND p.month = coalesce(u.billing_month, b.billing_month)
"""


def _events_on_lines() -> Iterator[str | None]:
    """Rollups (item 3 holds them against the raw events) against lines: billed exactly once, or rightly not at all."""
    with connection.cursor() as cursor:
        cursor.execute(EVENTS_AGAINST_LINES)
        for customer, month, number, model, status, outcome, used, billed, cost, line_cost, is_sold, given_up in cursor:
            where = f"customer {customer}, {month:%Y-%m}, model {model}"
            if given_up:
                # Voided with a reason that ends the matter (contract cancelled, billed twice), not to be issued anew.
                yield None
            elif status == "closed" and outcome == "invoiced":
                if number is None:
                    yield f"{where}: {used} events on USD {cost} are on no invoice in force: issue the void one anew"
                elif used != billed or cost != line_cost:
                    yield f"{where}: {used} events on USD {cost}, invoice {number} says {billed} on {line_cost}"
                else:
                    yield None if is_sold else f"{where}: invoice {number} sells another amount than its basis comes to"
            elif status == "closed" and outcome == "no_usage":
                yield f"{where}: {used} events in a month that was closed as without usage"
            else:
                yield (
                    None
                    if billed is None
                    else f"{where}: invoice {number} bills a month that is not closed as invoiced"
                )


def _amounts_agree() -> Iterator[str | None]:
    """Line sums, the one rounding recomputed from the stored evidence, the frozen document and the tax invoice."""
    invoices = (
        Invoice.objects.exclude(status=Invoice.Status.DRAFT)
        .select_related("tax_invoice")
        .annotate(lines_krw=Sum("lines__amount_krw"), lines_usd=Sum("lines__cost_usd"))
    )
    for invoice in invoices.iterator():
        yield _amounts_finding(invoice)


def _amounts_finding(invoice: Invoice) -> str | None:
    amounts = (invoice.supply_krw, invoice.vat_krw, invoice.total_krw)
    if invoice.lines_krw != invoice.supply_krw or invoice.lines_usd != invoice.cost_usd:  # type: ignore[attr-defined]
        return f"{invoice.number}: lines add up to another amount"
    try:
        document = InvoiceDocument.from_json(invoice.document or {})
    except DocumentError as error:
        return f"{invoice.number}: document does not hold: {error}"
    if (document.supply_krw, document.vat_krw, document.total_krw, document.cost_usd) != (*amounts, invoice.cost_usd):
        return f"{invoice.number}: the document says other amounts than the invoice"
    said = (document.number, document.month, document.margin, document.exchange.rate, document.rounding)
    if said != (invoice.number, f"{invoice.month:%Y-%m}", invoice.margin, invoice.exchange_rate, invoice.rounding):
        return f"{invoice.number}: the document names another number, month, margin, rate or rounding than the invoice"
    usage = round_won(document.exact_supply_krw, Rounding(invoice.rounding))
    supply = usage - document.discount_krw + document.shortfall_krw - document.promotion_krw
    vat = 0 if invoice.zero_rating_id else vat_won(supply, Rounding(invoice.rounding))
    if (supply, vat) != amounts[:2]:
        return f"{invoice.number}: recomputed supply {supply}, issued {amounts[0]} + {amounts[1]}"
    tax = getattr(invoice, "tax_invoice", None)
    if tax is None:
        # What was given away as a whole is no taxable supply.
        return None if amounts[0] == 0 else f"{invoice.number}: has no tax invoice record"
    if (tax.supply_krw, tax.vat_krw, tax.total_krw) != amounts:
        return f"{invoice.number}: the tax invoice says {tax.supply_krw} + {tax.vat_krw} = {tax.total_krw}"
    return None


def _one_invoice_each() -> Iterator[str | None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT customer_id, month, count(*) FROM billing_invoice WHERE status <> 'void' GROUP BY 1, 2")
        for customer, month, count in cursor:
            yield None if count == 1 else f"customer {customer} has {count} invoices for {month:%Y-%m}"


def _numbers_are_gapless() -> Iterator[str | None]:
    """In each series the numbers run from 1 to the last one given, each once."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT s.series, s.last_number, count(i.number), min(right(i.number, -length(s.series) - 1)::int),
                   max(right(i.number, -length(s.series) - 1)::int)
            FROM billing_numbersequence s LEFT JOIN (
                SELECT number FROM billing_invoice UNION ALL SELECT number FROM billing_creditnote
            ) i ON i.number LIKE s.series || '-%'
            GROUP BY s.series, s.last_number
            """
        )
        for series, last, count, lowest, highest in cursor:
            whole = count == last and (last == 0 or (lowest == 1 and highest == last))
            yield None if whole else f"series {series}: {count} documents up to number {highest}, last given {last}"
        cursor.execute(
            "SELECT number FROM (SELECT number FROM billing_invoice UNION ALL SELECT number FROM billing_creditnote) "
            "AS given WHERE number IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM billing_numbersequence WHERE number LIKE series || '-%')"
        )
        for (number,) in cursor:
            yield f"{number} belongs to no series"


def _guards_stand() -> Iterator[str | None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"
        )
        standing = set(cursor.fetchall())
        # A partition's copy of a guard can be switched off on its own.
        cursor.execute(
            """
            SELECT i.inhrelid::regclass::text FROM pg_inherits i
            WHERE i.inhparent = 'usage_event'::regclass AND NOT EXISTS (
                SELECT 1 FROM pg_trigger t WHERE t.tgrelid = i.inhrelid AND t.tgname = 'rows_are_never_changed'
                AND t.tgenabled IN ('O', 'A'))
            """
        )
        unguarded = [row[0] for row in cursor]
    for table, trigger in GUARDS:
        yield None if (table, trigger) in standing else f"trigger {trigger} on {table} is missing or disabled"
    for partition in unguarded:
        yield f"trigger rows_are_never_changed on {partition} is missing or disabled"


def _ledger_balances() -> Iterator[str | None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT transaction_id, currency, sum(amount) FROM billing_ledgerentry GROUP BY transaction_id, currency"
        )
        for transaction_id, currency, balance in cursor:
            yield None if balance == 0 else f"transaction {transaction_id} is out by {balance} {currency}"


def _invoices_are_posted() -> Iterator[str | None]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT i.number, i.total_krw, i.supply_krw, i.vat_krw,
                   coalesce(sum(e.amount) FILTER (WHERE e.account = 'receivable'), 0),
                   coalesce(-sum(e.amount) FILTER (WHERE e.account IN ('revenue', 'discounts', 'promotions')), 0),
                   coalesce(-sum(e.amount) FILTER (WHERE e.account = 'vat_payable'), 0)
            FROM billing_invoice i
            LEFT JOIN billing_ledgertransaction t ON t.invoice_id = i.id AND t.kind = 'invoice_issued'
            LEFT JOIN billing_ledgerentry e ON e.transaction_id = t.id
            WHERE i.status <> 'draft' GROUP BY i.id
            """
        )
        for number, total, supply, vat, receivable, revenue, payable in cursor:
            posted = (receivable, revenue, payable) == (total, supply, vat)
            yield None if posted else f"{number}: posted {receivable} = {revenue} + {payable}"
