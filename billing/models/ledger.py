"""Double entry. Each transaction sums to zero per currency (a deferred trigger refuses it otherwise); rows never change."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.models.invoices import Invoice


class LedgerTransaction(models.Model):
    """A balanced set of entries with one cause. `reverses` names the transaction whose entries it takes back."""

    class Kind(models.TextChoices):
        INVOICE_ISSUED = "invoice_issued", _("invoice issued")
        PAYMENT_RECEIVED = "payment_received", _("payment received")
        PAYMENT_ASSIGNED = "payment_assigned", _("payment assigned")
        PAYMENT_ALLOCATED = "payment_allocated", _("payment allocated")
        PREPAYMENT_RECEIVED = "prepayment_received", _("prepayment received")
        PREPAYMENT_APPLIED = "prepayment_applied", _("prepayment applied")
        PREPAYMENT_WITHDRAWN = "prepayment_withdrawn", _("prepayment withdrawn")
        REFUNDED = "refunded", _("refunded")
        WRITTEN_OFF = "written_off", _("written off")
        CREDIT_NOTE_ISSUED = "credit_note_issued", _("credit note issued")
        CREDIT_NOTE_APPLIED = "credit_note_applied", _("credit note applied")
        COST_ACCRUED = "cost_accrued", _("upstream cost accrued")
        UPSTREAM_PAID = "upstream_paid", _("upstream paid")
        REVERSAL = "reversal", _("reversal")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    occurred_on = models.DateField(_("date"))
    invoice = models.ForeignKey(
        Invoice, models.PROTECT, null=True, blank=True, related_name="ledger_transactions", verbose_name=_("invoice")
    )
    reverses = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="reversed_by", verbose_name=_("reverses")
    )
    memo = models.CharField(_("memo"), max_length=200)
    actor = models.CharField(_("by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("ledger transaction")
        verbose_name_plural = _("ledger transactions")
        ordering = ["-occurred_on", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"], name="invoice_is_posted_once", condition=Q(kind="invoice_issued")
            ),
            models.CheckConstraint(
                name="ledger_reversal_names_what_it_reverses",
                condition=Q(kind="reversal", reverses__isnull=False) | (~Q(kind="reversal") & Q(reverses__isnull=True)),
            ),
        ]
        indexes = [models.Index(fields=["occurred_on", "id"], name="ledger_by_day")]

    def __str__(self) -> str:
        return f"{self.occurred_on} {self.memo}"


class LedgerEntry(models.Model):
    """One signed row: debit positive, credit negative. Without a customer it is the house's own, or nobody's yet."""

    class Account(models.TextChoices):
        RECEIVABLE = "receivable", _("accounts receivable")
        REVENUE = "revenue", _("revenue")
        DISCOUNTS = "discounts", _("discounts given")
        PROMOTIONS = "promotions", _("promotional credit given")
        VAT_PAYABLE = "vat_payable", _("VAT payable")
        PREPAYMENTS = "prepayments", _("prepayments")
        UNAPPLIED = "unapplied", _("unapplied payments")
        BANK = "bank", _("bank")
        BANK_USD = "bank_usd", _("bank, in dollars")
        WRITE_OFFS = "write_offs", _("write-offs")
        COST_OF_SALES = "cost_of_sales", _("cost of sales")
        UPSTREAM_PAYABLE = "upstream_payable", _("owed to upstreams")
        EXCHANGE_DIFFERENCE = "exchange_difference", _("exchange difference")

    transaction = models.ForeignKey(
        LedgerTransaction, models.PROTECT, related_name="entries", verbose_name=_("transaction")
    )
    account = models.CharField(_("account"), max_length=20, choices=Account.choices)
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("customer")
    )
    currency = models.CharField(_("currency"), max_length=3, default="KRW")
    amount = models.DecimalField(_("amount"), max_digits=24, decimal_places=6)

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        constraints = [
            models.CheckConstraint(name="ledger_entry_is_not_zero", condition=~Q(amount=0)),
        ]
        indexes = [models.Index(fields=["customer", "account"], name="ledger_by_customer_and_account")]

    def __str__(self) -> str:
        return f"{self.account} {self.amount} {self.currency}"
