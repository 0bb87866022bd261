"""The invoice: a legal document that never changes once it is issued."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.dollars import outstanding_usd
from billing.models.contracts import MarginRule
from usage.models import BillingPeriod, exact_usd

_HALF_A_CENT = Decimal("0.005")


class Invoice(models.Model):
    """One customer's bill for one KST month. Amounts are whole won; an invoice in dollars says them in dollars as well.

    `document` is the whole content as issued (`billing.documents.InvoiceDocument`): parties, lines, rate, margin, rounding.
    Once issued, the database lets only `status` and `allocated_krw` move: to void by hand while nothing is allocated,
    to paid and back by allocations alone (`billing.models.payments`).
    """

    class Status(models.TextChoices):
        DRAFT = "draft", _("draft")
        ISSUED = "issued", _("issued")
        PAID = "paid", _("paid")
        VOID = "void", _("void")

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="invoices", verbose_name=_("customer"))
    period = models.ForeignKey(BillingPeriod, models.PROTECT, related_name="invoices", verbose_name=_("period"))
    month = models.DateField(_("month"))
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.DRAFT)
    number = models.CharField(_("number"), max_length=30, null=True, blank=True, unique=True)
    issued_at = models.DateTimeField(_("issued"), null=True, blank=True)
    issued_on = models.DateField(_("issue date"), null=True, blank=True)
    due_on = models.DateField(_("due"), null=True, blank=True)
    locale = models.CharField(_("language"), max_length=2)
    cost_usd = exact_usd(verbose_name=_("usage (USD)"))
    exchange_rule = models.CharField(_("exchange rule"), max_length=12)
    #: None under the daily rule, whose rates stand in `exchange_evidence`.
    exchange_rate = models.DecimalField(_("KRW per USD"), max_digits=12, decimal_places=4, null=True, blank=True)
    exchange_evidence = models.JSONField(_("exchange evidence"))
    #: None where lines differ in it: each has its own.
    margin = models.DecimalField(_("margin"), max_digits=6, decimal_places=5, null=True, blank=True)
    rounding = models.CharField(_("rounding"), max_length=8)
    #: The evidence by which it carries no VAT; null on every other invoice.
    zero_rating = models.ForeignKey(
        "billing.ZeroRating",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="invoices",
        verbose_name=_("zero rating"),
    )
    supply_krw = models.BigIntegerField(_("supply (KRW)"))
    vat_krw = models.BigIntegerField(_("VAT (KRW)"))
    total_krw = models.BigIntegerField(_("total (KRW)"))
    #: What the amounts are read in. The dollars are the won at the one rate, to the cent; null on an invoice in won.
    currency = models.CharField(
        _("currency"),
        max_length=3,
        choices=Customer.Currency.choices,
        default=Customer.Currency.KRW,
        db_default=Customer.Currency.KRW,
    )
    supply_usd = models.DecimalField(_("supply (USD)"), max_digits=20, decimal_places=2, null=True, blank=True)
    vat_usd = models.DecimalField(_("VAT (USD)"), max_digits=20, decimal_places=2, null=True, blank=True)
    total_usd = models.DecimalField(_("total (USD)"), max_digits=20, decimal_places=2, null=True, blank=True)
    #: Kept by a trigger on allocations; the invoice is paid exactly when it equals the total.
    allocated_krw = models.BigIntegerField(_("settled (KRW)"), default=0, db_default=0, editable=False)
    document = models.JSONField(_("document"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")
        ordering = ["-month", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "month"], name="invoice_is_one_per_customer_and_month", condition=~Q(status="void")
            ),
            models.CheckConstraint(
                name="invoice_total_is_supply_plus_vat", condition=Q(total_krw=F("supply_krw") + F("vat_krw"))
            ),
            models.CheckConstraint(
                name="invoice_amounts_are_not_negative", condition=Q(supply_krw__gte=0, vat_krw__gte=0)
            ),
            models.CheckConstraint(
                # A tenth rounded by either policy; nothing else without evidence.
                name="invoice_vat_is_a_tenth_or_none_by_evidence",
                condition=Q(zero_rating__isnull=False, vat_krw=0)
                | Q(
                    zero_rating__isnull=True,
                    supply_krw__gt=F("vat_krw") * 10 - 10,
                    supply_krw__lt=F("vat_krw") * 10 + 10,
                ),
            ),
            models.CheckConstraint(
                name="invoice_is_paid_exactly_when_settled",
                condition=Q(allocated_krw__gte=0, total_krw__gte=F("allocated_krw"))
                & (
                    Q(status="draft")
                    | Q(status="void", allocated_krw=0)
                    | Q(status="issued", total_krw__gt=F("allocated_krw"))
                    | Q(status="paid", total_krw=F("allocated_krw"))
                ),
            ),
            models.CheckConstraint(
                name="invoice_has_number_and_dates_exactly_when_issued",
                condition=Q(
                    status="draft",
                    number__isnull=True,
                    issued_at__isnull=True,
                    issued_on__isnull=True,
                    due_on__isnull=True,
                    document__isnull=True,
                )
                | (
                    ~Q(status="draft")
                    & Q(
                        number__isnull=False,
                        issued_at__isnull=False,
                        issued_on__isnull=False,
                        due_on__isnull=False,
                        document__isnull=False,
                    )
                ),
            ),
            models.CheckConstraint(
                name="invoice_has_one_rate_unless_daily",
                condition=Q(exchange_rule="daily", exchange_rate__isnull=True)
                | (~Q(exchange_rule="daily") & Q(exchange_rate__isnull=False, exchange_rate__gt=0)),
            ),
            models.CheckConstraint(
                name="invoice_has_dollars_exactly_in_dollars",
                condition=Q(currency="KRW", supply_usd__isnull=True, vat_usd__isnull=True, total_usd__isnull=True)
                | Q(
                    currency="USD",
                    supply_usd__isnull=False,
                    vat_usd__isnull=False,
                    total_usd__isnull=False,
                    total_usd=F("supply_usd") + F("vat_usd"),
                    # Each is its won at the rate, within half a cent.
                    exchange_rate__isnull=False,
                    supply_krw__gte=(F("supply_usd") - _HALF_A_CENT) * F("exchange_rate"),
                    supply_krw__lt=(F("supply_usd") + _HALF_A_CENT) * F("exchange_rate"),
                    vat_krw__gte=(F("vat_usd") - _HALF_A_CENT) * F("exchange_rate"),
                    vat_krw__lt=(F("vat_usd") + _HALF_A_CENT) * F("exchange_rate"),
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.number or f"draft {self.customer_id} {self.month:%Y-%m}"

    @property
    def due_krw(self) -> int:
        """What is still to be paid."""
        return 0 if self.status == self.Status.VOID else self.total_krw - self.allocated_krw

    @property
    def due_usd(self) -> Decimal | None:
        """That in dollars; None on an invoice in won."""
        if self.total_usd is None:
            return None
        return outstanding_usd(outstanding_krw=self.due_krw, total_krw=self.total_krw, total_usd=self.total_usd)


class InvoiceLine(models.Model):
    """One model's usage of one KST month on an invoice. `month` differs from the invoice's on supplementary lines.

    A discount or promotion line takes won off: it has a discount or a promotional credit, no model and a negative amount.
    How much of it each usage line was reduced by stands there as `discount_krw` and `promotion_krw`; the two add up to the
    same. A minimum line adds what the month is short of the customer's monthly minimum; it has no model either.
    """

    class Kind(models.TextChoices):
        USAGE = "usage", _("usage")
        SUPPLEMENTARY = "supplementary", _("supplementary")
        DISCOUNT = "discount", _("discount")
        MINIMUM = "minimum", _("shortfall of the monthly minimum")
        PROMOTION = "promotion", _("promotion")

    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="lines", verbose_name=_("invoice"))
    position = models.PositiveIntegerField(_("no."))
    kind = models.CharField(_("kind"), max_length=14, choices=Kind.choices)
    month = models.DateField(_("usage month"))
    model_id = models.BigIntegerField(null=True)
    model_name = models.CharField(_("model"), max_length=200)
    promotional_credit = models.ForeignKey(
        "billing.PromotionalCredit",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="invoice_lines",
        verbose_name=_("promotional credit"),
    )
    discount = models.ForeignKey(
        "billing.Discount",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="invoice_lines",
        verbose_name=_("discount"),
    )
    requests = models.BigIntegerField(_("requests"))
    prompt_tokens = models.BigIntegerField(_("prompt tokens"))
    cache_read_tokens = models.BigIntegerField(_("cached tokens"))
    completion_tokens = models.BigIntegerField(_("completion tokens"))
    cost_usd = exact_usd(verbose_name=_("usage (USD)"))
    #: On which terms it sold; null on older lines (the invoice's) and where nothing was used.
    margin = models.DecimalField(_("margin"), max_digits=6, decimal_places=5, null=True, blank=True)
    basis = models.CharField(
        _("reckoned on"), max_length=8, choices=MarginRule.Basis.choices, default="catalog", db_default="catalog"
    )
    #: What the margin is reckoned on where that is not `cost_usd`.
    basis_usd = exact_usd(null=True, blank=True, verbose_name=_("basis (USD)"))
    amount_krw = models.BigIntegerField(_("supply (KRW)"))
    discount_krw = models.BigIntegerField(_("of this discounted (KRW)"), default=0, db_default=0)
    promotion_krw = models.BigIntegerField(_("of this promotional (KRW)"), default=0, db_default=0)

    class Meta:
        verbose_name = _("invoice line")
        verbose_name_plural = _("invoice lines")
        ordering = ["invoice", "position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position_is_unique"),
            models.UniqueConstraint(
                fields=["invoice", "month", "model_id"], name="invoice_line_is_one_per_month_and_model"
            ),
            models.UniqueConstraint(
                fields=["invoice", "promotional_credit"], name="invoice_line_is_one_per_promotional_credit"
            ),
            models.UniqueConstraint(fields=["invoice", "discount"], name="invoice_line_is_one_per_discount"),
            models.UniqueConstraint(
                fields=["invoice"], name="invoice_has_one_shortfall_at_most", condition=Q(kind="minimum")
            ),
            models.CheckConstraint(
                name="invoice_line_names_its_basis",
                condition=Q(basis="catalog", basis_usd__isnull=True)
                | Q(basis__in=["upstream", "higher"], basis_usd__isnull=False, basis_usd__gte=0),
            ),
            models.CheckConstraint(
                name="invoice_line_names_what_its_kind_needs",
                condition=Q(kind="discount", discount__isnull=False, promotional_credit__isnull=True, amount_krw__lt=0)
                | Q(kind="minimum", discount__isnull=True, promotional_credit__isnull=True, amount_krw__gt=0)
                | Q(kind="promotion", discount__isnull=True, promotional_credit__isnull=False, amount_krw__lt=0)
                | Q(
                    kind__in=["usage", "supplementary"],
                    discount__isnull=True,
                    promotional_credit__isnull=True,
                    amount_krw__gte=F("promotion_krw") + F("discount_krw"),
                ),
            ),
            models.CheckConstraint(
                name="invoice_line_has_usage_exactly_where_it_has_a_model",
                condition=Q(
                    kind__in=["usage", "supplementary"],
                    model_id__isnull=False,
                    cost_usd__gte=0,
                    discount_krw__gte=0,
                    promotion_krw__gte=0,
                )
                | (
                    ~Q(kind__in=["usage", "supplementary"])
                    & Q(model_id__isnull=True, cost_usd=0, discount_krw=0, promotion_krw=0)
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice_id}#{self.position} {self.model_name}"


class InvoicePdf(models.Model):
    """The PDF that was made of an issued invoice; kept as the bytes that were sent."""

    invoice = models.OneToOneField(Invoice, models.PROTECT, related_name="pdf", verbose_name=_("invoice"))
    content = models.BinaryField(_("PDF"))
    sha256 = models.CharField("SHA-256", max_length=64)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("invoice PDF")
        verbose_name_plural = _("invoice PDFs")

    def __str__(self) -> str:
        return f"{self.invoice_id} {self.sha256[:12]}"


class InvoiceStatement(models.Model):
    """How many events an invoice bills, and the digest of their hash chain (`billing.statements`)."""

    invoice = models.OneToOneField(Invoice, models.PROTECT, related_name="statement", verbose_name=_("invoice"))
    events = models.BigIntegerField(_("events"))
    digest = models.CharField("SHA-256", max_length=64)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("invoice statement")
        verbose_name_plural = _("invoice statements")

    def __str__(self) -> str:
        return f"{self.invoice_id} {self.digest[:12]}"


class NumberSequence(models.Model):
    """The last number given in a series. Its row is locked last in the issuing transaction, so a rollback leaves no gap."""

    series = models.CharField(_("series"), max_length=20, unique=True)
    last_number = models.PositiveIntegerField(_("last number"), default=0)

    class Meta:
        verbose_name = _("number sequence")
        verbose_name_plural = _("number sequences")

    def __str__(self) -> str:
        return f"{self.series} {self.last_number}"
