"""What takes won off an issued invoice. The invoice stays as it is; a credit note is a document of its own."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.models.invoices import Invoice, InvoiceLine
from billing.models.ledger import LedgerTransaction


class CreditNote(models.Model):
    """So many won of an invoice's supply, with their VAT, taken back. Amounts are positive whole won.

    The VAT is what the invoice's VAT loses when the supply shrinks, so that the notes of an invoice that is credited
    whole take back its VAT to the won. `amendment_code` is the 수정사유 of the amended tax invoice (VAT Act decree art. 70);
    03 (goods returned) and 05 (local letter of credit) do not happen to metered usage. `document` is the whole content as
    issued (`billing.notes.CreditNoteDocument`).
    """

    class Amendment(models.TextChoices):
        ERROR = "01", _("error in the original (착오·정정)")
        SUPPLY_CHANGED = "02", _("supply amount changed (공급가액 변동)")
        CANCELLED = "04", _("contract cancelled (계약의 해제)")
        DUPLICATE = "06", _("issued twice by mistake (이중발급)")

    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="credit_notes", verbose_name=_("invoice"))
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="credit_notes", verbose_name=_("customer"))
    number = models.CharField(_("number"), max_length=30, unique=True)
    amendment_code = models.CharField(_("reason code (수정사유)"), max_length=2, choices=Amendment.choices)
    reason = models.CharField(_("reason"), max_length=300)
    supply_krw = models.BigIntegerField(_("supply (KRW)"))
    vat_krw = models.BigIntegerField(_("VAT (KRW)"))
    total_krw = models.BigIntegerField(_("total (KRW)"))
    issued_at = models.DateTimeField(_("issued"))
    issued_on = models.DateField(_("issue date"))
    actor = models.CharField(_("by"), max_length=200)
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )
    document = models.JSONField(_("document"))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("credit note")
        verbose_name_plural = _("credit notes")
        ordering = ["-issued_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="credit_note_total_is_supply_plus_vat",
                condition=Q(total_krw=F("supply_krw") + F("vat_krw"), supply_krw__gt=0, vat_krw__gte=0),
            ),
            models.CheckConstraint(name="credit_note_has_a_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return self.number


class CreditNoteLine(models.Model):
    """Won of one invoice line. All notes together never take more off a line than it was billed at after promotion."""

    credit_note = models.ForeignKey(CreditNote, models.PROTECT, related_name="lines", verbose_name=_("credit note"))
    invoice_line = models.ForeignKey(
        InvoiceLine, models.PROTECT, related_name="credit_lines", verbose_name=_("invoice line")
    )
    amount_krw = models.BigIntegerField(_("supply (KRW)"))

    class Meta:
        verbose_name = _("credit note line")
        verbose_name_plural = _("credit note lines")
        ordering = ["credit_note", "invoice_line"]
        constraints = [
            models.UniqueConstraint(fields=["credit_note", "invoice_line"], name="credit_note_names_a_line_once"),
            models.CheckConstraint(name="credit_note_line_is_of_some_won", condition=Q(amount_krw__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.credit_note_id} {self.invoice_line_id} {self.amount_krw:,}"


class CreditNotePdf(models.Model):
    """The PDF that was made of a credit note; kept as the bytes that were sent."""

    credit_note = models.OneToOneField(CreditNote, models.PROTECT, related_name="pdf", verbose_name=_("credit note"))
    content = models.BinaryField(_("PDF"))
    sha256 = models.CharField("SHA-256", max_length=64)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("credit note PDF")
        verbose_name_plural = _("credit note PDFs")

    def __str__(self) -> str:
        return f"{self.credit_note_id} {self.sha256[:12]}"


class InvoiceVoid(models.Model):
    """That an issued invoice was taken back whole, by whom and why; the customer is told the reason."""

    invoice = models.OneToOneField(Invoice, models.PROTECT, related_name="voiding", verbose_name=_("invoice"))
    amendment_code = models.CharField(_("reason code (수정사유)"), max_length=2, choices=CreditNote.Amendment.choices)
    reason = models.CharField(_("reason"), max_length=300)
    voided_at = models.DateTimeField(_("voided at"))
    voided_on = models.DateField(_("void date"))
    actor = models.CharField(_("by"), max_length=200)

    class Meta:
        verbose_name = _("voided invoice")
        verbose_name_plural = _("voided invoices")
        ordering = ["-voided_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="invoice_void_has_a_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.invoice_id} {self.voided_on}"


class PriceCorrection(models.Model):
    """What one price should have been, for months that are billed already. Proposed, looked at, approved by somebody else.

    The price row itself and the events stay; what the correction takes back is documented by credit notes.
    """

    class Status(models.TextChoices):
        PROPOSED = "proposed", _("proposed")
        APPROVED = "approved", _("approved")
        WITHDRAWN = "withdrawn", _("withdrawn")

    price = models.ForeignKey("catalog.Price", models.PROTECT, related_name="+", verbose_name=_("price"))
    components = models.JSONField(_("components"))
    overrides = models.JSONField(_("overrides"), default=list)
    reason = models.CharField(_("reason"), max_length=300)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PROPOSED)
    proposed_by = models.CharField(_("proposed by"), max_length=200)
    proposed_at = models.DateTimeField(_("proposed at"))
    decided_by = models.CharField(_("decided by"), max_length=200, blank=True)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)

    class Meta:
        verbose_name = _("price correction")
        verbose_name_plural = _("price corrections")
        ordering = ["-proposed_at"]
        constraints = [
            models.CheckConstraint(
                name="price_correction_is_approved_by_a_second_person",
                condition=Q(status="proposed", decided_by="", decided_at__isnull=True)
                | Q(status="withdrawn", decided_at__isnull=False)
                | (Q(status="approved", decided_at__isnull=False) & ~Q(decided_by=F("proposed_by"))),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price_id} {self.status}"
