"""Whether accounts, holds, meters and calls agree, read from the data as it is. Repairs nothing; part of `check_books`,
which is read while nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection
from django.utils import timezone

from accounts.models import Customer
from billing.models import SpendingAccount
from billing.selectors.spending import recount
from usage.audit import MAX_LISTED, CheckResult

# One statement, one moment: a hold and its call change in the same transaction.
_HOLDS = """
SELECT coalesce(account.customer_id, open.customer_id), coalesce(account.held_krw, 0), coalesce(open.held_krw, 0)
FROM billing_spendingaccount AS account
FULL JOIN (SELECT customer_id, sum(hold_krw) AS held_krw FROM gateway_call
           WHERE status = 'open' GROUP BY customer_id) AS open
  ON open.customer_id = account.customer_id
"""
_METERS = """
SELECT meter.api_key_id, meter.open_calls, meter.held_usd, coalesce(open.calls, 0), coalesce(open.held_usd, 0)
FROM gateway_keymeter AS meter
LEFT JOIN (SELECT api_key_id, count(*) AS calls, sum(hold_usd) AS held_usd FROM gateway_call
           WHERE status = 'open' AND is_metered GROUP BY api_key_id) AS open ON open.api_key_id = meter.api_key_id
"""
_EVENTS = """
SELECT call.call_id, call.status, known.event_id IS NOT NULL
FROM gateway_call AS call
LEFT JOIN usage_event_key AS known ON known.customer_id = call.customer_id
     AND known.event_id = coalesce(call.event_id, call.call_id)
WHERE call.status <> 'open'
"""


def check_gateway() -> list[CheckResult]:
    """All checks of the gateway, in a fixed order."""
    return [
        _result("spending_equals_a_recount", _spending()),
        _result("holds_are_of_open_calls", _holds()),
        _result("meters_count_open_calls", _meters()),
        _result("answered_calls_have_events", _events()),
    ]


def _spending() -> Iterator[str | None]:
    """Prepaid, owed and unbilled amounts equal a recount; every customer has an account. Free credit ends with its day, so
    it may lag until the next recount and is not compared.
    """
    ids = list(Customer.objects.order_by("pk").values_list("pk", flat=True))
    counted = recount(ids, at=timezone.now())
    accounts = SpendingAccount.objects.in_bulk(ids)
    for pk in ids:
        account = accounts.get(pk)
        if account is None:
            yield f"customer {pk} has no spending account"
            continue
        kept, found = (
            (one.prepaid_krw, one.receivable_krw, one.unbilled_usd, one.unbilled_by_model_krw)
            for one in (account, counted[pk])
        )
        yield None if kept == found else f"customer {pk}: prepaid, owed, unbilled are {kept}, a recount gives {found}"


def _holds() -> Iterator[str | None]:
    with connection.cursor() as cursor:
        cursor.execute(_HOLDS)
        for customer, held, counted in cursor.fetchall():
            yield None if held == counted else f"customer {customer}: {held} won are held, open calls hold {counted}"


def _meters() -> Iterator[str | None]:
    with connection.cursor() as cursor:
        cursor.execute(_METERS)
        for key, calls, held, counted, counted_usd in cursor.fetchall():
            agrees = (calls, held) == (counted, counted_usd)
            yield None if agrees else f"key {key}: {calls} calls hold USD {held}, {counted} are open with {counted_usd}"


def _events() -> Iterator[str | None]:
    """An answered call has its event; one that failed has none under its id."""
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS)
        for call_id, status, is_stored in cursor.fetchall():
            should = status in {"settled", "estimated"}
            yield (
                None
                if should == is_stored
                else f"call {call_id} is {status} and {'has' if is_stored else 'lacks'} an event"
            )


def _result(name: str, findings: Iterator[str | None]) -> CheckResult:
    listed: list[str] = []
    checked, unlisted = 0, 0
    for finding in findings:
        checked += 1
        if finding is None:
            continue
        if len(listed) < MAX_LISTED:
            listed.append(finding)
        else:
            unlisted += 1
    return CheckResult(name, checked, listed, unlisted)
