"""What a customer may still spend: one row a customer, changed under its lock only."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.models.contracts import MarginRule
from usage.models import exact_usd


class SpendingAccount(models.Model):
    """available = prepaid + promotional + credit limit - receivable - unbilled - held, all in won with VAT.

    Without a credit limit a customer that pays afterwards has no bound, and one that pays ahead has a limit of 0.
    `prepaid_krw` (money received ahead), `receivable_krw` (owed on invoices, less payments that nobody has assigned yet)
    and `promotional_krw` (free credit that covers every model, with the VAT it saves) are projections of the ledger and
    the grants. What is not yet billed are the rollups of months that are not closed: `unbilled_usd` of the models that
    sell on the customer's general terms (by its `basis`), `unbilled_by_model_krw` of those that have a `SpendingTerm`.
    `billing.services.spending` recounts them all and a trigger on the rollups keeps these two. `factor_krw_per_usd` is
    rate / (1 - margin) x 1.1 of the day, null where there is no rate or no margin. `held_krw` is the sum of the holds of
    open calls.
    """

    customer = models.OneToOneField(
        Customer, models.CASCADE, primary_key=True, related_name="spending", verbose_name=_("customer")
    )
    credit_limit_krw = models.BigIntegerField(_("credit limit (KRW)"), null=True, blank=True)
    is_prepaid = models.BooleanField(_("pays ahead"), default=False)
    prepaid_krw = models.BigIntegerField(_("prepaid (KRW)"), default=0)
    promotional_krw = models.BigIntegerField(_("promotional credit (KRW)"), default=0)
    receivable_krw = models.BigIntegerField(_("owed (KRW)"), default=0)
    basis = models.CharField(
        _("reckoned on"), max_length=8, choices=MarginRule.Basis.choices, default="catalog", db_default="catalog"
    )
    unbilled_usd = exact_usd(default=0, verbose_name=_("not yet billed (USD)"))
    factor_krw_per_usd = models.DecimalField(
        _("KRW per USD, with margin and VAT"), max_digits=24, decimal_places=10, null=True, blank=True
    )
    unbilled_by_model_krw = models.DecimalField(
        _("not yet billed on terms of models (KRW)"), max_digits=80, decimal_places=38, default=0, db_default=0
    )
    unbilled_krw = models.GeneratedField(
        expression=F("unbilled_usd") * Coalesce(F("factor_krw_per_usd"), Value(0)) + F("unbilled_by_model_krw"),
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
                condition=Q(
                    prepaid_krw__gte=0, promotional_krw__gte=0, unbilled_usd__gte=0, unbilled_by_model_krw__gte=0
                )
                & (Q(credit_limit_krw__isnull=True) | Q(credit_limit_krw__gte=0)),
            ),
            models.CheckConstraint(
                name="spending_factor_is_above_zero",
                condition=Q(factor_krw_per_usd__isnull=True) | Q(factor_krw_per_usd__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return str(self.customer)


class SpendingTerm(models.Model):
    """How usage of one model counts for one customer where it is not sold on the customer's general terms.

    A projection of the margin rules of the day, written together with the account by `billing.services.spending`. It is
    read, under the account's lock, by whatever adds usage.
    """

    account = models.ForeignKey(
        SpendingAccount, models.CASCADE, db_column="customer_id", related_name="terms", db_index=False
    )
    model_id = models.BigIntegerField()
    basis = models.CharField(_("reckoned on"), max_length=8, choices=MarginRule.Basis.choices)
    factor_krw_per_usd = models.DecimalField(_("KRW per USD, with margin and VAT"), max_digits=24, decimal_places=10)

    class Meta:
        verbose_name = _("spending term")
        verbose_name_plural = _("spending terms")
        constraints = [
            models.UniqueConstraint(fields=["account", "model_id"], name="spending_term_is_one_per_customer_and_model"),
            models.CheckConstraint(name="spending_term_is_above_zero", condition=Q(factor_krw_per_usd__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} model {self.model_id}"
