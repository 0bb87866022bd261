"""The invoices API: what was issued, to whom it was issued, and every won of it explained."""

from __future__ import annotations

import io
from decimal import Decimal
from fractions import Fraction

import pytest
from pypdf import PdfReader

from accounts.models import Customer
from billing.models import Invoice
from billing.selectors.previews import month_preview
from billing.selectors.statements import statement_digest
from billing.statements import read_statement
from tests.billing.month import LATER, NOVEMBER, OCTOBER, close, open_house, publish, tenant, use
from tests.usage_api.asking import asked, get, key_of, refused

pytestmark = pytest.mark.django_db
INVOICES = "/billing/v1/invoices"


@pytest.fixture
def gaon() -> Customer:
    open_house()
    return tenant("gaon")


def issued(customer: Customer) -> Invoice:
    """October: two models that cost USD 1.000003 and 0.5000001, so that fractions of a won are there."""
    use(customer, 1_000_003)
    use(customer, 50_000_010, model="acme/cent")
    close()
    return Invoice.objects.get(customer=customer)


def test_list_and_one_invoice_say_what_was_issued(gaon: Customer) -> None:
    secret, _ = key_of(gaon)
    assert asked(secret, INVOICES) == {"rows": [], "next_cursor": None}
    invoice = issued(gaon)
    head = {
        "number": "INV-202610-0001",
        "status": "issued",
        "month": "2026-10",
        "issued_on": "2026-11-02",
        "due_on": "2026-11-17",
        "cost": {"amount": "1.5000031", "currency": "USD"},
        "supply": {"amount": "2471", "currency": "KRW"},
        "vat": {"amount": "247", "currency": "KRW"},
        "total": {"amount": "2718", "currency": "KRW"},
        "due": {"amount": "2718", "currency": "KRW"},
        "currency": "KRW",
        "dollars": None,
    }
    assert asked(secret, INVOICES) == {"rows": [head], "next_cursor": None}
    assert asked(secret, INVOICES, month="2026-10", status="issued")["rows"] == [head]
    assert asked(secret, INVOICES, month="2026-09")["rows"] == []
    assert asked(secret, INVOICES, status="void")["rows"] == []
    whole = asked(secret, f"{INVOICES}/{invoice.number}")
    assert {name: whole[name] for name in head} == head
    events, digest = statement_digest(gaon, OCTOBER)
    assert whole["statement"] == {"events": events, "digest": digest} == {"events": 2, "digest": digest}
    assert whole["exchange"] == {
        "rule": "month_end",
        "rate": "1400",
        "rate_source": "test",
        "source_date": "2026-10-30",
    }
    assert (whole["margin"], whole["rounding"], whole["deposit_code"]) == ("0.15", "half_up", "JS26100001")
    assert [(line["model"], line["cost"]["amount"], line["supply"]["amount"]) for line in whole["lines"]] == [
        ("acme/cent", "0.5000001", "824"),
        ("acme/dollar", "1.000003", "1647"),
    ]


def test_pages_of_the_list(gaon: Customer) -> None:
    use(gaon, 1_000_000)
    close()
    use(gaon, 2_000_000, at="2026-11-15T12:00:00+09:00", now=LATER)
    close(NOVEMBER, now=LATER)
    secret, _ = key_of(gaon)
    first = asked(secret, INVOICES, limit="1")
    second = asked(secret, INVOICES, limit="1", cursor=first["next_cursor"])
    assert [row["month"] for row in first["rows"] + second["rows"]] == ["2026-11", "2026-10"]
    assert second["next_cursor"] is None
    assert refused(secret, INVOICES, cursor="nonsense") == (400, "invalid_input", "cursor")
    assert refused(secret, INVOICES, status="draft") == (400, "invalid_input", "status")


def test_nobody_sees_another_customers_invoice(gaon: Customer) -> None:
    invoice = issued(gaon)
    secret, _ = key_of(tenant("other"))
    assert asked(secret, INVOICES)["rows"] == []
    for path in ("", "/pdf", "/csv", "/statement", "/lines/1/explain"):
        assert refused(secret, f"{INVOICES}/{invoice.number}{path}") == (404, "not_found", "number")


