"""The 세금계산서 record: what must reach the tax office for an invoice or its correction, and how far it got."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.credit_notes import CreditNote
from billing.models.invoices import Invoice


class TaxInvoice(models.Model):
    """All mandatory fields of an electronic tax invoice (VAT Act art. 32; field list KEC v3.0), frozen when queued.

    Two axes, because the provider and the tax office answer separately: `status` is the document at the provider,
    `nts_status` its transmission. Only these and the provider's answers may change.

    An amended one (수정세금계산서) has an `amendment_code` (01 to 06) and the tax invoice that it `amends`. Those of a
    credit note or a voided invoice name the invoice that they take won off or state anew as `corrects`; the one of an
    invoice that was issued anew is that invoice's own. Amounts of amendments may be negative.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        SENDING = "sending", _("sending")
        ISSUED = "issued", _("issued")
        FAILED = "failed", _("failed")
        #: Its invoice was voided before it left: there is nothing to amend.
        WITHDRAWN = "withdrawn", _("voided unsent")

    class NtsStatus(models.TextChoices):
        NOT_OBSERVABLE = "not_observable", _("not yet known")
        PENDING = "pending", _("waiting for transmission")
        ACCEPTED = "accepted", _("accepted")
        REJECTED = "rejected", _("rejected")

    invoice = models.OneToOneField(
        Invoice, models.PROTECT, null=True, blank=True, related_name="tax_invoice", verbose_name=_("invoice")
    )
    corrects = models.ForeignKey(
        Invoice,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="amended_tax_invoices",
        verbose_name=_("corrected invoice"),
    )
    credit_note = models.ForeignKey(
        CreditNote, models.PROTECT, null=True, blank=True, related_name="tax_invoices", verbose_name=_("credit note")
    )
    amends = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="amendments", verbose_name=_("amended tax invoice")
    )
    amendment_code = models.CharField(_("reason code (수정사유)"), max_length=2, blank=True)
    #: Our document key at the provider: 1-24 of [A-Za-z0-9_-], the same over retries.
    provider_key = models.CharField(_("document key"), max_length=24, unique=True)
    type_code = models.CharField(_("type code"), max_length=4, default="0101")
    purpose_code = models.CharField(_("purpose"), max_length=2, default="02")
    write_date_on = models.DateField(_("written on (작성일자)"))
    #: None where the law names no day: an error is corrected when it is noticed (codes 01 and 06).
    deadline_on = models.DateField(_("issue deadline"), null=True, blank=True)
    supplier = models.JSONField(_("supplier (공급자)"))
    buyer = models.JSONField(_("buyer (공급받는자)"))
    buyer_type_code = models.CharField(_("buyer type"), max_length=2)
    lines = models.JSONField(_("lines"))
    remark = models.CharField(_("remark (비고)"), max_length=150, blank=True)
    supply_krw = models.BigIntegerField(_("supply (공급가액)"))
    vat_krw = models.BigIntegerField(_("tax (세액)"))
    total_krw = models.BigIntegerField(_("total"))
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.QUEUED)
    nts_status = models.CharField(
        _("tax office"), max_length=16, choices=NtsStatus.choices, default=NtsStatus.NOT_OBSERVABLE
    )
    #: 승인번호. Not unique: on schema errors the tax office answers with one sentinel for all.
    approval_no = models.CharField(_("approval no. (승인번호)"), max_length=24, blank=True)
    issued_at = models.DateTimeField(_("issued"), null=True, blank=True)
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_message = models.CharField(_("error"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("tax invoice")
        verbose_name_plural = _("tax invoices")
        ordering = ["-write_date_on", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="tax_invoice_total_is_supply_plus_vat", condition=Q(total_krw=F("supply_krw") + F("vat_krw"))
            ),
            models.CheckConstraint(
                name="tax_invoice_deadline_follows_its_date", condition=Q(deadline_on__gt=F("write_date_on"))
            ),
            models.CheckConstraint(
                name="tax_invoice_is_of_an_invoice_or_corrects_one",
                condition=Q(invoice__isnull=False, corrects__isnull=True, credit_note__isnull=True)
                | Q(invoice__isnull=True, corrects__isnull=False, amends__isnull=False),
            ),
            models.CheckConstraint(
                name="tax_invoice_has_a_code_exactly_when_it_amends",
                condition=Q(amends__isnull=True, amendment_code="", deadline_on__isnull=False)
                | (Q(amends__isnull=False) & ~Q(amendment_code="")),
            ),
        ]

    def __str__(self) -> str:
        return self.approval_no or self.provider_key


class TaxInvoiceAttempt(models.Model):
    """One call to the provider, written before it is made; the answer is added when one comes."""

    tax_invoice = models.ForeignKey(TaxInvoice, models.PROTECT, related_name="attempts", verbose_name=_("tax invoice"))
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=20, blank=True)
    detail = models.CharField(_("detail"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("tax invoice attempt")
        verbose_name_plural = _("tax invoice attempts")
        ordering = ["tax_invoice", "started_at"]

    def __str__(self) -> str:
        return f"{self.tax_invoice_id} {self.started_at:%Y-%m-%d %H:%M:%S} {self.outcome}"


class SandboxTaxDocument(models.Model):
    """What the embedded sandbox provider has accepted: its own memory, as a real provider has one of its own."""

    key = models.CharField(_("document key"), max_length=24, unique=True)
    payload = models.JSONField(_("document"))
    approval_no = models.CharField(_("approval no."), max_length=24)
    accepted_at = models.DateTimeField(_("accepted"), default=timezone.now)

    class Meta:
        verbose_name = _("sandbox tax document")
        verbose_name_plural = _("sandbox tax documents")

    def __str__(self) -> str:
        return self.key
