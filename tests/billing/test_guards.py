"""The database itself refuses what the code must never do. Every attempt here is raw SQL, past all our code."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from billing.models import Invoice, LedgerTransaction
from tests.billing.month import DOLLAR, NOW, close, open_house, tenant, use

pytestmark = pytest.mark.django_db

RESTRICTED = "23001"
CHECK, UNIQUE, EXCLUSION = "23514", "23505", "23P01"


@pytest.fixture
def issued() -> Invoice:
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    use(customer, DOLLAR, model="acme/gone")
    customer2 = tenant("second")
    use(customer2, DOLLAR)
    close()
    return Invoice.objects.get()


def refused(statement: str, *, code: str = RESTRICTED) -> None:
    """The statement fails with that SQLSTATE, at the latest when the transaction would commit."""
    with pytest.raises(IntegrityError) as refusal, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount != 0, "the statement met no row, so nothing was tried"
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert refusal.value.__cause__.sqlstate == code  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_invoice SET total_krw = total_krw + 1, vat_krw = vat_krw + 1",
        "UPDATE billing_invoice SET number = 'INV-202610-9999'",
        "UPDATE billing_invoice SET document = '{}'",
        "UPDATE billing_invoice SET status = 'draft', number = NULL",
        "DELETE FROM billing_invoice",
        "UPDATE billing_invoiceline SET amount_krw = 1",
        "DELETE FROM billing_invoiceline",
        "INSERT INTO billing_invoiceline (invoice_id, position, kind, month, model_id, model_name, requests, prompt_tokens,"
        " cache_read_tokens, completion_tokens, cost_usd, amount_krw)"
        " SELECT invoice_id, 99, kind, month - interval '1 month', model_id, model_name, 1, 1, 0, 0, 0, 0"
        " FROM billing_invoiceline",
        "UPDATE usage_event SET cost_usd = 0 WHERE cost_usd IS NOT NULL",
        "DELETE FROM usage_event",
        "UPDATE usage_event_2026_10 SET cost_usd = 0 WHERE cost_usd IS NOT NULL",
        "DELETE FROM usage_event_2026_10",
        "DELETE FROM usage_event_key",
        "UPDATE usage_quarantinedevent SET billing_month = '2030-01-01'",
        "DELETE FROM usage_quarantinedevent",
        "UPDATE usage_billingperiod SET status = 'open', outcome = '', closed_at = NULL WHERE status = 'closed'",
        "UPDATE catalog_price SET components = '{\"prompt\": \"9\"}' WHERE kind = 'listed'",
        "DELETE FROM catalog_price",
        "UPDATE billing_ledgerentry SET amount = amount * 2",
        "DELETE FROM billing_ledgerentry",
        "DELETE FROM billing_ledgertransaction",
        "UPDATE billing_taxinvoice SET supply_krw = supply_krw + 1, total_krw = total_krw + 1",
        "DELETE FROM billing_taxinvoice",
        "UPDATE billing_exchangerate SET rate = 1000",
        "UPDATE billing_marginrule SET margin = 0",
        "UPDATE billing_numbersequence SET last_number = last_number + 2",
        "DELETE FROM billing_numbersequence",
        "UPDATE accounts_taxprofile SET name = 'x'",
        "DELETE FROM accounts_auditentry",
        "DELETE FROM billing_delivery",
    ],
)
def test_history_never_changes(issued: Invoice, statement: str) -> None:
    refused(statement)


@pytest.mark.parametrize(
    "table",
    [
        "usage_event",
        "usage_event_2026_10",
        "usage_event_key",
        "billing_invoiceline",
        "billing_ledgerentry",
        "catalog_price",
    ],
)
def test_tables_are_never_truncated(issued: Invoice, table: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # pending events would refuse TRUNCATE for another reason
        cursor.execute(f"TRUNCATE {table} CASCADE")


def test_a_second_invoice_for_the_month_is_refused(issued: Invoice) -> None:
    refused(
        "INSERT INTO billing_invoice (customer_id, period_id, month, status, locale, cost_usd, exchange_rule, exchange_rate,"
        " exchange_evidence, margin, rounding, supply_krw, vat_krw, total_krw, created_at)"
        " SELECT customer_id, period_id, month, 'draft', locale, cost_usd, exchange_rule, exchange_rate, exchange_evidence,"
        " margin, rounding, supply_krw, vat_krw, total_krw, created_at FROM billing_invoice",
        code=UNIQUE,
    )


def test_a_total_that_is_not_the_sum_is_refused(issued: Invoice) -> None:
    refused(
        "INSERT INTO billing_invoice (customer_id, period_id, month, status, locale, cost_usd, exchange_rule, exchange_rate,"
        " exchange_evidence, margin, rounding, supply_krw, vat_krw, total_krw, created_at)"
        " SELECT customer_id, period_id, '2020-01-01', 'draft', locale, cost_usd, exchange_rule, exchange_rate,"
        " exchange_evidence, margin, rounding, 100, 10, 111, created_at FROM billing_invoice",
        code=CHECK,
    )


def test_an_invoice_without_a_rate_is_refused(issued: Invoice) -> None:
    refused(
        "INSERT INTO billing_invoice (customer_id, period_id, month, status, locale, cost_usd, exchange_rule, exchange_rate,"
        " exchange_evidence, margin, rounding, supply_krw, vat_krw, total_krw, created_at)"
        " SELECT customer_id, period_id, '2020-01-01', 'draft', locale, cost_usd, exchange_rule, NULL,"
        " exchange_evidence, margin, rounding, 100, 10, 110, created_at FROM billing_invoice",
        code=CHECK,
    )


def test_issuing_lines_that_do_not_add_up_is_refused(issued: Invoice) -> None:
    refused(
        "WITH draft AS (INSERT INTO billing_invoice (customer_id, period_id, month, status, locale, cost_usd, exchange_rule,"
        " exchange_rate, exchange_evidence, margin, rounding, supply_krw, vat_krw, total_krw, created_at)"
        " SELECT customer_id, period_id, '2020-01-01', 'draft', locale, cost_usd, exchange_rule, exchange_rate,"
        " exchange_evidence, margin, rounding, supply_krw, vat_krw, total_krw, created_at FROM billing_invoice RETURNING id)"
        " SELECT id FROM draft;"
        " UPDATE billing_invoice SET status = 'issued', number = 'INV-1', issued_at = now(), issued_on = now(),"
        " due_on = now(), document = '{}' WHERE status = 'draft'"
    )


def test_overlapping_prices_are_refused(issued: Invoice) -> None:
    refused(
        "INSERT INTO catalog_price (model_id, kind, effective_from, components, overrides, listed_pricing,"
        " quarantine_code, quarantine_reason, source, created_at, created_by)"
        " SELECT model_id, kind, effective_from + interval '1 day', components, overrides, listed_pricing,"
        " '', '', source, created_at, created_by FROM catalog_price WHERE kind = 'listed'",
        code=EXCLUSION,
    )


@pytest.mark.parametrize("price", ["-0.1", "NaN", "1e-6", "Infinity", "", "１"])
def test_a_price_that_is_no_plain_decimal_is_refused(issued: Invoice, price: str) -> None:
    refused(
        "INSERT INTO catalog_price (model_id, kind, effective_from, effective_to, components, overrides, listed_pricing,"
        " quarantine_code, quarantine_reason, source, created_at, created_by)"
        f" SELECT model_id, kind, '2001-01-01', '2001-02-01', '{{\"prompt\": \"{price}\"}}', overrides, listed_pricing,"
        " '', '', source, created_at, created_by FROM catalog_price WHERE kind = 'listed'",
        code=CHECK,
    )


def test_a_ledger_transaction_that_does_not_balance_is_refused_at_commit(issued: Invoice) -> None:
    posted = LedgerTransaction.objects.get()
    refused(
        "INSERT INTO billing_ledgerentry (transaction_id, account, customer_id, currency, amount)"
        f" VALUES ({posted.pk}, 'receivable', {issued.customer_id}, 'KRW', 1)"
    )


def test_each_currency_balances_on_its_own(issued: Invoice) -> None:
    posted = LedgerTransaction.objects.get()
    refused(
        "INSERT INTO billing_ledgerentry (transaction_id, account, customer_id, currency, amount)"
        f" VALUES ({posted.pk}, 'receivable', {issued.customer_id}, 'KRW', 1),"
        f" ({posted.pk}, 'revenue', {issued.customer_id}, 'USD', -1)"
    )


def test_an_issued_invoice_may_be_voided_and_then_stays_void(issued: Invoice) -> None:
    assert Invoice.objects.filter(pk=issued.pk).update(status=Invoice.Status.VOID) == 1
    refused("UPDATE billing_invoice SET status = 'issued'")


def test_a_partition_made_later_is_guarded_as_well(issued: Invoice) -> None:
    use(issued.customer, DOLLAR, at="2026-11-01T12:00:00+09:00", now=NOW)
    refused("DELETE FROM usage_event_2026_11")


_IN_DOLLARS = (
    "INSERT INTO billing_invoice (customer_id, period_id, month, status, locale, cost_usd, exchange_rule, exchange_rate,"
    " exchange_evidence, margin, rounding, supply_krw, vat_krw, total_krw, created_at, currency, supply_usd, vat_usd,"
    " total_usd) SELECT customer_id, period_id, '2020-01-01', 'draft', locale, cost_usd, 'fixed', 1400,"
    " exchange_evidence, margin, rounding, 1647, 165, 1812, created_at, {} FROM billing_invoice"
)


@pytest.mark.parametrize(
    "dollars",
    [
        "'KRW', 1.18, 0.12, 1.30",
        "'USD', NULL, NULL, NULL",
        "'USD', 1.18, 0.12, NULL",
        "'USD', 1.18, 0.12, 1.29",
        "'USD', 1.17, 0.12, 1.29",
        "'USD', 1.18, 0.11, 1.29",
        "'EUR', 1.18, 0.12, 1.30",
    ],
)
def test_dollars_that_are_not_the_won_are_refused(issued: Invoice, dollars: str) -> None:
    refused(_IN_DOLLARS.format(dollars), code=CHECK)


def test_dollars_that_are_the_won_stand_and_never_change(issued: Invoice) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_IN_DOLLARS.format("'USD', 1.18, 0.12, 1.30"))
    refused(
        "UPDATE billing_invoice SET currency = 'USD', supply_usd = 1, vat_usd = 0, total_usd = 1 WHERE status = 'issued'"
    )
