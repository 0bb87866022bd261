"""Invoices whose lines sell on terms of their own: three margins on one, and what upstreams charged as their basis."""

from __future__ import annotations

import io
import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from pypdf import PdfReader

from accounts.models import Customer
from billing.audit import check_books
from billing.documents import DocumentLine, InvoiceDocument
from billing.frozen import DocumentError
from billing.margins import Basis
from billing.models import BillingDraft, Invoice, InvoiceLine
from billing.pdf import render_invoice
from billing.selectors.bills import month_bill
from billing.selectors.corrections import correction_differences
from billing.selectors.drafts import bill_digest
from billing.selectors.explaining import events_of_line, explain_line
from billing.selectors.readiness import readiness
from billing.services.correcting import approve_correction, propose_correction
from billing.services.margins import set_margin
from billing.services.steps import begin_steps, confirm_rates, draft_customers, request_drafts
from billing.statements import read_statement
from catalog.models import Price, Provider
from tests.billing.commands import run
from tests.billing.month import ACTOR, DOLLAR, LATER, NOVEMBER, NOW, OCTOBER, close, open_house, publish, tenant, use
from tests.usage.factories import model as catalog_model
from tests.usage_api.asking import asked, get, key_of
from usage.services.ingesting import Status, ingest_events

pytestmark = pytest.mark.django_db
JANUARY = date(2026, 1, 1)


def rule(margin: str, *, customer: Customer | None = None, on: date = JANUARY, **scope: Any) -> None:
    set_margin(customer=customer, margin=Decimal(margin), effective_from=on, actor=ACTOR, **scope)


def charged(customer: Customer, event_id: str, usd: str | None, *, tokens: int = DOLLAR, day: int = 15) -> None:
    """An event of acme/dollar for which the upstream names this charge, or none."""
    usage: dict[str, Any] = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    if usd is not None:
        usage["cost"] = float(usd)
    event = {
        "id": event_id,
        "customer": customer.slug,
        "model": "acme/dollar",
        "occurred_at": f"2026-10-{day:02d}T12:00:00+09:00",
        "dialect": "openrouter",
        "usage": usage,
    }
    [result] = ingest_events(lines=[json.dumps(event).encode()], now=NOW, actor=ACTOR)
    assert result.status == Status.ACCEPTED, result


def printed(document: InvoiceDocument) -> str:
    """The text of the PDF."""
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(render_invoice(document))).pages)
    return " ".join(text.split())


def violations() -> list[str]:
    return [text for result in check_books() for text in result.violations]


@pytest.fixture
def gaon() -> Customer:
    """15 % in general, 30 % on the family of acme/cent, 50 % on another provider's models."""
    open_house()
    catalog_model("other/large", {"prompt": "0.000001", "completion": "0"})
    rule("0.3", family="acme/c")
    rule("0.5", provider=Provider.objects.get(slug="other"))
    return tenant("gaon")


def consume(customer: Customer) -> None:
    """USD 1.000003, 0.5000001 and 0.2503: 1,647.0638, 1,000.0002 and 700.84 won, 3,347.9040 together."""
    use(customer, 1_000_003)
    use(customer, 50_000_010, model="acme/cent")
    use(customer, 250_300, model="other/large")


def test_three_margins_on_one_invoice(gaon: Customer) -> None:
    consume(gaon)
    code, answer = run("close_month", "2026-10")
    assert code == 0, answer
    invoice = Invoice.objects.get()
    assert (invoice.margin, invoice.supply_krw, invoice.vat_krw, invoice.total_krw) == (None, 3348, 335, 3683)
    assert [(line.model_name, str(line.margin), line.amount_krw) for line in invoice.lines.all()] == [
        ("acme/cent", "0.30000", 1000),
        ("acme/dollar", "0.15000", 1647),
        ("other/large", "0.50000", 701),
    ]
    [shown] = answer["invoices"]
    assert (shown["margin"], [line["margin"] for line in shown["lines"]]) == (None, ["0.3", "0.15", "0.5"])
    document = InvoiceDocument.from_json(invoice.document)
    assert [(str(line.margin), line.basis, line.before_margin_krw) for line in document.lines] == [
        ("0.30000", "catalog", None),
        ("0.15000", "catalog", None),
        ("0.50000", "catalog", None),
    ]
    assert document.exact_supply_krw == (
        Fraction("0.5000001") * 1400 / Fraction("0.7")
        + Fraction("1.000003") * 1400 / Fraction("0.85")
        + Fraction("0.2503") * 1400 / Fraction("0.5")
    )
    assert violations() == []


