"""Promotional credit: won of supply given away. It reduces an invoice's supply before VAT and is never money."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.models.invoices import Invoice


class PromotionalCredit(models.Model):
    """A grant. amount = remaining + used + expired + voided, each at least 0.

    It covers usage of the KST days from `valid_from` to `expires_on`, both included, of the models named (their ids;
    NULL sets no limit). Of several, the lowest `priority` goes first, then the one that expires first, then the oldest.
    The three sums are kept by a trigger on `PromotionalCreditMove`.
    """

    customer = models.ForeignKey(
        Customer, models.PROTECT, related_name="promotional_credits", verbose_name=_("customer")
    )
    name = models.CharField(_("name on the invoice"), max_length=100)
    amount_krw = models.BigIntegerField(_("amount (KRW of supply)"))
    priority = models.PositiveSmallIntegerField(_("priority"), default=0)
    valid_from = models.DateField(_("valid from"))
    expires_on = models.DateField(_("last valid day"))
    models_covered = ArrayField(models.CharField(max_length=200), verbose_name=_("models"), null=True, blank=True)
    used_krw = models.BigIntegerField(_("used (KRW)"), default=0, editable=False)
    expired_krw = models.BigIntegerField(_("expired (KRW)"), default=0, editable=False)
    voided_krw = models.BigIntegerField(_("voided (KRW)"), default=0, editable=False)
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    granted_at = models.DateTimeField(_("granted"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("promotional credit")
        verbose_name_plural = _("promotional credits")
        ordering = ["-granted_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="promotional_credit_is_of_some_won", condition=Q(amount_krw__gt=0)),
            models.CheckConstraint(
                name="promotional_credit_ends_after_it_begins", condition=Q(expires_on__gte=F("valid_from"))
            ),
            models.CheckConstraint(
                name="promotional_credit_is_used_at_most_once",
                condition=Q(
                    used_krw__gte=0,
                    expired_krw__gte=0,
                    voided_krw__gte=0,
                    amount_krw__gte=F("used_krw") + F("expired_krw") + F("voided_krw"),
                ),
            ),
        ]
        indexes = [models.Index(fields=["customer", "expires_on"], name="promotional_credit_by_customer")]

    def __str__(self) -> str:
        return f"{self.customer} {self.name} {self.amount_krw:,}"

    @property
    def remaining_krw(self) -> int:
        """What it can still take off a supply."""
        return self.amount_krw - self.used_krw - self.expired_krw - self.voided_krw


class PromotionalCreditMove(models.Model):
    """What became of so many won of a grant. `returned` takes back what a void invoice had used."""

    class Kind(models.TextChoices):
        USED = "used", _("used")
        RETURNED = "returned", _("returned")
        EXPIRED = "expired", _("expired")
        VOIDED = "voided", _("voided")

    credit = models.ForeignKey(
        PromotionalCredit, models.PROTECT, related_name="moves", verbose_name=_("promotional credit")
    )
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    amount_krw = models.BigIntegerField(_("amount (KRW)"))
    invoice = models.ForeignKey(
        Invoice,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="promotional_credit_moves",
        verbose_name=_("invoice"),
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    actor = models.CharField(_("by"), max_length=200)
    moved_at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("promotional credit move")
        verbose_name_plural = _("promotional credit moves")
        ordering = ["-moved_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="promotional_credit_move_is_of_some_won", condition=Q(amount_krw__gt=0)),
            models.CheckConstraint(
                name="promotional_credit_move_names_an_invoice_exactly_when_used",
                condition=Q(kind__in=["used", "returned"], invoice__isnull=False)
                | Q(kind__in=["expired", "voided"], invoice__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["credit", "invoice", "kind"], name="promotional_credit_is_used_once_per_invoice"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.credit_id} {self.kind} {self.amount_krw:,}"
