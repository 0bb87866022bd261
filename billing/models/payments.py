"""Money that came in, what it paid, and what went back. Rows are added; what undoes one is a row of its own.

The sums that stand on a payment, a prepayment or an invoice (`allocated_krw` and its like) are kept by triggers on the
rows below and by nothing else, so that a check constraint can refuse the won that would be spent twice.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.models.invoices import Invoice
from billing.models.ledger import LedgerTransaction


class Payment(models.Model):
    """One line of the bank account: won received. `reference` is the bank's own id of the line, never made of its text.

    A deposit of unknown origin has no customer until somebody assigns it.
    """

    reference = models.CharField(_("bank reference"), max_length=100, unique=True)
    received_at = models.DateTimeField(_("received"))
    amount_krw = models.BigIntegerField(_("amount (KRW)"))
    depositor_name = models.CharField(_("depositor"), max_length=100, blank=True)
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="payments", verbose_name=_("customer")
    )
    allocated_krw = models.BigIntegerField(_("allocated (KRW)"), default=0, editable=False)
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
    """So many won of an invoice settled: by a payment, a prepayment, a credit note, or by giving up (write-off)."""

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
                name="allocation_has_the_one_source_that_it_names",
                condition=Q(source="payment", payment__isnull=False, prepayment__isnull=True, credit_note__isnull=True)
                | Q(source="prepayment", payment__isnull=True, prepayment__isnull=False, credit_note__isnull=True)
                | Q(source="write_off", payment__isnull=True, prepayment__isnull=True, credit_note__isnull=True)
                | Q(source="credit_note", payment__isnull=True, prepayment__isnull=True, credit_note__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice_id} {self.source} {self.amount_krw:,}"


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