def test_every_line_is_explained_to_the_won_by_its_own_margin(gaon: Customer) -> None:
    consume(gaon)
    close()
    invoice = Invoice.objects.get()
    secret, _ = key_of(gaon)
    total = Fraction(0)
    for line in invoice.lines.all():
        explained = explain_line(invoice, line)
        charges = [explained.charge_krw(event, event.cost_usd) for event in events_of_line(invoice, line)]
        assert sum(charges) == explained.exact_krw
        assert explained.cut_krw + explained.rounding_krw == line.amount_krw
        total += explained.exact_krw
        answer = asked(secret, f"/billing/v1/invoices/{invoice.number}/lines/{line.position}/explain")
        assert answer["margin"] == answer["line"]["margin"] == f"{line.margin:f}".rstrip("0")
        assert Fraction(answer["exact_krw"]["fraction"]) == explained.exact_krw
        assert int(answer["cut"]["amount"]) + int(answer["rounding"]["amount"]) == line.amount_krw
    assert round(total) == invoice.supply_krw
    whole = asked(secret, f"/billing/v1/invoices/{invoice.number}")
    assert (whole["margin"], [line["margin"] for line in whole["lines"]]) == (None, ["0.3", "0.15", "0.5"])
    assert explain_line(invoice, invoice.lines.get(position=3)).rounding_krw == 1


def test_the_preview_is_the_invoice(gaon: Customer) -> None:
    consume(gaon)
    bill = month_bill(gaon, OCTOBER)
    assert bill is not None
    close()
    document = InvoiceDocument.from_json(Invoice.objects.get().document)
    assert (bill.document_lines, bill.margin, bill.totals.supply_krw) == (document.lines, None, document.supply_krw)


def test_the_paper_shows_each_margin_with_its_sum(gaon: Customer) -> None:
    consume(gaon)
    close()
    document = InvoiceDocument.from_json(Invoice.objects.get().document)
    flat = printed(document)
    for step in (
        "수수료율 30% Acme: Cent 0.5000001 × 1,400.00 ÷ (1 – 0.3) = 1,000.0002",
        "수수료율 15% Acme: Dollar 1.000003 × 1,400.00 ÷ (1 – 0.15) = 1,647.0637",
        "수수료율 50% other/large 0.2503 × 1,400.00 ÷ (1 – 0.5) = 700.84",
        "위 금액의 합계 3,347.9039",
    ):
        assert step in flat, flat


def test_days_with_rates_of_their_own(gaon: Customer) -> None:
    """USD 1 on the 15th at 1,400 and USD 1 on the 30th at 1,500, at two margins."""
    daily = tenant("daily", exchange_rule="daily")
    publish(date(2026, 10, 15), "1300")
    publish(date(2026, 10, 30), "1500")
    for model in ("acme/dollar", "other/large"):
        use(daily, DOLLAR, model=model)
    use(daily, DOLLAR, model="other/large", at="2026-10-30T12:00:00+09:00")
    close()
    invoice = Invoice.objects.get(customer=daily)
    document = InvoiceDocument.from_json(invoice.document)
    assert [(line.model_id, line.before_margin_krw) for line in document.lines] == [
        ("acme/dollar", Decimal(1300)),
        ("other/large", Decimal(2800)),
    ]
    # 1,300 / 0.85 + 2,800 / 0.5 = 1,529.41 + 5,600
    assert [line.amount_krw for line in document.lines] == [1529, 5600]
    for line in invoice.lines.all():
        assert explain_line(invoice, line).base_krw == document.lines[line.position - 1].before_margin_krw
    changed = {**invoice.document, "lines": [dict(line) for line in invoice.document["lines"]]}
    changed["lines"][0]["before_margin_krw"] = "1301"
    with pytest.raises(DocumentError, match="before_margin_krw"):
        InvoiceDocument.from_json(changed)
    assert violations() == []


