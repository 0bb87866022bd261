"""The tax invoice of an issued invoice, and those that amend it: recorded with their cause, sent to the provider afterwards.

Sending never stands inside a transaction. What is about to be tried is committed first, then the provider is called,
then its answer is committed; so whatever dies in between leaves a row that says "sending", and the next worker asks the
provider what became of it instead of sending it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.models import TaxProfile
from accounts.services import record_audit
from billing.adapters import tax_document
from billing.adapters.tax_document import TaxDocument, TaxDocumentError, TaxLine, TaxParty
from billing.adapters.tax_provider import (
    Issued,
    KeyInUse,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnavailable,
    Snapshot,
    TaxInvoiceProvider,
)
from billing.documents import InvoiceDocument, Party
from billing.errors import (
    TaxDeadlinePassed,
    TaxInvoiceBusy,
    TaxOriginalNotIssued,
    TaxOutcomeUnknown,
    TaxProviderAway,
    UnfitForTaxInvoice,
)
from billing.models import Invoice, TaxInvoice, TaxInvoiceAttempt
from billing.selectors.deadlines import TaxInvoiceDates
from usage.periods import KST, BillingMonth

#: A call without an answer for this long belongs to a dead worker; a provider's client gives up well before.
ANSWER_TIMEOUT = timedelta(minutes=5)
#: Found under our key at the provider, but with other amounts, date or buyer.
KEY_CONFLICT = "key_conflict"

_PURPOSE_CLAIM = "02"  # 청구: to be paid after the month
_PURPOSE_RECEIPT = "01"  # 영수: paid already, from a prepayment
_QUEUED, _SENDING = TaxInvoice.Status.QUEUED, TaxInvoice.Status.SENDING
_ISSUED, _FAILED, _WITHDRAWN = TaxInvoice.Status.ISSUED, TaxInvoice.Status.FAILED, TaxInvoice.Status.WITHDRAWN


def tax_record(*, document: InvoiceDocument, buyer: TaxProfile, dates: TaxInvoiceDates, now: datetime) -> TaxInvoice:
    """The tax invoice record of a bill, before its invoice is written; `record_tax_invoices` saves it with that.

    Parties and amounts are the document's; of `buyer` only the second address and a foreign company's own number are
    taken. Raises UnfitForTaxInvoice when no provider would take it: better before the invoice is issued than after.
    """
    month = BillingMonth.parse(document.month)
    try:
        content = _content(document, month=month, write_date_on=dates.write_date_on, profile=buyer)
    except TaxDocumentError as error:
        raise UnfitForTaxInvoice(f"no tax invoice can be issued: {error}", field=error.field) from None
    return TaxInvoice(
        type_code=content.type_code,
        purpose_code=content.purpose_code,
        write_date_on=content.write_date_on,
        deadline_on=dates.deadline_on,
        supplier=asdict(content.supplier),
        buyer=asdict(content.buyer) | {"foreign_id": buyer.foreign_id},
        buyer_type_code=content.buyer_type_code,
        lines=[asdict(line) | {"supplied_on": line.supplied_on.isoformat()} for line in content.lines],
        remark=content.remark,
        supply_krw=content.supply_krw,
        vat_krw=content.tax_krw,
        total_krw=content.total_krw,
        created_at=now,
    )


def record_tax_invoices(records: Sequence[tuple[Invoice, TaxInvoice]]) -> list[TaxInvoice]:
    """Write tax invoice records with the invoices that they are of; call it inside the issuing transaction."""
    for invoice, record in records:
        record.invoice = invoice
        # With the month, so that a database made anew does not meet its own old keys at the provider.
        record.provider_key = f"JS-{invoice.month:%Y%m}-{invoice.pk}"
    return TaxInvoice.objects.bulk_create(record for _, record in records)


def send_tax_invoice(
    *,
    tax_invoice: TaxInvoice,
    provider: TaxInvoiceProvider,
    now: datetime,
    force_late_by: str = "",
    reason: str = "",
) -> TaxInvoice:
    """Bring the tax invoice to the provider, once; returns the row, then issued or (refused for its content) failed.

    Sending an issued, failed or withdrawn one changes nothing. Raises TaxInvoiceBusy while another worker is at it,
    TaxProviderAway, TaxOutcomeUnknown and (for an amendment) TaxOriginalNotIssued when a later attempt must go on, and
    TaxDeadlinePassed after `deadline_on`
    unless a named person forces it with a reason, which is audited. Runs in no transaction of the caller's.
    """
    if bool(force_late_by.strip()) != bool(reason.strip()):
        raise InvalidInput("a late tax invoice needs a name and a reason", field="reason")
    attempt = _begin(tax_invoice.pk, now=now, force_late_by=force_late_by, reason=reason)
    if attempt is None:
        return TaxInvoice.objects.get(pk=tax_invoice.pk)
    row = attempt.tax_invoice
    if row.status == _SENDING:
        found = _look_up(attempt, provider)
        if found is not None:
            return found
        if _is_late(row, now) and not force_late_by:
            _answer(attempt, outcome="not_found", status=_QUEUED)
            raise _late(row)
    return _issue(attempt, provider)


@transaction.atomic
def requeue_tax_invoice(*, tax_invoice: TaxInvoice, actor: str, reason: str) -> TaxInvoice:
    """Let a refused tax invoice be sent again, after what the provider disliked was repaired on its side."""
    row = TaxInvoice.objects.select_for_update().get(pk=tax_invoice.pk)
    if row.status != _FAILED:
        return row
    if not reason.strip():
        raise InvalidInput("sending again needs a reason", field="reason")
    refusal = {"error_code": row.error_code, "error_message": row.error_message}
    row.status, row.error_code, row.error_message = _QUEUED, "", ""
    row.save(update_fields=["status", "error_code", "error_message"])
    record_audit(actor=actor, action="requeue_tax_invoice", subject=row, reason=reason, data=refusal)
    return row


def _content(
    document: InvoiceDocument, *, month: BillingMonth, write_date_on: date, profile: TaxProfile
) -> TaxDocument:
    """The tax document of a bill: one summed line, because the models stand on the bill itself."""
    is_foreign = document.buyer.kind == TaxProfile.Kind.FOREIGN
    buyer = replace(_party(document.buyer), email2=profile.email2)
    if is_foreign:
        buyer = replace(buyer, registration_no=tax_document.FOREIGN_REGISTRATION_NO)
    line = TaxLine(
        item=f"AI API 사용료 {month.year}년 {month.month}월",
        quantity=1,
        supplied_on=write_date_on,
        supply_krw=document.supply_krw,
        tax_krw=document.vat_krw,
    )
    return TaxDocument(
        type_code=tax_document.ZERO_RATED_TYPE_CODE if document.zero_rate else tax_document.TYPE_CODE,
        purpose_code=_PURPOSE_CLAIM if document.due_krw else _PURPOSE_RECEIPT,
        write_date_on=write_date_on,
        supplier=_party(document.seller),
        buyer=buyer,
        buyer_type_code=tax_document.FOREIGN if is_foreign else tax_document.BUSINESS,
        lines=(line,),
        supply_krw=document.supply_krw,
        tax_krw=document.vat_krw,
        total_krw=document.total_krw,
        remark=profile.foreign_id if is_foreign else "",
    )


def _party(party: Party) -> TaxParty:
    return TaxParty(
        registration_no=party.registration_no,
        name=party.name,
        ceo_name=party.ceo_name,
        address=party.address,
        business_type=party.business_type,
        business_class=party.business_class,
        email=party.email,
    )


def recorded_document(row: TaxInvoice) -> TaxDocument:
    """The document as it was recorded."""
    return TaxDocument(
        type_code=row.type_code,
        purpose_code=row.purpose_code,
        write_date_on=row.write_date_on,
        supplier=TaxParty(**row.supplier),
        buyer=TaxParty(**{name: text for name, text in row.buyer.items() if name != "foreign_id"}),
        buyer_type_code=row.buyer_type_code,
        lines=tuple(TaxLine(**line | {"supplied_on": date.fromisoformat(line["supplied_on"])}) for line in row.lines),
        supply_krw=row.supply_krw,
        tax_krw=row.vat_krw,
        total_krw=row.total_krw,
        remark=row.remark,
        amendment_code=row.amendment_code,
    )


def _begin(pk: int, *, now: datetime, force_late_by: str, reason: str) -> TaxInvoiceAttempt | None:
    """Commit that we are about to call the provider; None when the row is settled.

    The attempt's `tax_invoice` still has the status from before: "sending" means that an earlier call stayed open.
    """
    with transaction.atomic(durable=True):
        row = TaxInvoice.objects.select_for_update(of=("self",)).select_related("amends").get(pk=pk)
        if row.status in (_ISSUED, _FAILED, _WITHDRAWN):
            return None
        if row.amends is not None and row.amends.status != _ISSUED:
            raise TaxOriginalNotIssued(f"{row.amends.provider_key}, which it amends, is not issued yet")
        unanswered = row.attempts.filter(finished_at=None)
        if unanswered.filter(started_at__gt=now - ANSWER_TIMEOUT).exists():
            raise TaxInvoiceBusy(f"{row.provider_key} is being sent right now")
        unanswered.update(finished_at=now, outcome="unanswered")
        if _is_late(row, now):
            if force_late_by:
                record_audit(actor=force_late_by, action="force_late_tax_invoice", subject=row, reason=reason)
            elif row.status == _QUEUED:
                raise _late(row)
        TaxInvoice.objects.filter(pk=pk).update(status=_SENDING)
        return TaxInvoiceAttempt.objects.create(tax_invoice=row, started_at=now)


def _issue(attempt: TaxInvoiceAttempt, provider: TaxInvoiceProvider) -> TaxInvoice:
    row = attempt.tax_invoice
    try:
        issued = _call(provider, row)
    except ProviderRejected as refusal:
        detail = f"{refusal.field}: {refusal.message}" if refusal.field else refusal.message
        return _fail(attempt, code=refusal.code, message=detail)
    except ProviderUnavailable as error:
        _answer(attempt, outcome="unavailable", detail=str(error), status=_QUEUED)
        raise TaxProviderAway(f"the tax-invoice provider is away: {error}") from None
    except (OutcomeUnknown, KeyInUse) as error:
        found = _look_up(attempt, provider)
        if found is not None:
            return found
        _answer(attempt, outcome="unknown", detail=str(error))
        raise TaxOutcomeUnknown(f"it is not known whether {row.provider_key} was issued: {error}") from None
    return _answer(
        attempt,
        outcome="issued",
        status=_ISSUED,
        nts_status=TaxInvoice.NtsStatus.PENDING,
        approval_no=issued.approval_no,
        issued_at=issued.issued_at,
    )


def _call(provider: TaxInvoiceProvider, row: TaxInvoice) -> Issued:
    document = recorded_document(row)
    if row.amends is None:
        return provider.issue(document, key=row.provider_key)
    return provider.issue_amendment(document, key=row.provider_key, original_approval_no=row.amends.approval_no)


def _look_up(attempt: TaxInvoiceAttempt, provider: TaxInvoiceProvider) -> TaxInvoice | None:
    """Settle the row by what the provider holds under its key; None when it holds nothing."""
    row = attempt.tax_invoice
    try:
        held = provider.lookup(row.provider_key)
    except ProviderUnavailable as error:
        _answer(attempt, outcome="unknown", detail=str(error))
        raise TaxOutcomeUnknown(f"the provider can't say whether {row.provider_key} was issued: {error}") from None
    if held is None:
        return None
    if not _is_same(row, held):
        return _fail(attempt, code=KEY_CONFLICT, message=f"{held.approval_no} stands under {row.provider_key}")
    return _answer(
        attempt,
        outcome="found",
        status=_ISSUED,
        nts_status=TaxInvoice.NtsStatus.PENDING,
        approval_no=held.approval_no,
        issued_at=held.issued_at,
    )


def _is_same(row: TaxInvoice, held: Snapshot) -> bool:
    original = row.amends.approval_no if row.amends else ""
    content = (row.write_date_on, row.buyer["registration_no"], row.supply_krw, row.vat_krw, row.total_krw, original)
    return content == (
        held.write_date_on,
        held.buyer_registration_no,
        held.supply_krw,
        held.tax_krw,
        held.total_krw,
        held.original_approval_no,
    )


def _fail(attempt: TaxInvoiceAttempt, *, code: str, message: str) -> TaxInvoice:
    return _answer(
        attempt,
        outcome="rejected",
        detail=f"{code}: {message}",
        status=_FAILED,
        error_code=code[:40],
        error_message=message[:500],
    )


def _answer(attempt: TaxInvoiceAttempt, *, outcome: str, detail: str = "", **changes: Any) -> TaxInvoice:
    """Commit what the provider said.

    Whoever answers after its attempt was given up as unanswered changes nothing, except that an approval number counts
    whenever it comes.
    """
    with transaction.atomic(durable=True):
        row = TaxInvoice.objects.select_for_update().get(pk=attempt.tax_invoice_id)
        was_open = TaxInvoiceAttempt.objects.filter(pk=attempt.pk, finished_at=None).update(
            finished_at=timezone.now(), outcome=outcome, detail=detail[:500]
        )
        if changes and (was_open or ("approval_no" in changes and not row.approval_no)):
            for name, value in changes.items():
                setattr(row, name, value)
            row.save(update_fields=list(changes))
    return row


def _is_late(row: TaxInvoice, now: datetime) -> bool:
    return row.deadline_on is not None and now.astimezone(KST).date() > row.deadline_on


def _late(row: TaxInvoice) -> TaxDeadlinePassed:
    return TaxDeadlinePassed(
        f"the tax invoice was due by {row.deadline_on}; a named person must decide to issue it late",
        field="deadline_on",
    )
