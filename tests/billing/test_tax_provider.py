"""The tax document's own checks, and the embedded provider that plays a real one."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db import transaction

from billing.adapters.registry import tax_provider
from billing.adapters.tax_document import WIDTHS, TaxDocument, TaxDocumentError, TaxLine, TaxParty
from billing.adapters.tax_provider import (
    Health,
    KeyInUse,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnavailable,
    Snapshot,
)
from billing.adapters.tax_sandbox import Behaviour, SandboxProvider
from billing.errors import TaxProviderMisconfigured
from billing.models import SandboxTaxDocument
from tests.shared import shared_data

ACCEPTED_AT = datetime(2026, 11, 2, 0, 5, tzinfo=UTC)
LAST_DAY = date(2026, 10, 31)
SUPPLIER = TaxParty(registration_no="2018612345", name="주식회사 정산", ceo_name="한결")
BUYER = TaxParty(registration_no="2208162517", name="주식회사 가온", ceo_name="윤서진", email="tax@gaon.example")
FOREIGN_BUYER = replace(BUYER, registration_no="9" * 13, name="Nordlicht GmbH")
LINE = TaxLine(
    item="AI API 사용료 2026년 10월", quantity=1, supplied_on=LAST_DAY, supply_krw=1_647_059, tax_krw=164_706
)


def document(**changes: Any) -> TaxDocument:
    members: dict[str, Any] = {
        "type_code": "0101",
        "purpose_code": "02",
        "write_date_on": LAST_DAY,
        "supplier": SUPPLIER,
        "buyer": BUYER,
        "buyer_type_code": "01",
        "lines": (LINE,),
        "supply_krw": 1_647_059,
        "tax_krw": 164_706,
        "total_krw": 1_811_765,
    }
    return TaxDocument(**members | changes)


def two_lines(first: tuple[int, int], second: tuple[int, int]) -> dict[str, Any]:
    """The document of two lines given as (supply, tax), with totals that follow."""
    supply, tax = first[0] + second[0], first[1] + second[1]
    lines = tuple(replace(LINE, supply_krw=one[0], tax_krw=one[1]) for one in (first, second))
    return {"lines": lines, "supply_krw": supply, "tax_krw": tax, "total_krw": supply + tax}


def test_ordinary_foreign_and_many_line_documents_pass() -> None:
    document()
    document(buyer=FOREIGN_BUYER, buyer_type_code="03", remark="DE811907980")
    document(**two_lines((2_000_000, 200_000), (-352_941, -35_294)))
    document(lines=(LINE,) * 99, supply_krw=163_058_841, tax_krw=16_305_894, total_krw=179_364_735)
    document(lines=(replace(LINE, supply_krw=4, tax_krw=0),), supply_krw=4, tax_krw=0, total_krw=4)


def test_ten_percent_holds_within_a_thousand_won() -> None:
    document(**two_lines((1_000_000, 100_000), (0, 1_000)))
    with pytest.raises(TaxDocumentError) as refused:
        document(**two_lines((1_000_000, 100_000), (0, 1_001)))
    assert refused.value.field == "tax_krw"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type_code": "0102"}, "tax_krw"),
        ({"type_code": "0202", "amendment_code": "01"}, "tax_krw"),
        ({"type_code": "0301"}, "type_code"),
        ({"type_code": "0201"}, "amendment_code"),
        ({"amendment_code": "01"}, "amendment_code"),
        ({"type_code": "0201", "amendment_code": "07"}, "amendment_code"),
        ({"type_code": "0201", "amendment_code": "04"}, "supply_krw"),
        ({"purpose_code": "18"}, "purpose_code"),
        ({"supplier": replace(SUPPLIER, registration_no="201-86-1234")}, "supplier.registration_no"),
        ({"supplier": replace(SUPPLIER, registration_no="20186123455")}, "supplier.registration_no"),
        ({"supplier": replace(SUPPLIER, registration_no="２０１８６１２３４５")}, "supplier.registration_no"),
        ({"supplier": replace(SUPPLIER, ceo_name=" ")}, "supplier.ceo_name"),
        ({"supplier": replace(SUPPLIER, name="정" * 71)}, "supplier.name"),
        ({"buyer": replace(BUYER, registration_no="9" * 13)}, "buyer.registration_no"),
        ({"buyer": replace(BUYER, name="")}, "buyer.name"),
        ({"buyer": replace(BUYER, ceo_name="윤" * 31)}, "buyer.ceo_name"),
        ({"buyer": replace(BUYER, address="가" * 151)}, "buyer.address"),
        ({"buyer": replace(BUYER, business_type="업" * 41)}, "buyer.business_type"),
        ({"buyer": replace(BUYER, business_class="종" * 41)}, "buyer.business_class"),
        ({"buyer": replace(BUYER, name="가온\x00")}, "buyer.name"),
        ({"buyer": replace(BUYER, address="서울\n강남")}, "buyer.address"),
        ({"buyer": replace(BUYER, email="")}, "buyer.email"),
        ({"buyer": replace(BUYER, email2="a" * 41)}, "buyer.email2"),
        ({"buyer_type_code": "02"}, "buyer_type_code"),
        ({"buyer_type_code": "03", "remark": "M12345678"}, "buyer.registration_no"),
        ({"buyer": FOREIGN_BUYER, "buyer_type_code": "03"}, "remark"),
        ({"buyer": FOREIGN_BUYER, "buyer_type_code": "03", "remark": "9" * 13}, "remark"),
        ({"remark": "비" * 151}, "remark"),
        ({"lines": ()}, "lines"),
        ({"lines": (LINE,) * 100}, "lines"),
        ({"lines": (replace(LINE, item=""),)}, "lines[0].item"),
        ({"lines": (replace(LINE, item="품" * 101),)}, "lines[0].item"),
        ({"lines": (replace(LINE, quantity=1.5),)}, "lines[0].quantity"),
        ({"lines": (replace(LINE, supply_krw=1_647_059.0),)}, "lines[0].supply_krw"),
        ({"lines": (replace(LINE, tax_krw=True),)}, "lines[0].tax_krw"),
        ({"lines": (replace(LINE, supplied_on=date(2026, 9, 30)),)}, "lines[0].supplied_on"),
        (two_lines((2_000_000, -1), (-352_941, 164_707)), "lines[0].tax_krw"),
        ({"supply_krw": 1_647_058, "total_krw": 1_811_764}, "supply_krw"),
        ({"tax_krw": 164_705, "total_krw": 1_811_764}, "tax_krw"),
        ({"total_krw": 1_811_764}, "total_krw"),
        ({"total_krw": 10**18}, "total_krw"),
        ({"supply_krw": "1647059"}, "supply_krw"),
        (two_lines((-1_647_059, -164_706), (0, 0)), "supply_krw"),
    ],
)
def test_what_a_provider_or_the_tax_office_would_refuse_is_refused_here(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(TaxDocumentError) as refused:
        document(**changes)
    assert refused.value.field == field


def test_widths_are_those_of_the_national_form() -> None:
    with shared_data("korea/kec_fields.csv").open(newline="") as file:
        widths = {row["path_in_document_order"]: row["type_len"] for row in csv.DictReader(file)}
    party = "TaxInvoiceTradeSettlement/InvoiceeParty/"
    assert {name: f"S{width}" for name, width in WIDTHS.items()} == {
        "name": widths[f"{party}NameText"],
        "ceo_name": widths[f"{party}SpecifiedPerson/NameText"],
        "address": widths[f"{party}SpecifiedAddress/LineOneText"],
        "business_type": widths[f"{party}TypeCode"],
        "business_class": widths[f"{party}ClassificationCode"],
        "email": widths[f"{party}PrimaryDefinedContact/URICommunication"],
        "email2": widths[f"{party}PrimaryDefinedContact/URICommunication"],
        "item": widths["TaxInvoiceTradeLineItem/NameText"],
        "remark": widths["TaxInvoiceDocument/DescriptionText"],
    }


# The sandbox


def sandbox(behaviour: Behaviour = Behaviour.ACCEPT) -> SandboxProvider:
    return SandboxProvider(behaviour, clock=lambda: ACCEPTED_AT)


@pytest.mark.django_db
def test_accepting_gives_a_number_that_lookup_repeats() -> None:
    issued = sandbox().issue(document(), key="JS-202610-1")
    assert re.fullmatch(r"20261031[0]{8}[0-9]{8}", issued.approval_no)
    assert issued.issued_at == ACCEPTED_AT
    assert sandbox().lookup("JS-202610-1") == Snapshot(
        key="JS-202610-1",
        approval_no=issued.approval_no,
        issued_at=ACCEPTED_AT,
        write_date_on=LAST_DAY,
        buyer_registration_no="2208162517",
        supply_krw=1_647_059,
        tax_krw=164_706,
        total_krw=1_811_765,
    )
    assert sandbox().lookup("JS-202610-2") is None


@pytest.mark.django_db
def test_a_key_is_used_once_and_the_first_document_stays() -> None:
    issued = sandbox().issue(document(), key="JS-202610-1")
    with pytest.raises(KeyInUse):
        sandbox().issue(document(buyer=replace(BUYER, name="다른 회사")), key="JS-202610-1")
    kept = SandboxTaxDocument.objects.get()
    assert (kept.approval_no, kept.payload["buyer"]["name"]) == (issued.approval_no, "주식회사 가온")
    other = sandbox().issue(document(), key="JS-202610-2")
    assert other.approval_no != issued.approval_no


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "a" * 25, "JS 1", "JS/1", "열쇠"])
def test_a_key_that_providers_refuse_is_refused(key: str) -> None:
    with pytest.raises(TaxDocumentError) as refused:
        sandbox().issue(document(), key=key)
    assert refused.value.field == "key"


@pytest.mark.django_db
def test_silence_after_accepting_leaves_the_document_there() -> None:
    with pytest.raises(OutcomeUnknown):
        sandbox(Behaviour.TIMEOUT_AFTER_ACCEPT).issue(document(), key="JS-202610-1")
    held = sandbox().lookup("JS-202610-1")
    assert held is not None
    assert held.approval_no == SandboxTaxDocument.objects.get().approval_no


@pytest.mark.django_db
def test_a_refusal_and_being_away_leave_nothing_there() -> None:
    with pytest.raises(ProviderRejected) as refused:
        sandbox(Behaviour.REJECT).issue(document(), key="JS-202610-1")
    assert (refused.value.code, refused.value.field) == ("sandbox_rejected", "buyer.registration_no")
    away = sandbox(Behaviour.UNAVAILABLE)
    with pytest.raises(ProviderUnavailable):
        away.issue(document(), key="JS-202610-1")
    with pytest.raises(ProviderUnavailable):
        away.lookup("JS-202610-1")
    assert away.preflight().is_ready is False
    assert sandbox().preflight() == Health(is_ready=True, detail="sandbox: nothing reaches the tax office")
    assert not SandboxTaxDocument.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("email", "error"),
    [
        ("tax+reject@gaon.example", ProviderRejected),
        ("tax+timeout@gaon.example", OutcomeUnknown),
        ("tax+unavailable@gaon.example", ProviderUnavailable),
        ("tax+billing+REJECT@gaon.example", ProviderRejected),
    ],
)
def test_the_buyers_address_decides_before_the_setting(email: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        sandbox().issue(document(buyer=replace(BUYER, email=email)), key="JS-202610-1")


@pytest.mark.django_db
@pytest.mark.parametrize("email", ["reject@gaon.example", "tax+rejected@gaon.example", "tax@x+reject.example"])
def test_only_a_whole_tag_before_the_at_sign_counts(email: str) -> None:
    sandbox().issue(document(buyer=replace(BUYER, email=email)), key="JS-202610-1")


@pytest.mark.django_db(transaction=True)
def test_accepting_never_hangs_on_a_transaction_of_ours() -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        sandbox().issue(document(), key="JS-202610-1")
    assert not SandboxTaxDocument.objects.exists()


def test_settings_name_provider_and_behaviour(settings) -> None:
    assert isinstance(tax_provider(), SandboxProvider)
    settings.TAX_SANDBOX_BEHAVIOUR = "explode"
    with pytest.raises(TaxProviderMisconfigured, match="accept, reject, timeout_after_accept, unavailable"):
        tax_provider()
    settings.TAX_PROVIDER = "popbill"
    with pytest.raises(TaxProviderMisconfigured, match="'popbill'; known providers: sandbox"):
        tax_provider()
