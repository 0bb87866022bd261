"""GET /billing/v1/usage: sums by one or two things, which equal the invoice to the won."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from django.test import Client

from accounts.models import Customer
from accounts.services import create_api_key
from billing.models import Invoice
from tests.billing.month import LATER, NOVEMBER, OCTOBER, close, open_house, tenant, use
from tests.usage.factories import ACTOR, ingest, line
from tests.usage_api.asking import asked, get, key_of, refused
from usage.selectors.groups import GROUPS

pytestmark = pytest.mark.django_db

USAGE = "/billing/v1/usage"
OCT_1, OCT_2 = "2026-10-01T00:00:00+09:00", "2026-10-02T23:59:59+09:00"


@pytest.fixture
def gaon() -> Customer:
    open_house()
    return tenant()


@pytest.fixture
def secret(gaon: Customer) -> str:
    return key_of(gaon)[0]


def three_events(gaon: Customer) -> None:
    """USD 2 + 0.03 on 1 October, USD 1 on 2 October; USD 5 of somebody else."""
    use(gaon, 2_000_000, at=OCT_1)
    use(gaon, 3_000_000, at=OCT_1, model="acme/cent")
    use(gaon, 1_000_000, at=OCT_2)
    use(tenant("other"), 5_000_000, at=OCT_1)


def short(body: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in body["rows"]]


def test_days_of_a_month_and_their_total(gaon: Customer, secret: str) -> None:
    three_events(gaon)

    body = asked(secret, USAGE, month="2026-10")

    none = ("completion", "cache_read", "cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output")
    counts = {f"{name}_tokens": 0 for name in (*none, "image_output")} | {"images": 0, "web_searches": 0}
    assert body == {
        "group_by": ["day"],
        "tz": "Asia/Seoul",
        "billing_month": None,
        "first_day": "2026-10-01",
        "last_day": "2026-10-31",
        "invoice_number": None,
        "rows": [
            {"day": "2026-10-01", "requests": 2, "prompt_tokens": 5_000_000, **counts}
            | {"cost_usd": "2.03", "supply_krw": None},
            {"day": "2026-10-02", "requests": 1, "prompt_tokens": 1_000_000, **counts}
            | {"cost_usd": "1", "supply_krw": None},
        ],
        "total": {"requests": 3, "prompt_tokens": 6_000_000, **counts, "cost_usd": "3.03", "supply_krw": None},
        "next_cursor": None,
    }


def test_every_grouping_and_every_pair_adds_up_to_the_same(gaon: Customer, secret: str) -> None:
    three_events(gaon)
    ways = [*((name,) for name in GROUPS), *combinations(GROUPS, 2)]
    for way in ways:
        body = asked(secret, USAGE, month="2026-10", group_by=",".join(way))
        assert sum(row["requests"] for row in body["rows"]) == body["total"]["requests"] == 3
        assert body["total"]["cost_usd"] == "3.03"
    assert len(ways) == 28


def test_keys_stand_by_their_prefix_and_events_without_one_have_null(gaon: Customer, secret: str) -> None:
    three_events(gaon)
    _, prefix = key_of(gaon, "robot")
    usage = {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}
    [result] = ingest(line("by-key", customer="gaon", api_key=prefix, model="acme/dollar", usage=usage))
    assert (result.status, result.quarantine_code) == ("accepted", "")

    body = asked(secret, USAGE, month="2026-10", group_by="key,provider")

    assert short(body, "api_key", "provider", "requests") == [(None, "acme", 3), (prefix, "acme", 1)]
    only = asked(secret, USAGE, month="2026-10", group_by="model", api_key=prefix)
    assert (short(only, "model", "cost_usd"), only["total"]["requests"]) == ([("acme/dollar", "0.000007")], 1)


def test_filters_by_model_provider_and_days(gaon: Customer, secret: str) -> None:
    three_events(gaon)
    span = {"from": "2026-10-02", "to": "2026-10-02"}
    assert asked(secret, USAGE, **span)["total"]["cost_usd"] == "1"
    assert asked(secret, USAGE, month="2026-10", model="acme/cent")["total"]["cost_usd"] == "0.03"
    assert asked(secret, USAGE, month="2026-10", provider="acme")["total"]["cost_usd"] == "3.03"
    nothing = asked(secret, USAGE, month="2025-10")
    assert (nothing["rows"], nothing["total"]["requests"], nothing["total"]["cost_usd"]) == ([], 0, "0")


def test_pages_hold_every_row_once_and_in_one_order(gaon: Customer, secret: str) -> None:
    three_events(gaon)
    query = {"month": "2026-10", "group_by": "day,model"}
    whole = asked(secret, USAGE, **query)
    pages: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        body = asked(secret, USAGE, **query, **cursor, limit="1")
        assert body["total"] == whole["total"]
        pages += body["rows"]
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}
    assert pages == whole["rows"]
    assert short(whole, "day", "model") == [
        ("2026-10-01", "acme/dollar"),
        ("2026-10-01", "acme/cent"),
        ("2026-10-02", "acme/dollar"),
    ]
    asked_by_day = refused(secret, USAGE, month="2026-10", group_by="day", **cursor)
    assert asked_by_day == (400, "invalid_input", "cursor")


def test_a_closed_month_shows_the_won_of_the_invoice_line_by_line(gaon: Customer, secret: str) -> None:
    """Three thirds of a won's remainder: lines get their won by largest remainder, and the API shows those."""
    three_events(gaon)
    use(gaon, 333_333, at=OCT_2)
    close(OCTOBER)
    use(gaon, 1_000_000, at="2026-10-03T00:00:00+09:00")  # late: billed in November
    use(gaon, 2_000_000, at="2026-11-03T00:00:00+09:00", now=LATER)
    close(NOVEMBER, now=LATER)
    for month in (OCTOBER, NOVEMBER):
        invoice = Invoice.objects.get(customer=gaon, month=month.first_on)

        body = asked(secret, USAGE, billing_month=str(month), group_by="month,model")

        lines = {(f"{one.month:%Y-%m}", one.model_name): one for one in invoice.lines.all()}
        rows = {(row["month"], row["model"]): row for row in body["rows"]}
        assert rows.keys() == lines.keys()
        for at, row in rows.items():
            assert row["supply_krw"] == str(lines[at].amount_krw)
            assert row["requests"] == lines[at].requests
        assert body["invoice_number"] == invoice.number
        assert body["total"]["supply_krw"] == str(invoice.supply_krw)
        for way in ("month", "model", "provider", "model,provider"):
            grouped = asked(secret, USAGE, billing_month=str(month), group_by=way)
            assert sum(int(row["supply_krw"]) for row in grouped["rows"]) == invoice.supply_krw
    assert short(asked(secret, USAGE, billing_month="2026-11", group_by="month"), "month", "cost_usd") == [
        ("2026-10", "1"),
        ("2026-11", "2"),
    ]
    assert asked(secret, USAGE, month="2026-10")["total"]["cost_usd"] == "4.363333"