def test_one_margin_for_all_is_the_documents_and_older_documents_read_as_before(gaon: Customer) -> None:
    use(gaon, DOLLAR)
    close()
    invoice = Invoice.objects.get()
    assert invoice.margin == Decimal("0.15")
    assert {"margin", "basis", "basis_usd", "before_margin_krw"} & set(invoice.document["lines"][0]) == set()
    assert invoice.lines.get().margin == Decimal("0.15")
    document = InvoiceDocument.from_json(invoice.document)
    assert (document.margin_of(document.lines[0]), document.to_json()) == (Decimal("0.15000"), invoice.document)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"margin": Decimal("0.2")}, "margin"),
        ({"basis": "upstream"}, "basis_usd"),
        ({"basis_usd": Decimal(1)}, "basis_usd"),
        ({"basis": "cost"}, "basis"),
        ({"before_margin_krw": Decimal(1)}, "before_margin_krw"),
    ],
)
def test_a_document_with_other_terms_than_its_figures_is_none(
    gaon: Customer, changes: dict[str, Any], field: str
) -> None:
    use(gaon, DOLLAR)
    close()
    document = InvoiceDocument.from_json(Invoice.objects.get().document)
    [line] = document.lines
    plain = {name: getattr(line, name) for name in DocumentLine.__slots__}
    with pytest.raises(DocumentError) as refused:
        fields = {name: getattr(document, name) for name in InvoiceDocument.__slots__}
        InvoiceDocument(**{**fields, "lines": (DocumentLine(**{**plain, **changes}),)})
    assert refused.value.field == field


def test_late_usage_sells_on_the_terms_of_the_invoice_that_carries_it(gaon: Customer) -> None:
    consume(gaon)
    close()
    rule("0.6", family="acme/c", on=date(2026, 11, 1))
    use(gaon, 10_000_000, model="acme/cent", event_id="late", now=LATER)
    use(gaon, DOLLAR, at="2026-11-05T12:00:00+09:00", now=LATER)
    close(NOVEMBER, now=LATER)
    lines = Invoice.objects.get(month=NOVEMBER.first_on).lines.all()
    assert [(line.kind, line.model_name, str(line.margin), line.amount_krw) for line in lines] == [
        ("supplementary", "acme/cent", "0.60000", 350),
        ("usage", "acme/dollar", "0.15000", 1647),
    ]
    assert violations() == []


def test_a_model_without_a_rule_parks_the_customer() -> None:
    open_house(margin=None)
    catalog_model("other/large", {"prompt": "0.000001", "completion": "0"})
    nuri = tenant("nuri")
    rule("0.5", customer=nuri, family="acme/d")
    use(nuri, DOLLAR)
    bill = month_bill(nuri, OCTOBER)
    assert bill is not None
    assert bill.totals.supply_krw == 2800
    use(nuri, DOLLAR, model="other/large")
    done = close()
    assert done.items.get().reason_code == "no_margin_rule"
    assert "other/large" in done.items.get().reason
    [finding] = [one for one in readiness(OCTOBER, on=NOW.date()) if one.code == "no_margin_rule"]
    assert (finding.customer, finding.detail) == ("nuri", "no margin rule covers other/large on 2026-10-31")


