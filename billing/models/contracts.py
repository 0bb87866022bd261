"""The terms by which USD becomes won: exchange rates, margins, and the days that are not business days."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from catalog.models import Model, Provider


class ExchangeRate(models.Model):
    """Won per one USD as published for one day. Append-only: a correction is a newer row for the same day."""

    rate_on = models.DateField(_("published for"))
    rate = models.DecimalField(_("KRW per USD"), max_digits=12, decimal_places=4)
    source = models.CharField(_("source"), max_length=100)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("recorded"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("exchange rate")
        verbose_name_plural = _("exchange rates")
        ordering = ["-rate_on", "-pk"]
        constraints = [
            models.CheckConstraint(
                # The bounds catch a slipped decimal point; the won has not left them since 1964.
                name="exchange_rate_is_plausible",
                condition=Q(rate__gte=100, rate__lte=10000),
            ),
        ]
        indexes = [models.Index(fields=["-rate_on", "-id"], name="exchange_rate_newest_first")]

    def __str__(self) -> str:
        return f"{self.rate_on} {self.rate} ({self.source})"


class MarginRule(models.Model):
    """The share of the selling price that is ours, and what it is reckoned on: selling = basis / (1 - margin).

    A rule is about one customer or everybody, and about one provider, family or model, or everything; which one holds
    is decided by `billing.margins`. A family is how the ids of its models begin: `anthropic/claude-`.
    """

    class Basis(models.TextChoices):
        CATALOG = "catalog", _("our list price")
        UPSTREAM = "upstream", _("the upstream's charge")
        HIGHER = "higher", _("the higher of both")

    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="margin_rules", verbose_name=_("customer")
    )
    provider = models.ForeignKey(
        Provider, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("provider")
    )
    family = models.CharField(_("model family"), max_length=200, blank=True, db_default="")
    model = models.ForeignKey(Model, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("model"))
    margin = models.DecimalField(_("margin"), max_digits=6, decimal_places=5)
    basis = models.CharField(
        _("reckoned on"), max_length=8, choices=Basis.choices, default=Basis.CATALOG, db_default="catalog"
    )
    effective_from = models.DateField(_("from"))
    effective_to = models.DateField(_("to"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.CharField(_("created by"), max_length=200)

    class Meta:
        verbose_name = _("margin rule")
        verbose_name_plural = _("margin rules")
        ordering = ["customer", "-effective_from"]
        constraints = [
            models.CheckConstraint(name="margin_is_a_share_below_one", condition=Q(margin__gte=0, margin__lt=1)),
            models.CheckConstraint(
                name="margin_rule_ends_after_it_begins",
                condition=Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from")),
            ),
            models.CheckConstraint(
                name="margin_rule_is_about_one_thing_at_most",
                condition=Q(provider__isnull=True, family="")
                | Q(provider__isnull=True, model__isnull=True)
                | Q(family="", model__isnull=True),
            ),
            models.CheckConstraint(
                name="margin_family_is_the_beginning_of_ids", condition=Q(family="") | Q(family__regex=r"^[^/\s]+/\S+$")
            ),
            models.CheckConstraint(
                name="margin_basis_is_known", condition=Q(basis__in=["catalog", "upstream", "higher"])
            ),
            ExclusionConstraint(
                name="margin_rules_of_a_scope_never_overlap",
                expressions=[
                    (Coalesce("customer_id", Value(0)), RangeOperators.EQUAL),
                    (Coalesce("provider_id", Value(0)), RangeOperators.EQUAL),
                    (F("family"), RangeOperators.EQUAL),
                    (Coalesce("model_id", Value(0)), RangeOperators.EQUAL),
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
        about = self.provider or self.family or self.model or ""
        return f"{self.customer or 'default'} {about} {self.margin} from {self.effective_from}".replace("  ", " ")


class HolidayOverride(models.Model):
    """A public holiday declared (or taken back) after the holiday library's release; moves tax deadlines."""

    day = models.DateField(_("day"), unique=True)
    is_holiday = models.BooleanField(_("is a holiday"), default=True)
    note = models.CharField(_("note"), max_length=200)

    class Meta:
        verbose_name = _("holiday override")
        verbose_name_plural = _("holiday overrides")
        ordering = ["-day"]

    def __str__(self) -> str:
        return f"{self.day} {self.note}"
