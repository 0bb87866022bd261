"""Exchange rates: what may be stored, which one holds, and what the Export-Import Bank says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import InvalidInput
from accounts.models import AuditEntry
from billing.adapters.eximbank import EximbankClient
from billing.errors import RatesUnavailable
from billing.models import ExchangeRate
from billing.selectors.exchange import PublishedRate, rate_in_force
from billing.services.exchange import fetch_rates, set_rate
from tests.billing.commands import run
from tests.billing.eximbank import KEY, Bank, rows, running_bank
from tests.shared import shared_data

pytestmark = pytest.mark.django_db

#: Sunday, 1 February 2026, 23:30 in Korea.
NOW = datetime(2026, 2, 1, 14, 30, tzinfo=UTC)
FRIDAY = date(2026, 1, 30)
BANK = EximbankClient.name


@pytest.fixture
def bank() -> Iterator[Bank]:
    with running_bank() as bank:
        yield bank


def enter(on: date, rate: str, source: str = "서울외국환중개") -> ExchangeRate:
    return set_rate(rate_on=on, rate=Decimal(rate), source=source, reason="test", actor="tests", now=NOW)


# What may be stored


@pytest.mark.parametrize("rate", ["0", "-1443.2", "99.9999", "10000.0001", "NaN", "Infinity", "-Infinity", "1E+30"])
def test_a_rate_that_no_market_ever_had_is_refused(rate: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        enter(FRIDAY, rate)
    assert refused.value.field == "rate"
    assert not ExchangeRate.objects.exists()


@pytest.mark.parametrize("rate", ["100", "10000", "1443.2", "1443.1999"])
def test_the_bounds_themselves_are_rates(rate: str) -> None:
    enter(FRIDAY, rate)
    assert ExchangeRate.objects.get().rate == Decimal(rate)


def test_a_fifth_decimal_is_refused_and_not_rounded_away() -> None:
    with pytest.raises(InvalidInput) as refused:
        enter(FRIDAY, "1443.20001")
    assert refused.value.field == "rate"


def test_tomorrow_in_korea_is_the_last_day() -> None:
    enter(date(2026, 2, 2), "1443.2")
    with pytest.raises(InvalidInput) as refused:
        enter(date(2026, 2, 3), "1443.2")
    assert refused.value.field == "date"


@pytest.mark.parametrize(
    ("source", "reason", "field"), [(" ", "x", "source"), ("x", "\n", "reason"), ("a\x00", "x", "source")]
)
def test_source_and_reason_are_needed(source: str, reason: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        set_rate(rate_on=FRIDAY, rate=Decimal(1400), source=source, reason=reason, actor="tests", now=NOW)
    assert refused.value.field == field


def test_the_same_again_writes_nothing_and_a_correction_is_a_newer_row() -> None:
    first = enter(FRIDAY, "1443.2")
    assert enter(FRIDAY, "1443.20").pk == first.pk
    corrected = enter(FRIDAY, "1443.1")
    assert rate_in_force(on=FRIDAY) == PublishedRate(Decimal("1443.1"), FRIDAY, "서울외국환중개")
    # Back to the first value: it is not in force any more, so this is another correction.
    back = enter(FRIDAY, "1443.2")
    assert first.pk < corrected.pk < back.pk
    assert rate_in_force(on=FRIDAY) == PublishedRate(Decimal("1443.2"), FRIDAY, "서울외국환중개")
    assert AuditEntry.objects.filter(action="set_rate").count() == 3


@pytest.mark.parametrize("sql", ["UPDATE billing_exchangerate SET rate = 1", "DELETE FROM billing_exchangerate"])
def test_the_database_keeps_every_rate_as_it_was(sql: str) -> None:
    enter(FRIDAY, "1443.2")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    assert ExchangeRate.objects.get().rate == Decimal("1443.2")


# Which one holds


def test_a_day_without_publication_has_the_last_one_before_it() -> None:
    enter(date(2026, 1, 29), "1440")
    enter(FRIDAY, "1443.2")
    enter(date(2026, 2, 2), "1450")
    assert rate_in_force(on=date(2026, 1, 31)) == PublishedRate(Decimal("1443.2"), FRIDAY, "서울외국환중개")
    assert rate_in_force(on=date(2026, 2, 1)) == PublishedRate(Decimal("1443.2"), FRIDAY, "서울외국환중개")
    assert rate_in_force(on=date(2026, 1, 29)) == PublishedRate(Decimal(1440), date(2026, 1, 29), "서울외국환중개")


def test_the_look_back_ends_after_fourteen_days_and_nothing_is_assumed() -> None:
    enter(FRIDAY, "1443.2")
    assert rate_in_force(on=FRIDAY + timedelta(days=14)) == PublishedRate(Decimal("1443.2"), FRIDAY, "서울외국환중개")
    assert rate_in_force(on=FRIDAY + timedelta(days=15)) is None
    assert rate_in_force(on=FRIDAY - timedelta(days=1)) is None


# set_rate as a command


def test_the_command_stores_and_prints_the_row() -> None:
    code, answer = run("set_rate", "2026-01-30", "1,443.20", "--source", "서울외국환중개", "--reason", "연휴")
    row = ExchangeRate.objects.get()
    assert code == 0
    assert answer == {
        "id": row.pk,
        "date": "2026-01-30",
        "rate": "1443.2",
        "source": "서울외국환중개",
        "reason": "연휴",
        "actor": "command set_rate",
        "created_at": row.created_at.isoformat(),
    }


@pytest.mark.parametrize(
    ("day", "rate", "field"),
    [
        ("2026-01-30", "0", "rate"),
        ("2026-01-30", "-1", "rate"),
        ("2026-01-30", "14,43.20", "rate"),
        ("2026-01-30", "1,443,20", "rate"),
        ("2026-01-30", ",443.20", "rate"),
        ("2026-01-30", "1443,2", "rate"),
        ("2026-01-30", "1_443.2", "rate"),
        ("2026-01-30", "１４４３", "rate"),
        ("2026-01-30", "1.4e3", "rate"),
        ("2026-01-30", "NaN", "rate"),
        ("2026-01-30", "", "rate"),
        ("2026-01-30", "14432", "rate"),
        ("2026-02-30", "1443.2", "date"),
        ("20260130", "1443.2", "date"),
        ("2026-1-30", "1443.2", "date"),
        ("２０２６-01-30", "1443.2", "date"),
        ("2999-01-01", "1443.2", "date"),
    ],
)
def test_the_command_names_the_argument_that_is_wrong(day: str, rate: str, field: str) -> None:
    code, answer = run("set_rate", day, rate, "--source", "x", "--reason", "y")
    assert code == 2
    assert answer["error"]["code"] == "invalid_input"
    assert answer["error"]["field"] == field
    assert field in answer["error"]["message"]
    assert not ExchangeRate.objects.exists()


# The Export-Import Bank


def fetch(bank: Bank, first: date, last: date, key: str = KEY):
    return fetch_rates(
        first=first, last=last, client=EximbankClient(auth_key=key, url=bank.url), actor="tests", now=NOW
    )


def test_the_published_sample_is_read_exactly(bank: Bank) -> None:
    sample = json.loads(shared_data("korea/fx_api_samples.json").read_text())["koreaexim"]
    yen = sample["row"] | {"cur_unit": "JPY(100)", "deal_bas_r": "941.32"}
    bank.answers["20260130"] = json.dumps([yen, sample["row"]], ensure_ascii=False)
    report = fetch(bank, FRIDAY, FRIDAY)
    assert [(row.rate_on, row.rate, row.source) for row in report.stored] == [(FRIDAY, Decimal("1443.19"), BANK)]
    assert bank.asked == [{"authkey": KEY, "searchdate": "20260130", "data": "AP01"}]


def test_a_weekend_leaves_no_row_and_friday_holds(bank: Bank) -> None:
    bank.answers["20260129"] = rows(USD="1,440.5", JPY_100_="941.32")
    bank.answers["20260130"] = rows(JPY_100_="941.32", USD="1,443.19")
    report = fetch(bank, date(2026, 1, 29), date(2026, 2, 1))
    assert [row.rate for row in report.stored] == [Decimal("1440.5"), Decimal("1443.19")]
    assert report.unpublished == (date(2026, 1, 31), date(2026, 2, 1))
    assert ExchangeRate.objects.count() == 2
    assert rate_in_force(on=date(2026, 1, 31)) == PublishedRate(Decimal("1443.19"), FRIDAY, BANK)


def test_fetching_again_writes_nothing_and_the_banks_own_correction_counts(bank: Bank) -> None:
    bank.answers["20260130"] = rows(USD="1,443.19")
    fetch(bank, FRIDAY, FRIDAY)
    again = fetch(bank, FRIDAY, FRIDAY)
    assert (again.stored, again.unchanged) == ((), (FRIDAY,))
    bank.answers["20260130"] = rows(USD="1,443.20")
    assert [row.rate for row in fetch(bank, FRIDAY, FRIDAY).stored] == [Decimal("1443.2")]
    assert ExchangeRate.objects.count() == 2


def test_what_a_person_entered_is_not_overruled(bank: Bank) -> None:
    enter(FRIDAY, "1444", source="계약")
    bank.answers["20260130"] = rows(USD="1,443.19")
    assert fetch(bank, FRIDAY, FRIDAY).kept == (FRIDAY,)
    assert rate_in_force(on=FRIDAY) == PublishedRate(Decimal(1444), FRIDAY, "계약")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('[{"result":2}]', "kind of data"),
        ('[{"result":3}]', "EXIMBANK_AUTH_KEY"),
        ('[{"result":4}]', "allowance"),
        ('[{"result":9}]', "result 9"),
        ("[{}]", "result None"),
        ("", "answered nothing"),
        ("<html>점검 중</html>", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("{}", "not a list"),
        ("[1]", "not a list"),
        (rows(JPY_100_="941.32"), "0 rows for USD"),
        (rows(USD="1,44.19"), "deal_bas_r"),
        (rows(USD="-1"), "deal_bas_r"),
        (rows(USD=""), "deal_bas_r"),
        ('[{"result":1,"cur_unit":"USD","deal_bas_r":1443.19}]', "as text"),
        ((500, "[]"), "500"),
        ((302, "[]"), "redirects"),
    ],
)
def test_anything_else_is_an_error_that_stores_nothing(bank: Bank, answer: str | tuple[int, str], words: str) -> None:
    bank.answers["20260130"] = answer
    with pytest.raises(RatesUnavailable) as refused:
        fetch(bank, FRIDAY, FRIDAY)
    assert words in refused.value.message
    assert KEY not in refused.value.message
    assert not ExchangeRate.objects.exists()


def test_a_rate_out_of_bounds_is_refused_even_from_the_bank(bank: Bank) -> None:
    bank.answers["20260130"] = rows(USD="14.43")
    with pytest.raises(InvalidInput) as refused:
        fetch(bank, FRIDAY, FRIDAY)
    assert refused.value.field == "rate"


def test_days_before_a_failure_are_kept(bank: Bank) -> None:
    bank.answers |= {"20260128": rows(USD="1,439"), "20260129": rows(USD="1,440.5"), "20260130": '[{"result":4}]'}
    with pytest.raises(RatesUnavailable):
        fetch(bank, date(2026, 1, 28), date(2026, 2, 1))
    assert list(ExchangeRate.objects.order_by("rate_on").values_list("rate", flat=True)) == [
        Decimal(1439),
        Decimal("1440.5"),
    ]
    assert len(bank.asked) == 3


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        (date(2026, 1, 30), date(2026, 1, 29), "from"),
        (date(2026, 1, 30), date(2026, 2, 2), "to"),
        (date(2025, 1, 1), date(2026, 1, 30), "from"),
    ],
)
def test_a_range_that_makes_no_sense_asks_nobody(bank: Bank, first: date, last: date, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        fetch(bank, first, last)
    assert refused.value.field == field
    assert bank.asked == []


def test_the_bank_away_is_said_without_the_key() -> None:
    with running_bank() as gone:
        pass
    with pytest.raises(RatesUnavailable) as refused:
        fetch(gone, FRIDAY, FRIDAY)
    assert KEY not in refused.value.message


def test_plain_http_to_another_machine_is_refused() -> None:
    client = EximbankClient(auth_key=KEY, url="http://192.0.2.7/exchangeJSON")
    with pytest.raises(RatesUnavailable) as refused:
        fetch_rates(first=FRIDAY, last=FRIDAY, client=client, actor="tests", now=NOW)
    assert "https" in refused.value.message


def test_the_command_fetches_and_reports(bank: Bank, settings) -> None:
    settings.EXIMBANK_URL, settings.EXIMBANK_AUTH_KEY = bank.url, KEY
    bank.answers["20260130"] = rows(USD="1,443.19")
    code, answer = run("fetch_rates", "--from", "2026-01-30", "--to", "2026-02-01")
    assert code == 0
    assert [(row["date"], row["rate"], row["source"]) for row in answer["stored"]] == [("2026-01-30", "1443.19", BANK)]
    assert answer["unpublished"] == ["2026-01-31", "2026-02-01"]
    assert (answer["unchanged"], answer["kept"]) == ([], [])


def test_the_command_says_that_the_key_is_missing_or_wrong(bank: Bank, settings) -> None:
    settings.EXIMBANK_URL, settings.EXIMBANK_AUTH_KEY = bank.url, ""
    code, answer = run("fetch_rates")
    assert (code, answer["error"]["code"]) == (2, "rates_unavailable")
    assert "EXIMBANK_AUTH_KEY" in answer["error"]["message"]
    settings.EXIMBANK_AUTH_KEY = "wrong"
    code, answer = run("fetch_rates", "--from", "2026-01-30", "--to", "2026-01-30")
    assert (code, answer["error"]["code"]) == (2, "rates_unavailable")
    code, answer = run("fetch_rates", "--from", "yesterday")
    assert (code, answer["error"]["field"]) == (2, "from")