# -- what the margin is reckoned on --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("basis", "sold_usd", "supply_krw", "cheaper_krw"),
    [
        # USD 3 at 1,400 and 20 %; half of it after the correction
        (Basis.CATALOG, "3", 5250, 2625),
        # 1.2 + 0.9 + 1; only what the upstream named no charge for follows our price
        (Basis.UPSTREAM, "3.1", 5425, 875),
        # 1.2 + 1 + 1 becomes 1.2 + 0.9 + 0.5
        (Basis.HIGHER, "3.2", 5600, 1050),
    ],
)
def test_an_invoice_by_each_basis(basis: Basis, sold_usd: str, supply_krw: int, cheaper_krw: int) -> None:
    open_house()
    nuri = tenant("nuri")
    rule("0.2", customer=nuri, basis=basis)
    for event_id, usd in (("a", "1.2"), ("b", "0.9"), ("c", None)):
        charged(nuri, event_id, usd)
    close()
    invoice = Invoice.objects.get()
    [line] = invoice.lines.all()
    assert (invoice.cost_usd, invoice.supply_krw, str(invoice.margin)) == (3, supply_krw, "0.20000")
    own = None if basis is Basis.CATALOG else Decimal(sold_usd)
    assert (line.basis, line.basis_usd, line.cost_usd) == (basis.value, own, 3)
    [stated] = InvoiceDocument.from_json(invoice.document).lines
    assert stated.sold_usd == Decimal(sold_usd)
    explained = explain_line(invoice, line)
    charges = [explained.charge_krw(event, event.cost_usd) for event in events_of_line(invoice, line)]
    assert sum(charges) == explained.exact_krw == supply_krw
    secret, _ = key_of(nuri)
    answer = asked(secret, f"/billing/v1/invoices/{invoice.number}/lines/1/explain")
    assert (answer["line"]["basis"], answer["line"]["sold"]["amount"]) == (basis.value, sold_usd)
    words = {
        Basis.CATALOG: "수수료율 20% (공급가액 기준)",
        Basis.UPSTREAM: "공급사 청구액 기준",
        Basis.HIGHER: "중 높은 금액 기준",
    }
    assert words[basis] in printed(InvoiceDocument.from_json(invoice.document))
    lines = b"".join(get(secret, f"/billing/v1/invoices/{invoice.number}/statement").streaming_content).splitlines()
    statement = read_statement(lines)
    assert statement.head.sold_usd == own
    assert statement.sold_usd_by_model == ({} if own is None else {"acme/dollar": own})
    shown = asked(secret, f"/billing/v1/invoices/{invoice.number}")["statement"]
    assert shown == {"events": 3, "digest": statement.digest}
    # A price that was twice what it should have been: difference and credit note follow the basis.
    price = Price.objects.get(model__model_id="acme/dollar")
    made = propose_correction(
        price=price, components={"prompt": "0.0000005", "completion": "0"}, reason="typo", actor="minji", now=LATER
    )
    [difference] = correction_differences(made)
    assert difference.difference_krw == -cheaper_krw
    [note] = approve_correction(correction=made, actor="jun", now=LATER)
    assert note.supply_krw == cheaper_krw
    assert violations() == []


def test_bases_side_by_side_under_daily_rates() -> None:
    """15 October at 1,300, the 30th at 1,500: one model on list price, the other on what was charged."""
    open_house()
    nuri = tenant("nuri", exchange_rule="daily")
    publish(date(2026, 10, 15), "1300")
    publish(date(2026, 10, 30), "1500")
    rule("0.2", customer=nuri)
    rule("0.2", customer=nuri, family="acme/dol", basis=Basis.HIGHER)
    charged(nuri, "a", "1.2")
    charged(nuri, "b", "0.9", day=30)
    use(nuri, 100 * DOLLAR, model="acme/cent")
    close()
    invoice = Invoice.objects.get()
    document = InvoiceDocument.from_json(invoice.document)
    # 1.2 x 1,300 + 1 x 1,500 = 3,060; 1 x 1,300
    assert [(line.before_margin_krw, line.amount_krw) for line in document.lines] == [(1300, 1625), (3060, 3825)]
    assert (document.margin, document.sold_usd, document.cost_usd) == (Decimal("0.20000"), Fraction("3.2"), 3)
    assert [(day.used_on.day, day.cost_usd) for day in document.exchange.daily] == [(15, Decimal("2.2")), (30, 1)]
    assert violations() == []


def test_an_upstream_contract_never_sells_at_a_loss_and_a_list_price_one_may() -> None:
    open_house(margin="0")
    on_list, on_charge = tenant("list"), tenant("charge")
    rule("0", customer=on_charge, basis=Basis.UPSTREAM)
    charged(on_list, "a", "1.2")
    charged(on_charge, "b", "1.2")
    stepped = confirm_rates(run=begin_steps(month=OCTOBER, actor=ACTOR, now=NOW), actor=ACTOR, reason="seen", now=NOW)
    draft_customers(item_ids=request_drafts(run=stepped, actor=ACTOR, now=NOW), now=NOW)
    drafts = {draft.item.customer.slug: draft for draft in BillingDraft.objects.select_related("item__customer")}
    assert {slug: (draft.supply_krw, draft.anomalies) for slug, draft in drafts.items()} == {
        "list": (1400, ["negative_margin"]),
        "charge": (1680, []),
    }