def test_files_are_what_was_mailed_and_what_adds_up(gaon: Customer) -> None:
    invoice = issued(gaon)
    secret, _ = key_of(gaon)
    pdf = get(secret, f"{INVOICES}/{invoice.number}/pdf")
    assert pdf.headers["Content-Type"] == "application/pdf"
    assert pdf.content == bytes(invoice.pdf.content)
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    _events, digest = statement_digest(gaon, OCTOBER)
    printed = " ".join(digest[start : start + 16] for start in range(0, 64, 16))
    assert f"요청 2건 · SHA-256 {printed}" in " ".join(text.split())
    answer = get(secret, f"{INVOICES}/{invoice.number}/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="INV-202610-0001.csv"'
    assert answer.content.decode("utf-8-sig").splitlines() == [
        "invoice_number,position,kind,usage_month,model,model_name,requests,prompt_tokens,cache_read_tokens,"
        "completion_tokens,cost_usd,supply_krw,supply_usd",
        "INV-202610-0001,1,usage,2026-10,acme/cent,Acme: Cent,1,50000010,0,0,0.5000001,824,",
        "INV-202610-0001,2,usage,2026-10,acme/dollar,Acme: Dollar,1,1000003,0,0,1.000003,1647,",
        "INV-202610-0001,total,,,,,,,,,1.5000031,2471,",
    ]


def test_a_lines_won_down_to_its_event(gaon: Customer) -> None:
    """824 won: 0.5000001 x 1400 = 700.00014; / 0.85 = 823.529576..., cut 823, and the won that is missing."""
    invoice = issued(gaon)
    secret, _ = key_of(gaon)
    answer = asked(secret, f"{INVOICES}/{invoice.number}/lines/1/explain")
    assert answer["base_krw"] == {"decimal": "700.00014", "fraction": "35000007/50000"}
    exact = Fraction("0.5000001") * 1400 / Fraction("0.85")
    assert answer["exact_krw"] == {
        "decimal": "823.529576470588…",
        "fraction": f"{exact.numerator}/{exact.denominator}",
    }
    assert (answer["cut"]["amount"], answer["rounding"]["amount"]) == ("823", "1")
    (price,) = answer["prices"]
    assert price["components"] == {"prompt": "0.00000001", "completion": "0"}
    assert (price["requests"], price["prompt_tokens"], price["cost"]["amount"]) == (1, 50_000_010, "0.5000001")
    (event,) = answer["events"]
    assert event["components"][0]["text"] == "50,000,010 tok x $0.01/M"
    assert event["charge_krw"] == answer["exact_krw"]
    other = asked(secret, f"{INVOICES}/{invoice.number}/lines/2/explain")
    assert (other["cut"]["amount"], other["rounding"]["amount"]) == ("1647", "0")
    assert refused(secret, f"{INVOICES}/{invoice.number}/lines/3/explain") == (404, "not_found", "position")


def test_daily_rates_stand_in_the_explanation(gaon: Customer) -> None:
    gaon.exchange_rule = Customer.ExchangeRule.DAILY
    gaon.save()
    publish(OCTOBER.first_on.replace(day=5), "1300")
    publish(OCTOBER.first_on.replace(day=6), "1350")
    use(gaon, 1_000_000, at="2026-10-05T12:00:00+09:00")
    use(gaon, 1_000_000, at="2026-10-06T00:00:00+09:00")
    close()
    secret, _ = key_of(gaon)
    answer = asked(secret, f"{INVOICES}/INV-202610-0001/lines/1/explain")
    assert [(day["day"], day["rate"], day["base_krw"]["decimal"]) for day in answer["days"]] == [
        ("2026-10-05", "1300", "1300"),
        ("2026-10-06", "1350", "1350"),
    ]
    assert answer["base_krw"]["decimal"] == "2650"
    assert [event["charge_krw"]["fraction"] for event in answer["events"]] == ["27000/17", "26000/17"]


def test_events_of_a_line_come_in_pages_and_add_up(gaon: Customer) -> None:
    for number in range(5):
        use(gaon, 100_000 + number, event_id=f"e{number}")
    close()
    secret, _ = key_of(gaon)
    path, cursor, charges = f"{INVOICES}/INV-202610-0001/lines/1/explain", {}, Fraction(0)
    for _page in range(3):
        answer = asked(secret, path, limit="2", **cursor)
        charges += sum(Fraction(event["charge_krw"]["fraction"]) for event in answer["events"])
        cursor = {"cursor": answer["next_cursor"]}
    assert answer["next_cursor"] is None
    assert charges == Fraction(answer["exact_krw"]["fraction"])


def test_the_preview_equals_the_invoice(gaon: Customer) -> None:
    use(gaon, 1_000_003)
    secret, _ = key_of(gaon)
    preview = asked(secret, f"{INVOICES}/preview", month="2026-10")
    assert (preview["supply"]["amount"], preview["vat"]["amount"], preview["problems"]) == ("1647", "165", [])
    close()
    whole = asked(secret, f"{INVOICES}/INV-202610-0001")
    assert {name: preview[name] for name in ("cost", "supply", "vat", "total", "lines", "exchange")} == {
        name: whole[name] for name in ("cost", "supply", "vat", "total", "lines", "exchange")
    }
    assert month_preview(gaon, NOVEMBER, on=NOVEMBER.first_on).cost_usd == Decimal(0)


def test_the_statement_is_a_file_that_checks_out(gaon: Customer) -> None:
    issued(gaon)
    secret, _ = key_of(gaon)
    answer = get(secret, f"{INVOICES}/INV-202610-0001/statement")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="INV-202610-0001-statement.ndjson"'
    lines = b"".join(answer.streaming_content).splitlines(keepends=True)
    assert (len(lines), read_statement(lines).head.cost_usd) == (4, Decimal("1.5000031"))
