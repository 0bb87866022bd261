"""The tax invoice record, and bringing it to the provider exactly once whatever happens on the way."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import InvalidInput
from accounts.models import AuditEntry
from billing.adapters.tax_provider import OutcomeUnknown, ProviderUnavailable
from billing.adapters.tax_sandbox import Behaviour, SandboxProvider
from billing.errors import (
    TaxDeadlinePassed,
    TaxInvoiceBusy,
    TaxOutcomeUnknown,
    TaxProviderAway,
    UnfitForTaxInvoice,
)
from billing.models import Invoice, SandboxTaxDocument, TaxInvoice
from billing.selectors.deadlines import tax_invoice_dates
from billing.services.taxing import (
    ANSWER_TIMEOUT,
    record_tax_invoices,
    requeue_tax_invoice,
    send_tax_invoice,
    tax_record,
)
from tests.billing import factories
from tests.billing.factories import NOW, SUPPLY, TOTAL, VAT
from tests.billing.providers import Watched, raising

pytestmark = pytest.mark.django_db

#: Wednesday, 11 November 2026, 00:00 in Korea: October's invoices were due the day before.
LATE = datetime(2026, 11, 10, 15, 0, tzinfo=UTC)
LAST_MOMENT = LATE - timedelta(microseconds=1)


def recorded(**changes: str) -> TaxInvoice:
    return factories.issued_invoice(factories.customer(**changes)).tax_invoice


def send(row: TaxInvoice, provider: Watched, now: datetime = NOW, **options: str) -> TaxInvoice:
    return send_tax_invoice(tax_invoice=row, provider=provider, now=now, **options)


def outcomes(row: TaxInvoice) -> list[str]:
    return list(row.attempts.order_by("pk").values_list("outcome", flat=True))


def state(row: TaxInvoice) -> tuple[str, str, str]:
    row.refresh_from_db()
    return row.status, row.nts_status, row.error_code


# The record


def test_the_record_has_every_mandatory_field() -> None:
    row = recorded(email2="second@gaonrobotics.example")
    row.refresh_from_db()
    assert row.provider_key == f"JS-202610-{row.invoice_id}"
    assert (row.type_code, row.purpose_code, row.buyer_type_code, row.remark) == ("0101", "02", "01", "")
    assert (row.write_date_on, row.deadline_on) == (date(2026, 10, 31), date(2026, 11, 10))
    assert (row.supply_krw, row.vat_krw, row.total_krw) == (SUPPLY, VAT, TOTAL)
    assert row.lines == [
        {
            "item": "AI API 사용료 2026년 10월",
            "quantity": 1,
            "supplied_on": "2026-10-31",
            "supply_krw": SUPPLY,
            "tax_krw": VAT,
        }
    ]
    assert row.supplier == {
        "registration_no": "2018612345",
        "name": "주식회사 정산",
        "ceo_name": "한결",
        "address": "서울특별시 중구 세종대로 110, 7층 (태평로1가)",
        "business_type": "정보통신업",
        "business_class": "응용 소프트웨어 개발 및 공급업",
        "email": "billing@jeongsan.example",
        "email2": "",
    }
    assert row.buyer == {
        "registration_no": "2208162517",
        "name": "주식회사 가온로보틱스",
        "ceo_name": "윤서진",
        "address": "경기도 성남시 분당구 판교역로 235",
        "business_type": "제조업",
        "business_class": "산업용 로봇 제조업",
        "email": "tax@gaonrobotics.example",
        "email2": "second@gaonrobotics.example",
        "foreign_id": "",
    }
    assert (row.status, row.nts_status, row.approval_no) == ("queued", "not_observable", "")


def test_a_foreign_buyer_stands_as_nines_with_its_own_number_as_remark() -> None:
    owner = factories.customer("nordlicht", profile=factories.FOREIGN)
    row = factories.issued_invoice(owner).tax_invoice
    assert (row.buyer_type_code, row.buyer["registration_no"]) == ("03", "9999999999999")
    assert (row.remark, row.buyer["foreign_id"]) == ("DE811907980", "DE811907980")
    assert send(row, Watched()).status == "issued"


def test_an_identity_that_no_provider_takes_is_refused_before_issue() -> None:
    owner = factories.customer(address="경기도 성남시\n판교역로 235")
    with pytest.raises(UnfitForTaxInvoice) as refused, transaction.atomic():
        factories.issued_invoice(owner)
    assert (refused.value.code, refused.value.field) == ("unfit_for_tax_invoice", "buyer.address")
    assert not Invoice.objects.exists()


def test_an_invoice_has_one_record() -> None:
    invoice = factories.issued_invoice()
    profile = invoice.customer.tax_profiles.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        dates = tax_invoice_dates(factories.OCTOBER)
        record = tax_record(document=factories.document(profile), buyer=profile, dates=dates, now=NOW)
        record_tax_invoices([(invoice, record)])


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_taxinvoice SET supply_krw = 1, total_krw = 1 + vat_krw",
        "UPDATE billing_taxinvoice SET buyer = '{}'",
        "UPDATE billing_taxinvoice SET deadline_on = '2027-01-01'",
        "UPDATE billing_taxinvoice SET provider_key = 'JS-0'",
        "UPDATE billing_taxinvoice SET approval_no = 'another'",
        "DELETE FROM billing_taxinvoice",
        "UPDATE billing_taxinvoiceattempt SET outcome = 'never'",
        "DELETE FROM billing_taxinvoiceattempt",
    ],
)
def test_the_database_keeps_record_and_attempts_as_they_are(sql: str) -> None:
    send(recorded(), Watched())
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


# What the provider says


def test_accepted() -> None:
    row = recorded()
    provider = Watched()
    sent = send(row, provider)
    held = SandboxTaxDocument.objects.get()
    assert (sent.approval_no, sent.issued_at) == (held.approval_no, NOW)
    assert state(row) == ("issued", "pending", "")
    assert row.approval_no[:16] == "2026103100000000"
    assert held.payload["supply_krw"] == SUPPLY
    assert held.payload["lines"][0]["item"] == "AI API 사용료 2026년 10월"
    assert (outcomes(row), provider.calls) == (["issued"], ["issue"])
    assert row.attempts.get().finished_at is not None


def test_sending_an_issued_one_again_asks_nobody() -> None:
    row = recorded()
    first = send(row, Watched())
    provider = Watched(Behaviour.REJECT)
    again = send(row, provider, now=LATE)
    assert (again.approval_no, again.status, provider.calls) == (first.approval_no, "issued", [])


def test_rejected_waits_for_a_person() -> None:
    row = recorded()
    sent = send(row, Watched(Behaviour.REJECT))
    assert sent.status == "failed"
    assert state(row) == ("failed", "not_observable", "sandbox_rejected")
    assert row.error_message == "buyer.registration_no: the sandbox plays a refusal"
    provider = Watched()
    assert send(row, provider).status == "failed"
    assert (provider.calls, outcomes(row)) == ([], ["rejected"])

    with pytest.raises(InvalidInput):
        requeue_tax_invoice(tax_invoice=row, actor="op@jeongsan.example", reason=" ")
    requeue_tax_invoice(tax_invoice=row, actor="op@jeongsan.example", reason="인증서 갱신")
    entry = AuditEntry.objects.get(action="requeue_tax_invoice")
    assert (entry.actor, entry.reason, entry.data["error_code"]) == (
        "op@jeongsan.example",
        "인증서 갱신",
        "sandbox_rejected",
    )
    send(row, provider)
    assert state(row) == ("issued", "pending", "")
    assert outcomes(row) == ["rejected", "issued"]


def test_away_stays_queued() -> None:
    row = recorded()
    with pytest.raises(TaxProviderAway):
        send(row, Watched(Behaviour.UNAVAILABLE))
    assert state(row) == ("queued", "not_observable", "")
    send(row, Watched())
    assert (state(row)[0], outcomes(row)) == ("issued", ["unavailable", "issued"])


def test_silence_after_accepting_is_settled_by_asking() -> None:
    row = recorded()
    provider = Watched(Behaviour.TIMEOUT_AFTER_ACCEPT)
    sent = send(row, provider)
    held = SandboxTaxDocument.objects.get()
    assert (sent.status, sent.approval_no, sent.issued_at) == ("issued", held.approval_no, held.accepted_at)
    assert (provider.calls, outcomes(row)) == (["issue", "lookup"], ["found"])


def test_silence_and_then_no_answer_to_the_question_either() -> None:
    row = recorded()
    dumb = Watched(Behaviour.TIMEOUT_AFTER_ACCEPT, before_lookup=raising(ProviderUnavailable("down")))
    with pytest.raises(TaxOutcomeUnknown):
        send(row, dumb)
    assert state(row)[0] == "sending"
    provider = Watched()
    send(row, provider, now=NOW + timedelta(minutes=1))
    assert (state(row)[0], provider.calls, outcomes(row)) == ("issued", ["lookup"], ["unknown", "found"])
    assert SandboxTaxDocument.objects.count() == 1


def test_a_request_that_got_lost_is_sent_again_only_after_asking() -> None:
    row = recorded()
    lost = Watched(before=raising(OutcomeUnknown("connection reset")))
    with pytest.raises(TaxOutcomeUnknown):
        send(row, lost)
    assert (state(row)[0], lost.calls) == ("sending", ["issue", "lookup"])
    provider = Watched()
    send(row, provider, now=NOW + timedelta(minutes=1))
    assert (state(row)[0], provider.calls) == ("issued", ["lookup", "issue"])
    assert (outcomes(row), SandboxTaxDocument.objects.count()) == (["unknown", "issued"], 1)


def test_another_document_under_our_key_is_not_taken_for_ours() -> None:
    row = recorded()
    send(row, Watched())
    other = factories.issued_invoice(factories.customer("other"), number="INV-202610-0002").tax_invoice
    held = SandboxTaxDocument.objects.get()
    SandboxTaxDocument.objects.create(
        key=other.provider_key, payload=held.payload | {"total_krw": TOTAL + 1}, approval_no="x" * 24, accepted_at=NOW
    )
    provider = Watched()
    send(other, provider)
    assert state(other) == ("failed", "not_observable", "key_conflict")
    assert (other.approval_no, provider.calls) == ("", ["issue", "lookup"])


# Dying on the way


def test_a_worker_that_died_after_the_provider_accepted() -> None:
    row = recorded()
    with pytest.raises(SystemExit):
        send(row, Watched(after=raising(SystemExit())))
    assert (state(row)[0], outcomes(row), SandboxTaxDocument.objects.count()) == ("sending", [""], 1)
    with pytest.raises(TaxInvoiceBusy):
        send(row, Watched(), now=NOW + ANSWER_TIMEOUT - timedelta(seconds=1))
    provider = Watched()
    send(row, provider, now=NOW + ANSWER_TIMEOUT)
    assert (state(row)[0], provider.calls) == ("issued", ["lookup"])
    assert (outcomes(row), SandboxTaxDocument.objects.count()) == (["unanswered", "found"], 1)


def test_a_worker_that_died_before_anything_was_sent() -> None:
    row = recorded()
    with pytest.raises(SystemExit):
        send(row, Watched(before=raising(SystemExit())))
    provider = Watched()
    send(row, provider, now=NOW + ANSWER_TIMEOUT)
    assert (state(row)[0], provider.calls) == ("issued", ["lookup", "issue"])
    assert outcomes(row) == ["unanswered", "issued"]


@pytest.mark.parametrize("says", [None, ProviderUnavailable("too late")])
def test_an_answer_that_comes_after_somebody_else_took_over_changes_nothing(says: Exception | None) -> None:
    row = recorded()
    taken_over: list[TaxInvoice] = []

    def meanwhile() -> None:
        taken_over.append(send(row, Watched(), now=NOW + ANSWER_TIMEOUT))
        if says is not None:
            raise says

    slow = Watched(after=meanwhile)
    if says is None:
        assert send(row, slow).status == "issued"
    else:
        with pytest.raises(TaxProviderAway):
            send(row, slow)
    assert state(row) == ("issued", "pending", "")
    assert row.approval_no == taken_over[0].approval_no == SandboxTaxDocument.objects.get().approval_no
    assert outcomes(row) == ["unanswered", "found"]


# The deadline


def test_the_tenth_is_in_time_to_its_last_moment_in_korea() -> None:
    assert send(recorded(), Watched(), now=LAST_MOMENT).status == "issued"


def test_after_the_deadline_a_named_person_decides_with_a_reason() -> None:
    row = recorded()
    provider = Watched()
    with pytest.raises(TaxDeadlinePassed) as refused:
        send(row, provider, now=LATE)
    assert refused.value.field == "deadline_on"
    for half in ({"force_late_by": "op@jeongsan.example"}, {"reason": "승인"}):
        with pytest.raises(InvalidInput):
            send(row, provider, now=LATE, **half)
    assert (state(row)[0], outcomes(row), provider.calls) == ("queued", [], [])

    send(row, provider, now=LATE, force_late_by="op@jeongsan.example", reason="고객사 요청, 가산세 부담")
    assert state(row)[0] == "issued"
    entry = AuditEntry.objects.get(action="force_late_tax_invoice")
    assert (entry.actor, entry.reason, entry.object_id) == (
        "op@jeongsan.example",
        "고객사 요청, 가산세 부담",
        str(row.pk),
    )


def test_what_was_accepted_in_time_is_found_after_the_deadline() -> None:
    row = recorded()
    with pytest.raises(SystemExit):
        send(row, Watched(after=raising(SystemExit())), now=LAST_MOMENT)
    provider = Watched()
    assert send(row, provider, now=LATE + ANSWER_TIMEOUT).status == "issued"
    assert provider.calls == ["lookup"]
    assert not AuditEntry.objects.filter(action="force_late_tax_invoice").exists()


def test_what_got_lost_before_the_deadline_is_not_sent_after_it() -> None:
    row = recorded()
    with pytest.raises(SystemExit):
        send(row, Watched(before=raising(SystemExit())), now=LAST_MOMENT)
    provider = Watched()
    with pytest.raises(TaxDeadlinePassed):
        send(row, provider, now=LATE + ANSWER_TIMEOUT)
    assert (state(row)[0], provider.calls, outcomes(row)) == ("queued", ["lookup"], ["unanswered", "not_found"])


# Several at once


@pytest.mark.django_db(transaction=True)
def test_of_workers_at_once_one_sends() -> None:
    row = recorded()
    barrier = threading.Barrier(4)
    sending = threading.Event()
    results: list[Any] = []

    def hold() -> None:
        # Until the others have been turned away; they need the row's lock, which we don't hold meanwhile.
        sending.wait(timeout=30)

    def work(provider: Watched) -> None:
        try:
            barrier.wait()
            results.append(send(row, provider))
        except TaxInvoiceBusy as busy:
            results.append(busy)
            if sum(isinstance(result, TaxInvoiceBusy) for result in results) == 3:
                sending.set()
        finally:
            connection.close()

    providers = [Watched(before=hold) for _ in range(4)]
    threads = [threading.Thread(target=work, args=(provider,)) for provider in providers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(provider.calls) for provider in providers) == [0, 0, 0, 1]
    assert sum(isinstance(result, TaxInvoiceBusy) for result in results) == 3
    assert state(row)[0] == "issued"
    assert (outcomes(row), SandboxTaxDocument.objects.count()) == (["issued"], 1)


@pytest.mark.django_db(transaction=True)
def test_sending_inside_a_transaction_is_a_mistake() -> None:
    row = recorded()
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        send(row, Watched())
    assert (state(row)[0], outcomes(row)) == ("queued", [])


def test_the_content_sent_is_the_content_recorded() -> None:
    row = recorded(email2="second@gaonrobotics.example")
    seen: list[Any] = []

    class Reading(SandboxProvider):
        def issue(self, doc: Any, *, key: str) -> Any:
            seen.append(doc)
            return super().issue(doc, key=key)

    send_tax_invoice(tax_invoice=row, provider=Reading(Behaviour.ACCEPT), now=NOW)
    [doc] = seen
    assert (doc.buyer.email2, doc.supplier.registration_no) == ("second@gaonrobotics.example", "2018612345")
    assert doc.lines[0].supplied_on == doc.write_date_on == date(2026, 10, 31)
