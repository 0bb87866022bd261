"""What a customer may still spend: one row a customer, changed under its lock only."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from usage.models import exact_usd


class SpendingAccount(models.Model):
    """available = prepaid + promotional + credit limit - receivable - unbilled - held, all in won with VAT.

    Without a credit limit a customer that pays afterwards has no bound, and one that pays ahead has a limit of 0.
    `prepaid_krw` (money received ahead), `receivable_krw` (owed on invoices, less payments that nobody has assigned yet)
    and `promotional_krw` (free credit that covers every model, with the VAT it saves) are projections of the ledger and
    the grants, `unbilled_usd` of the rollups of months that are not closed: `billing.services.spending` recounts them and
    a trigger on the rollups keeps the last one. `factor_krw_per_usd` is rate / (1 - margin) x 1.1 of the day, null where
    there is no rate or no margin. `held_krw` is the sum of the holds of open calls.
    """

    customer = models.OneToOneField(
        Customer, models.CASCADE, primary_key=True, related_name="spending", verbose_name=_("customer")
    )
    credit_limit_krw = models.BigIntegerField(_("credit limit (KRW)"), null=True, blank=True)
    is_prepaid = models.BooleanField(_("pays ahead"), default=False)
    prepaid_krw = models.BigIntegerField(_("prepaid (KRW)"), default=0)
    promotional_krw = models.BigIntegerField(_("promotional credit (KRW)"), default=0)
    receivable_krw = models.BigIntegerField(_("owed (KRW)"), default=0)
    unbilled_usd = exact_usd(default=0, verbose_name=_("not yet billed (USD)"))
    factor_krw_per_usd = models.DecimalField(
        _("KRW per USD, with margin and VAT"), max_digits=24, decimal_places=10, null=True, blank=True
    )
    unbilled_krw = models.GeneratedField(
        expression=F("unbilled_usd") * Coalesce(F("factor_krw_per_usd"), Value(0)),
        output_field=models.DecimalField(_("not yet billed (KRW)"), max_digits=80, decimal_places=38),
        db_persist=True,
    )
    held_krw = models.BigIntegerField(_("held for calls under way (KRW)"), default=0)
    refreshed_at = models.DateTimeField(_("recounted"), null=True, blank=True)

    class Meta:
        verbose_name = _("spending account")
        verbose_name_plural = _("spending accounts")
        ordering = ["customer"]
        constraints = [
            models.CheckConstraint(name="spending_holds_are_never_negative", condition=Q(held_krw__gte=0)),
            models.CheckConstraint(
                name="spending_amounts_are_never_negative",
                condition=Q(prepaid_krw__gte=0, promotional_krw__gte=0, unbilled_usd__gte=0)
                & (Q(credit_limit_krw__isnull=True) | Q(credit_limit_krw__gte=0)),
            ),
            models.CheckConstraint(
                name="spending_factor_is_above_zero",
                condition=Q(factor_krw_per_usd__isnull=True) | Q(factor_krw_per_usd__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return str(self.customer)
