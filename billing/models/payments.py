"""Money that came in, what it paid, and what went back. Rows are added; what undoes one is a row of its own.

The sums that stand on a payment, a prepayment or an invoice (`allocated_krw` and its like) are kept by triggers on the
rows below and by nothing else, so that a check constraint can refuse the won that would be spent twice.
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.dollars import outstanding_usd
from billing.models.invoices import Invoice
from billing.models.ledger import LedgerTransaction

_HALF_A_WON = Decimal("0.5")


class Payment(models.Model):
    """One line of a bank account: money received. `reference` is the bank's own id of the line, never made of its text.

    A deposit of unknown origin has no customer until somebody assigns it. Dollars received are worth `amount_krw` at the
    rate in force on the day they came; the books have them at these won, and `allocated_krw` counts those that were used up.
    """

    reference = models.CharField(_("bank reference"), max_length=100, unique=True)
    received_at = models.DateTimeField(_("received"))
    amount_krw = models.BigIntegerField(_("amount (KRW)"))
    currency = models.CharField(
        _("currency"),
        max_length=3,
        choices=Customer.Currency.choices,
        default=Customer.Currency.KRW,
        db_default=Customer.Currency.KRW,
    )
    #: The dollars and their rate: when it was published for and by whom. Null, and an empty source, on a payment in won.
    received_usd = models.DecimalField(_("received (USD)"), max_digits=20, decimal_places=2, null=True, blank=True)
    rate_krw_per_usd = models.DecimalField(_("KRW per USD"), max_digits=12, decimal_places=4, null=True, blank=True)
    rate_on = models.DateField(_("published for"), null=True, blank=True)
    rate_source = models.CharField(_("rate source"), max_length=100, blank=True, default="", db_default="")
    depositor_name = models.CharField(_("depositor"), max_length=100, blank=True)
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="payments", verbose_name=_("customer")
    )
    allocated_krw = models.BigIntegerField(_("allocated (KRW)"), default=0, editable=False)
    #: Dollars that paid invoices in dollars. What was used by its won (prepaid, refunded) has taken no dollars off here.
    allocated_usd = models.DecimalField(
        _("allocated (USD)"), max_digits=20, decimal_places=2, default=0, db_default=0, editable=False
    )
    prepaid_krw = models.BigIntegerField(_("set aside as prepayment (KRW)"), default=0, editable=False)
    refunded_krw = models.BigIntegerField(_("refunded (KRW)"), default=0, editable=False)
    is_reversed = models.BooleanField(_("reversed"), default=False, editable=False)
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="payment", verbose_name=_("ledger transaction")
    )
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("recorded"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        ordering = ["-received_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="payment_is_of_some_won", condition=Q(amount_krw__gt=0)),
            models.CheckConstraint(
                name="payment_is_used_at_most_once",
                condition=Q(
                    allocated_krw__gte=0,
                    prepaid_krw__gte=0,
                    refunded_krw__gte=0,
                    amount_krw__gte=F("allocated_krw") + F("prepaid_krw") + F("refunded_krw"),
                ),
            ),
            models.CheckConstraint(
                name="payment_pays_nothing_without_a_customer_or_once_reversed",
                condition=Q(customer__isnull=False, is_reversed=False) | Q(allocated_krw=0, prepaid_krw=0),
            ),
            models.CheckConstraint(
                name="payment_is_reversed_or_refunded", condition=Q(is_reversed=False) | Q(refunded_krw=0)
            ),
            models.CheckConstraint(
                name="payment_has_dollars_exactly_in_dollars",
                condition=Q(
                    currency="KRW",
                    received_usd__isnull=True,
                    rate_krw_per_usd__isnull=True,
                    rate_on__isnull=True,
                    rate_source="",
                    allocated_usd=0,
                )
                | Q(
                    currency="USD",
                    received_usd__isnull=False,
                    received_usd__gt=0,
                    rate_krw_per_usd__isnull=False,
                    rate_krw_per_usd__gt=0,
                    rate_on__isnull=False,
                    # Its dollars at the rate, half a won up.
                    amount_krw__gt=F("received_usd") * F("rate_krw_per_usd") - _HALF_A_WON,
                    amount_krw__lte=F("received_usd") * F("rate_krw_per_usd") + _HALF_A_WON,
                    allocated_usd__gte=0,
                    allocated_usd__lte=F("received_usd"),
                ),
            ),
        ]
        indexes = [models.Index(fields=["customer", "received_at"], name="payment_by_customer")]

    def __str__(self) -> str:
        return f"{self.reference} {self.amount_krw:,}"

    @property
    def unapplied_krw(self) -> int:
        """What of it pays nothing yet."""
        if self.is_reversed:
            return 0
        return self.amount_krw - self.allocated_krw - self.prepaid_krw - self.refunded_krw

    @property
    def unapplied_usd(self) -> Decimal | None:
        """The dollars that this is of; None of a payment in won. A few won that are less than half a cent are 0.00."""
        if self.received_usd is None:
            return None
        left = outstanding_usd(
            outstanding_krw=self.unapplied_krw, total_krw=self.amount_krw, total_usd=self.received_usd
        )
        return min(left, self.received_usd - self.allocated_usd)


class PaymentReversal(models.Model):
    """A payment that was none: a returned transfer, a line recorded by mistake. The payment stays and counts no more."""

    payment = models.OneToOneField(Payment, models.PROTECT, related_name="reversal", verbose_name=_("payment"))
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    reversed_at = models.DateTimeField(_("reversed"))
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )

    class Meta:
        verbose_name = _("payment reversal")
        verbose_name_plural = _("payment reversals")
        ordering = ["-reversed_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.payment_id} {self.reason}"


class Allocation(models.Model):
    """So many won of an invoice settled: by a payment, a prepayment, a credit note, or by giving up (write-off).

    Dollars that pay an invoice in dollars (`allocated_usd`) use up other won of their payment than they settle of the
    invoice: `exchange_krw` more, which is our gain, or less, our loss.
    """

    class Source(models.TextChoices):
        PAYMENT = "payment", _("payment")
        PREPAYMENT = "prepayment", _("prepayment")
        WRITE_OFF = "write_off", _("write-off")
        CREDIT_NOTE = "credit_note", _("credit note")

    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="allocations", verbose_name=_("invoice"))
    source = models.CharField(_("settled by"), max_length=12, choices=Source.choices)
    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, blank=True, related_name="allocations", verbose_name=_("payment")
    )
    prepayment = models.ForeignKey(
        "billing.Prepayment",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="allocations",
        verbose_name=_("prepayment"),
    )
    credit_note = models.OneToOneField(
        "billing.CreditNote",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="allocation",
        verbose_name=_("credit note"),
    )
    amount_krw = models.BigIntegerField(_("amount (KRW)"))
    allocated_usd = models.DecimalField(_("amount (USD)"), max_digits=20, decimal_places=2, null=True, blank=True)
    exchange_krw = models.BigIntegerField(_("exchange gain (KRW)"), default=0, db_default=0)
    allocated_at = models.DateTimeField(_("allocated"))
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    actor = models.CharField(_("by"), max_length=200)
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )

    class Meta:
        verbose_name = _("allocation")
        verbose_name_plural = _("allocations")
        ordering = ["-allocated_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="allocation_is_of_some_won", condition=Q(amount_krw__gt=0)),
            models.CheckConstraint(
                name="allocation_has_an_exchange_gain_only_in_dollars",
                condition=Q(allocated_usd__isnull=True, exchange_krw=0)
                | Q(
                    allocated_usd__isnull=False,
                    allocated_usd__gt=0,
                    source="payment",
                    exchange_krw__gt=-F("amount_krw"),
                ),
            ),
            models.CheckConstraint(
                name="allocation_has_the_one_source_that_it_names",
                condition=Q(source="payment", payment__isnull=False, prepayment__isnull=True, credit_note__isnull=True)
                | Q(source="prepayment", payment__isnull=True, prepayment__isnull=False, credit_note__isnull=True)
                | Q(source="write_off", payment__isnull=True, prepayment__isnull=True, credit_note__isnull=True)
                | Q(source="credit_note", payment__isnull=True, prepayment__isnull=True, credit_note__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice_id} {self.source} {self.amount_krw:,}"

    @property
    def used_krw(self) -> int:
        """The won that its payment or prepayment gave for it."""
        return self.amount_krw + self.exchange_krw


class AllocationReversal(models.Model):
    """An allocation taken back as a whole: the invoice is due again, the money free again."""

    allocation = models.OneToOneField(Allocation, models.PROTECT, related_name="reversal", verbose_name=_("allocation"))
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    reversed_at = models.DateTimeField(_("reversed"))
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )

    class Meta:
        verbose_name = _("allocation reversal")
        verbose_name_plural = _("allocation reversals")
        ordering = ["-reversed_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.allocation_id} {self.reason}"


class Refund(models.Model):
    """Won sent back: what is left of a payment, or of a prepayment. `reference` is the bank's id of the transfer."""

    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, blank=True, related_name="refunds", verbose_name=_("payment")
    )
    prepayment = models.ForeignKey(
        "billing.Prepayment",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="refunds",
        verbose_name=_("prepayment"),
    )
    reference = models.CharField(_("bank reference"), max_length=100, unique=True)
    amount_krw = models.BigIntegerField(_("amount (KRW)"))
    refunded_at = models.DateTimeField(_("refunded"))
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ["-refunded_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="refund_is_of_some_won", condition=Q(amount_krw__gt=0)),
            models.CheckConstraint(
                name="refund_is_of_one_source",
                condition=Q(payment__isnull=False, prepayment__isnull=True)
                | Q(payment__isnull=True, prepayment__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference} {self.amount_krw:,}"


class PaymentAssignment(models.Model):
    """Whose a deposit of unknown origin turned out to be."""

    payment = models.OneToOneField(Payment, models.PROTECT, related_name="assignment", verbose_name=_("payment"))
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+", verbose_name=_("customer"))
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    assigned_at = models.DateTimeField(_("assigned"))
    ledger_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, related_name="+", verbose_name=_("ledger transaction")
    )

    class Meta:
        verbose_name = _("payment assignment")
        verbose_name_plural = _("payment assignments")
        ordering = ["-assigned_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.payment_id} {self.customer}"
