"""Terms of a customer's contract that change what its usage comes to, each with the months or days that it holds for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.documents import MinimumPart
from billing.models.invoices import Invoice, InvoiceLine
from billing.selling import DiscountTerm, Reduction, SoldLine, month_minimum, take_discounts
from catalog.models import Model, Provider
from catalog.money import Rounding
from usage.periods import BillingMonth


class Discount(models.Model):
    """A share of the supply, or so many won a month, that a customer does not pay.

    Holds for whole months: `effective_from` is the first day of the first one, `effective_to` the first day of the first
    one without it (the two are equal on a discount that was taken back before it began). A share is taken off the usage of
    those months whenever it is billed; won are taken off the invoices of those months. Limited to a provider or to models
    (their ids), or to nothing.
    """

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="discounts", verbose_name=_("customer"))
    name = models.CharField(_("name on the invoice"), max_length=100)
    share = models.DecimalField(_("share of the supply"), max_digits=6, decimal_places=5, null=True, blank=True)
    amount_krw = models.BigIntegerField(_("won a month"), null=True, blank=True)
    provider = models.ForeignKey(
        Provider, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("provider")
    )
    models_covered = ArrayField(models.CharField(max_length=200), verbose_name=_("models"), null=True, blank=True)
    effective_from = models.DateField(_("from"))
    effective_to = models.DateField(_("to"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("discount")
        verbose_name_plural = _("discounts")
        ordering = ["customer", "-effective_from", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="discount_is_a_share_or_so_many_won",
                condition=Q(share__isnull=False, share__gt=0, share__lt=1, amount_krw__isnull=True)
                | Q(share__isnull=True, amount_krw__isnull=False, amount_krw__gt=0),
            ),
            models.CheckConstraint(
                name="discount_is_limited_in_one_way_at_most",
                condition=Q(provider__isnull=True) | Q(models_covered__isnull=True),
            ),
            models.CheckConstraint(
                name="discount_holds_for_whole_months",
                condition=Q(effective_from__day=1)
                & (Q(effective_to__isnull=True) | Q(effective_to__day=1, effective_to__gte=F("effective_from"))),
            ),
            models.CheckConstraint(name="discount_has_a_name_and_a_reason", condition=~Q(name="") & ~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.customer} {self.name}"

    @property
    def term(self) -> DiscountTerm:
        """The discount as the arithmetic takes it."""
        return DiscountTerm(
            key=self.pk,
            share=self.share,
            amount_krw=self.amount_krw,
            provider=self.provider.slug if self.provider else None,
            models=None if self.models_covered is None else frozenset(self.models_covered),
            first_on=self.effective_from,
            end_on=self.effective_to,
        )


class MonthlyMinimum(models.Model):
    """What a customer's month comes to at least, in won of supply after discounts and before promotional credit and VAT.

    Holds from the day `effective_from` and before `effective_to`; a month that it covers in part owes it by days. A month
    without any usage owes it only where `applies_without_usage`.
    """

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="minimums", verbose_name=_("customer"))
    amount_krw = models.BigIntegerField(_("won a month"))
    applies_without_usage = models.BooleanField(_("also without usage"), default=True)
    effective_from = models.DateField(_("from"))
    effective_to = models.DateField(_("to"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("monthly minimum")
        verbose_name_plural = _("monthly minimums")
        ordering = ["customer", "-effective_from", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="monthly_minimum_is_of_some_won_with_a_reason", condition=Q(amount_krw__gt=0) & ~Q(reason="")
            ),
            models.CheckConstraint(
                name="monthly_minimum_ends_after_it_begins",
                condition=Q(effective_to__isnull=True) | Q(effective_to__gte=F("effective_from")),
            ),
            ExclusionConstraint(
                name="monthly_minimums_of_a_customer_never_overlap",
                expressions=[
                    ("customer_id", RangeOperators.EQUAL),
                    (
                        Func(
                            F("effective_from"), F("effective_to"), function="daterange", output_field=DateRangeField()
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer} {self.amount_krw:,}"

    def part_of(self, month: BillingMonth) -> MinimumPart | None:
        """The days of a month for which it holds; None where there are none."""
        first = max(self.effective_from, month.first_on)
        last = month.last_on if self.effective_to is None else min(self.effective_to - timedelta(days=1), month.last_on)
        return MinimumPart(amount_krw=self.amount_krw, first_on=first, last_on=last) if first <= last else None


class ZeroRating(models.Model):
    """Why a customer's supplies carry no VAT (영세율): the article of the law, and the document that proves it applies.

    Holds for whole months, as a discount does, and for nothing else: an address abroad, a foreign buyer or a currency mean
    nothing by themselves. `sha256` is that of the document which `reference` names and `accepted_by` has looked at.
    """

    class Article(models.TextChoices):
        GOODS_EXPORTED = "부가가치세법 제21조", _("VAT Act art. 21 (exported goods)")
        SERVICES_ABROAD = "부가가치세법 제22조", _("VAT Act art. 22 (services supplied abroad)")
        TRANSPORT_ABROAD = "부가가치세법 제23조", _("VAT Act art. 23 (international transport)")
        FOREIGN_EXCHANGE = "부가가치세법 제24조", _("VAT Act art. 24 (supplies that earn foreign exchange)")
        SPECIAL_TAXATION = "조세특례제한법 제105조", _("Restriction of Special Taxation Act art. 105")

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="zero_ratings", verbose_name=_("customer"))
    article = models.CharField(_("article of the law"), max_length=40, choices=Article.choices)
    clause = models.CharField(_("clause"), max_length=100, blank=True)
    reference = models.CharField(_("evidence"), max_length=200)
    sha256 = models.CharField("SHA-256", max_length=64)
    accepted_by = models.CharField(_("accepted by"), max_length=200)
    effective_from = models.DateField(_("from"))
    effective_to = models.DateField(_("to"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("zero rating")
        verbose_name_plural = _("zero ratings")
        ordering = ["customer", "-effective_from", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="zero_rating_has_its_evidence",
                condition=~Q(reference="") & ~Q(accepted_by="") & ~Q(reason="") & Q(sha256__regex=r"^[0-9a-f]{64}$"),
            ),
            models.CheckConstraint(
                name="zero_rating_names_an_article_that_allows_it",
                condition=Q(
                    article__in=[
                        "부가가치세법 제21조",
                        "부가가치세법 제22조",
                        "부가가치세법 제23조",
                        "부가가치세법 제24조",
                        "조세특례제한법 제105조",
                    ]
                ),
            ),
            models.CheckConstraint(
                name="zero_rating_holds_for_whole_months",
                condition=Q(effective_from__day=1)
                & (Q(effective_to__isnull=True) | Q(effective_to__day=1, effective_to__gte=F("effective_from"))),
            ),
            ExclusionConstraint(
                name="zero_ratings_of_a_customer_never_overlap",
                expressions=[
                    ("customer_id", RangeOperators.EQUAL),
                    (
                        Func(
                            F("effective_from"), F("effective_to"), function="daterange", output_field=DateRangeField()
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer} {self.law}"

    @property
    def law(self) -> str:
        """The article and clause as documents name them."""
        return f"{self.article} {self.clause}".strip()


def minimum_parts(rows: Iterable[MonthlyMinimum], month: BillingMonth, *, has_usage: bool) -> tuple[MinimumPart, ...]:
    """What a month's minimum is made up of, by day."""
    parts = (row.part_of(month) for row in rows if has_usage or row.applies_without_usage)
    return tuple(sorted((part for part in parts if part is not None), key=lambda part: part.first_on))