def test_won_are_shown_only_where_the_invoice_has_them(gaon: Customer, secret: str) -> None:
    three_events(gaon)
    assert asked(secret, USAGE, billing_month="2026-10", group_by="model")["total"]["supply_krw"] is None
    close(OCTOBER)

    by_day = asked(secret, USAGE, billing_month="2026-10", group_by="day,model")
    assert {row["supply_krw"] for row in by_day["rows"]} == {None}
    assert by_day["total"]["supply_krw"] == "4991"  # 3.03 x 1400 / 0.85 = 4990.6
    filtered = asked(secret, USAGE, billing_month="2026-10", group_by="model", model="acme/cent")
    assert short(filtered, "supply_krw") == [
        ("50",)
    ]  # 49.41, and the won that is missing: its remainder is the larger one
    assert filtered["total"]["supply_krw"] == "50"
    assert asked(secret, USAGE, month="2026-10", group_by="model")["total"]["supply_krw"] is None


def test_a_month_closed_without_an_invoice_is_zero_won(gaon: Customer, secret: str) -> None:
    use(gaon, 1, at=OCT_1)
    close(OCTOBER)
    body = asked(secret, USAGE, billing_month="2026-10", group_by="model")
    assert (body["invoice_number"], short(body, "cost_usd", "supply_krw")) == (None, [("0.000001", "0")])
    assert body["total"]["supply_krw"] == "0"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"group_by": "day,day"}, "group_by"),
        ({"group_by": "day,model,key"}, "group_by"),
        ({"group_by": "customer"}, "group_by"),
        ({"tz": "KST"}, "tz"),
        ({"tz": "+09:00"}, "tz"),
        ({"tz": "../etc/passwd"}, "tz"),
        ({"tz": "Asia/Kolkata", "from": "2026-10-01", "to": "2026-11-01"}, "tz"),
        ({"app": "x"}, "app"),
        ({"app": "-1"}, "app"),
        ({"month": "2026-13"}, "month"),
        ({"month": "２０２６-10"}, "month"),
        ({"billing_month": "2026-10", "month": "2026-10"}, "month"),
        ({"from": "2026-10-01"}, "to"),
        ({"from": "2026-10-02", "to": "2026-10-01"}, "to"),
        ({"from": "2025-10-01", "to": "2026-10-02"}, "to"),
        ({"from": "2026-02-30", "to": "2026-10-02"}, "from"),
        ({"from": "0001-01-01", "to": "0001-01-02", "group_by": "hour"}, "from"),
        ({"from": "9998-12-31", "to": "9999-01-01"}, "to"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "１"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "WyJkYXkiLCAiMjAyNi05OS05OSJd"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"customer": "other"}, "customer"),
        ({"model": "a\0b"}, "model"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(secret: str, params: dict[str, str], field: str) -> None:
    assert refused(secret, USAGE, **params) == (400, "invalid_input", field)


@pytest.mark.parametrize("tz", ["Asia/Seoul", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"])
def test_the_first_and_the_last_day_are_days_in_every_zone(secret: str, tz: str) -> None:
    for day in ("2000-01-01", "9998-12-31"):
        answer = asked(secret, USAGE, **{"from": day, "to": day, "tz": tz, "group_by": "hour"})
        assert (answer["first_day"], answer["rows"], answer["total"]["requests"]) == (day, [], 0)


def test_a_refused_grouping_says_what_is_possible(secret: str) -> None:
    body = get(secret, USAGE, group_by="price").json()
    assert body["data"] == {"allowed": ["hour", "day", "month", "model", "key", "app", "provider"]}


def test_what_is_not_there_and_what_is_others_are_the_same_404(gaon: Customer, secret: str) -> None:
    _, foreign = key_of(tenant("other"))
    assert refused(secret, USAGE, api_key=foreign) == (404, "not_found", "api_key")
    assert refused(secret, USAGE, api_key="sk-jeongsan-nothing") == (404, "not_found", "api_key")
    assert refused(secret, USAGE, model="acme/nothing") == (404, "not_found", "model")
    assert refused(secret, USAGE, provider="nobody") == (404, "not_found", "provider")


def test_only_a_customers_key_may_ask() -> None:
    ingest_key = create_api_key(customer=None, name="ingest", actor=ACTOR).secret
    assert refused(ingest_key, USAGE)[:2] == (403, "permission_denied")
    assert Client().get(USAGE).status_code == 401
