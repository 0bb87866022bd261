"""Money received ahead (선수금): a deposit, not a supply. It pays the month-end invoices; what remains can be sent back."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.models.ledger import LedgerTransaction
from billing.models.payments import Payment


class Prepayment(models.Model):
    """So many won of one payment, kept for invoices to come. amount = remaining + consumed + refunded + withdrawn."""

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="prepayments", verbose_name=_("customer"))
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="prepayments", verbose_name=_("payment"))
    amount_krw = models.BigIntegerField(_("amount (KRW)"))
    consumed_krw = models.BigIntegerField(_("consumed (KRW)"), default=0, editable=False)
    refunded_krw = models.BigIntegerField(_("refunded (KRW)"), default=0, editable=False)
    withdrawn_krw = models.BigIntegerField(_("withdrawn (KRW)"), default=0, editable=False)
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("recorded"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("prepayment")
        verbose_name_plural = _("prepayments")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="prepayment_is_of_some_won", condition=Q(amount_krw__gt=0)),
            models.CheckConstraint(
                name="prepayment_is_used_at_most_once",
                condition=Q(
                    consumed_krw__gte=0,
                    refunded_krw__gte=0,
                    withdrawn_krw__gte=0,
                    amount_krw__gte=F("consumed_krw") + F("refunded_krw") + F("withdrawn_krw"),
                ),
            ),
        ]
        indexes = [models.Index(fields=["customer", "created_at"], name="prepayment_by_customer")]

    def __str__(self) -> str:
        return f"{self.customer} {self.amount_krw:,}"

    @property
    def remaining_krw(self) -> int:
        """What it can still pay."""
        return self.amount_krw - self.consumed_krw - self.refunded_krw - self.withdrawn_krw


class PrepaymentWithdrawal(models.Model):
    """Won set aside by mistake, back among the unapplied won of the payment."""

    prepayment = models.ForeignKey(Prepayment, models.PROTECT, related_name="withdrawals", verbose_name=_("prepayment"))
    amount_krw = models.BigIntegerField(_("amount (KRW)"))
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    withdrawn_at = models.DateTimeField(_("withdrawn"))
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )

    class Meta:
        verbose_name = _("prepayment withdrawal")
        verbose_name_plural = _("prepayment withdrawals")
        ordering = ["-withdrawn_at", "-pk"]
        constraints = [models.CheckConstraint(name="withdrawal_is_of_some_won", condition=Q(amount_krw__gt=0))]

    def __str__(self) -> str:
        return f"{self.prepayment_id} {self.amount_krw:,}"


class TopUpSetting(models.Model):
    """When a customer hears that its prepayment runs low: below `threshold_krw`, usage not yet invoiced taken off.

    With `amount_krw` the mail asks for that deposit, without it only says so.
    """

    customer = models.OneToOneField(Customer, models.PROTECT, related_name="top_up_setting", verbose_name=_("customer"))
    threshold_krw = models.BigIntegerField(_("low below (KRW)"))
    amount_krw = models.BigIntegerField(_("deposit to ask for (KRW)"), null=True, blank=True)
    actor = models.CharField(_("by"), max_length=200)
    updated_at = models.DateTimeField(_("changed"))

    class Meta:
        verbose_name = _("top-up setting")
        verbose_name_plural = _("top-up settings")
        ordering = ["customer"]
        constraints = [
            models.CheckConstraint(
                name="top_up_setting_is_of_some_won",
                condition=Q(threshold_krw__gt=0) & (Q(amount_krw__isnull=True) | Q(amount_krw__gt=0)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer} {self.threshold_krw:,}"


class TopUpRequest(models.Model):
    """One mail that the prepayment runs low. The next one is sent only after this one ended: balance up, or cancelled.

    `document` is what the mail says (`billing.documents.TopUpDocument`).
    """

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        ANSWERED = "answered", _("answered")

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="top_up_requests", verbose_name=_("customer"))
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.OPEN)
    amount_krw = models.BigIntegerField(_("deposit asked for (KRW)"), null=True, blank=True)
    deposit_code = models.CharField(_("deposit code"), max_length=10, unique=True)
    document = models.JSONField(_("document"))
    requested_at = models.DateTimeField(_("requested"))
    answered_at = models.DateTimeField(_("answered"), null=True, blank=True)

    class Meta:
        verbose_name = _("top-up request")
        verbose_name_plural = _("top-up requests")
        ordering = ["-requested_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer"], name="top_up_request_is_one_open_per_customer", condition=Q(status="open")
            ),
            models.CheckConstraint(
                name="top_up_request_is_dated_exactly_when_answered",
                condition=Q(status="open", answered_at__isnull=True) | Q(status="answered", answered_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deposit_code} {self.customer}"