def minimum_of(parts: Sequence[MinimumPart], month: BillingMonth, rounding: Rounding) -> int:
    """The won that the parts come to."""
    won_and_days = [(part.amount_krw, part.days) for part in parts]
    return month_minimum(won_and_days, days_of_month=month.last_on.day, rounding=rounding)


def invoice_reductions(
    invoice: Invoice, usage: Sequence[InvoiceLine], amounts_krw: Sequence[int] | None = None
) -> list[Reduction]:
    """What the discounts on an invoice take off its usage lines, or off other won that these lines would have had."""
    providers = dict(Model.objects.filter(pk__in={line.model_id for line in usage}).values_list("pk", "provider__slug"))
    amounts = [line.amount_krw for line in usage] if amounts_krw is None else amounts_krw
    assert invoice.document is not None  # a constraint gives every issued invoice one
    stated = invoice.document["lines"]
    taken = invoice.lines.filter(discount__isnull=False).values_list("discount_id", "position")
    bases = {discount_id: stated[position - 1]["base_krw"] for discount_id, position in taken}
    sold = [
        SoldLine(line.model_name, providers.get(line.model_id or 0, ""), line.month, line.amount_krw) for line in usage
    ]
    rows = Discount.objects.filter(invoice_lines__invoice=invoice).select_related("provider")
    terms = [_as_issued(row.term, sold, base_krw=bases[row.pk], month_on=invoice.month) for row in rows]
    return take_discounts(
        [replace(line, amount_krw=amount) for line, amount in zip(sold, amounts, strict=True)],
        terms,
        month_on=invoice.month,
        rounding=Rounding(invoice.rounding),
    )


def _as_issued(term: DiscountTerm, lines: Sequence[SoldLine], *, base_krw: int, month_on: date) -> DiscountTerm:
    """The term as it was when it was taken of `base_krw`. Once its invoice is void it may be ended from before that month;
    an end is set once, so without one it is what it was.
    """
    return term if term.base_krw(lines, month_on=month_on) == base_krw else replace(term, end_on=None)
