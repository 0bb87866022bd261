"""What upstreams cost us in won: accrued when a month is over, and what paying them really took."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.ledger import LedgerTransaction


class UpstreamAccrual(models.Model):
    """The upstream cost of a KST month's usage, or what has come to it since the last accrual of that month."""

    month = models.DateField(_("month"))
    cost_usd = models.DecimalField(_("cost (USD)"), max_digits=24, decimal_places=6)
    rate = models.DecimalField(_("KRW per USD"), max_digits=12, decimal_places=4)
    cost_krw = models.BigIntegerField(_("cost (KRW)"))
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("upstream accrual")
        verbose_name_plural = _("upstream accruals")
        ordering = ["-month", "-pk"]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} USD {self.cost_usd}"


class UpstreamPayment(models.Model):
    """Dollars paid to an upstream, or bought there ahead, and the won that left the bank for them."""

    reference = models.CharField(_("bank reference"), max_length=100, unique=True)
    payee = models.CharField(_("paid to"), max_length=100)
    paid_at = models.DateTimeField(_("paid"))
    amount_usd = models.DecimalField(_("amount (USD)"), max_digits=24, decimal_places=6)
    amount_krw = models.BigIntegerField(_("won taken from the bank"))
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("recorded"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("upstream payment")
        verbose_name_plural = _("upstream payments")
        ordering = ["-paid_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="upstream_payment_is_of_some_money", condition=Q(amount_usd__gt=0, amount_krw__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payee} USD {self.amount_usd}"