def test_approval_is_of_the_margin_of_every_line(gaon: Customer) -> None:
    """The same won by other terms are another bill."""
    use(gaon, DOLLAR)
    before = bill_digest(month_bill(gaon, OCTOBER))
    rule("0.15", family="acme/dol")
    assert bill_digest(month_bill(gaon, OCTOBER)) == before
    rule("0.15", customer=gaon, basis=Basis.HIGHER)
    assert bill_digest(month_bill(gaon, OCTOBER)) != before


@pytest.mark.parametrize(
    "columns",
    [{"basis": "upstream"}, {"basis_usd": 1}, {"basis": "list", "basis_usd": 1}, {"basis": "higher", "basis_usd": -1}],
)
def test_the_database_wants_a_basis_with_its_dollars(gaon: Customer, columns: dict[str, Any]) -> None:
    use(gaon, DOLLAR)
    close()
    line = InvoiceLine.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        InvoiceLine.objects.filter(pk=line.pk).update(**columns)


def test_the_books_know_when_a_line_sells_something_else(gaon: Customer) -> None:
    rule("0.2", customer=gaon, basis=Basis.HIGHER)
    charged(gaon, "a", "1.2")
    close()
    assert violations() == []
    number = Invoice.objects.get().number
    for statement, found in (
        ("UPDATE billing_invoiceline SET margin = 0.3", f"{number}: line 1 has other terms than the document"),
        (
            "UPDATE billing_invoiceline SET basis = 'upstream'",
            f"{number}: line 1 has other terms than the document",
        ),
        (
            "UPDATE usage_usagerollup SET higher_basis_usd = 1.3",
            f"invoice {number} sells another amount than its basis comes to",
        ),
    ):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement)
            assert any(found in text for text in violations())
            transaction.set_rollback(True)


def test_the_file_of_all_events_says_what_each_was_sold_on(tmp_path: Path) -> None:
    """One model on what was charged, the other at list price; whoever changes a charge is found out offline."""
    open_house()
    nuri = tenant("nuri")
    rule("0.2", customer=nuri)
    rule("0.2", customer=nuri, family="acme/dol", basis=Basis.UPSTREAM)
    charged(nuri, "a", "1.2", day=14)
    charged(nuri, "b", None, day=15)
    use(nuri, 50_000_000, model="acme/cent", event_id="c", at="2026-10-16T12:00:00+09:00")
    close()
    invoice = Invoice.objects.get()
    secret, _ = key_of(nuri)
    content = b"".join(get(secret, f"/billing/v1/invoices/{invoice.number}/statement").streaming_content)
    head, *events, _foot = map(json.loads, content.splitlines())
    assert (head["cost_usd"], head["sold_usd"], head["columns"][-1]) == ("2.5", "2.7", "sold_usd")
    assert [(event[0], *event[-2:]) for event in events] == [("a", "1", "1.2"), ("b", "1", "1"), ("c", "0.5", "0.5")]
    path = tmp_path / "statement.ndjson"
    path.write_bytes(content)
    digest = asked(secret, f"/billing/v1/invoices/{invoice.number}")["statement"]["digest"]
    code, answer = run("verify_statement", str(path), "--digest", digest)
    assert (code, answer["sold_usd"], answer["models_sold"]) == (0, "2.7", {"acme/cent": "0.5", "acme/dollar": "2.2"})
    # 2.2 x 1,400 / 0.8 and 0.5 x 1,400 / 0.8
    assert [line.amount_krw for line in invoice.lines.all()] == [875, 3850]
    path.write_bytes(content.replace(b'"1.2"]', b'"1.1"]'))
    code, answer = run("verify_statement", str(path))
    assert (code, answer["reason"]) == (1, "the events were sold on USD 2.6, the head says 2.7")
