"""What is sold, at which USD price, since when."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Provider(models.Model):
    """Who makes the models: the part of a model's id before the slash."""

    slug = models.CharField(_("slug"), max_length=100, unique=True)
    name = models.CharField(_("name"), max_length=200)

    class Meta:
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Model(models.Model):
    """One callable model. `model_id` is what callers write, `canonical_slug` its permanent name (not unique: variants
    such as `:free` share it).
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        RETIRED = "retired", _("retired")

    class Quantization(models.TextChoices):
        """Number formats of weights, by the names that OpenRouter's API gives them."""

        INT4 = "int4", "int4"
        INT8 = "int8", "int8"
        FP4 = "fp4", "fp4"
        MXFP4 = "mxfp4", "mxfp4"
        NVFP4 = "nvfp4", "nvfp4"
        FP6 = "fp6", "fp6"
        FP8 = "fp8", "fp8"
        MXFP8 = "mxfp8", "mxfp8"
        FP16 = "fp16", "fp16"
        BF16 = "bf16", "bf16"
        FP32 = "fp32", "fp32"
        UNKNOWN = "unknown", _("unknown")

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="models", verbose_name=_("provider"))
    model_id = models.CharField(_("id"), max_length=200, unique=True)
    canonical_slug = models.CharField(_("canonical slug"), max_length=200, db_index=True)
    name = models.CharField(_("name"), max_length=300)
    description = models.TextField(_("description"), blank=True)
    listed_at = models.DateTimeField(_("created upstream"), null=True, blank=True)
    context_length = models.BigIntegerField(_("context (tokens)"), null=True, blank=True)
    #: The rest of the upstream's entry as it came (architecture, top_provider, supported_parameters, ...), without prices.
    listing = models.JSONField(_("listing"), default=dict)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE)
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True)
    #: What `/models?format=openrouter` tells of a model that we serve ourselves; only flagged models stand there.
    is_provider_listed = models.BooleanField(_("in the provider listing"), default=False)
    is_ready = models.BooleanField(_("ready to be listed"), default=False)
    quantization = models.CharField(
        _("quantization"), max_length=8, choices=Quantization.choices, default=Quantization.UNKNOWN
    )
    #: ISO 3166-1 alpha-2 codes of the countries it runs in.
    datacenters = ArrayField(
        models.CharField(max_length=2), verbose_name=_("data center countries"), default=list, blank=True
    )
    created_at = models.DateTimeField(_("first seen"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        ordering = ["model_id"]
        constraints = [
            models.CheckConstraint(
                name="model_is_retired_exactly_when_dated",
                condition=Q(status="retired", retired_at__isnull=False) | Q(status="active", retired_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.model_id


class ModelAlias(models.Model):
    """Another name under which a model is called or reported."""

    alias = models.CharField(_("alias"), max_length=200, unique=True)
    model = models.ForeignKey(Model, models.PROTECT, related_name="aliases", verbose_name=_("model"))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.CharField(_("created by"), max_length=200)

    class Meta:
        verbose_name = _("alias")
        verbose_name_plural = _("aliases")
        ordering = ["alias"]

    def __str__(self) -> str:
        return f"{self.alias} -> {self.model}"


class RouterTarget(models.Model):
    """A model that a router may pass a request to. The answer names it and is priced at it."""

    router = models.ForeignKey(Model, models.PROTECT, related_name="router_targets", verbose_name=_("router"))
    target = models.ForeignKey(Model, models.PROTECT, related_name="routers", verbose_name=_("model"))
    position = models.PositiveSmallIntegerField(_("position"))

    class Meta:
        verbose_name = _("router target")
        verbose_name_plural = _("router targets")
        ordering = ["router", "position"]
        constraints = [
            models.UniqueConstraint(fields=["router", "target"], name="router_names_a_target_once"),
            models.UniqueConstraint(fields=["router", "position"], name="router_targets_have_one_order"),
            models.CheckConstraint(name="router_is_no_target_of_itself", condition=~Q(router=F("target"))),
        ]

    def __str__(self) -> str:
        return f"{self.router} -> {self.target}"


class Price(models.Model):
    """One model's price during `[effective_from, effective_to)`: USD per unit of each component, as decimal strings.

    The database keeps intervals of a model apart and lets a row change only in two ways: an open interval is ended, and a
    quarantined price (nothing was ever charged at it) is replaced by a listed one.
    """

    class Kind(models.TextChoices):
        LISTED = "listed", _("listed")
        VARIABLE = "variable", _("variable")
        QUARANTINED = "quarantined", _("quarantined")

    model = models.ForeignKey(Model, models.PROTECT, related_name="prices", verbose_name=_("model"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    effective_from = models.DateTimeField(_("from"))
    effective_to = models.DateTimeField(_("to"), null=True, blank=True)
    #: {"prompt": "0.000003", ...}: USD per token or per unit, exactly as listed.
    components = models.JSONField(_("components"), default=dict)
    overrides = models.JSONField(_("overrides"), default=list)
    #: The upstream's `pricing` object as it came; what a quarantined price is judged by.
    listed_pricing = models.JSONField(_("listed pricing"), default=dict)
    quarantine_code = models.CharField(_("quarantine code"), max_length=40, blank=True)
    quarantine_reason = models.CharField(_("quarantine reason"), max_length=300, blank=True)
    source = models.CharField(_("source"), max_length=300)
    created_at = models.DateTimeField(_("recorded"), default=timezone.now, editable=False)
    created_by = models.CharField(_("recorded by"), max_length=200)

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering = ["model", "-effective_from"]
        constraints = [
            ExclusionConstraint(
                name="price_intervals_of_a_model_never_overlap",
                expressions=[
                    ("model", RangeOperators.EQUAL),
                    (
                        Func(
                            F("effective_from"),
                            F("effective_to"),
                            function="tstzrange",
                            output_field=DateTimeRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
            models.CheckConstraint(
                name="price_ends_after_it_begins",
                condition=Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from")),
            ),
            models.CheckConstraint(
                name="price_has_components_exactly_when_listed",
                condition=(Q(kind="listed") & ~Q(components={})) | (~Q(kind="listed") & Q(components={})),
            ),
            models.CheckConstraint(
                name="price_has_a_reason_exactly_when_quarantined",
                condition=(Q(kind="quarantined") & ~Q(quarantine_code=""))
                | (~Q(kind="quarantined") & Q(quarantine_code="")),
            ),
        ]
        indexes = [models.Index(fields=["model", "effective_from"], name="price_by_model_and_time")]

    def __str__(self) -> str:
        return f"{self.model_id} {self.kind} from {self.effective_from:%Y-%m-%d %H:%M}"


class CatalogSync(models.Model):
    """One reading of an upstream listing that was applied, with what it changed."""

    source = models.CharField(_("source"), max_length=300)
    effective_at = models.DateTimeField(_("effective at"))
    listing_sha256 = models.CharField(_("listing SHA-256"), max_length=64)
    counts = models.JSONField(_("counts"))
    actor = models.CharField(_("by"), max_length=200)
    created_at = models.DateTimeField(_("run at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("catalog sync")
        verbose_name_plural = _("catalog syncs")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.source} {self.effective_at:%Y-%m-%d %H:%M}"


class PriceChange(models.Model):
    """A price that a listing or an operator changed: the old one, the new one, and how far they are apart.

    A change that waits keeps the new price here; the old one stays in force until somebody decides. `before` is the last
    price that was no quarantine, `after` the interval that the change opened.
    """

    class Status(models.TextChoices):
        APPLIED = "applied", _("applied")
        AWAITING_APPROVAL = "awaiting_approval", _("awaiting approval")
        REJECTED = "rejected", _("rejected")
        ANNOUNCED = "announced", _("announced")
        SUPERSEDED = "superseded", _("superseded by a later listing")

    model = models.ForeignKey(Model, models.PROTECT, related_name="price_changes", verbose_name=_("model"))
    status = models.CharField(_("status"), max_length=18, choices=Status.choices)
    #: None for what an operator announced.
    sync = models.ForeignKey(
        CatalogSync, models.PROTECT, null=True, blank=True, related_name="price_changes", verbose_name=_("sync")
    )
    before = models.ForeignKey(Price, models.PROTECT, related_name="+", verbose_name=_("old price"))
    after = models.OneToOneField(
        Price, models.PROTECT, null=True, blank=True, related_name="change", verbose_name=_("new price")
    )
    kind = models.CharField(_("kind"), max_length=12, choices=Price.Kind.choices)
    components = models.JSONField(_("components"), default=dict)
    overrides = models.JSONField(_("overrides"), default=list)
    listed_pricing = models.JSONField(_("listed pricing"), default=dict)
    #: {"prompt": "25", "request": null}: percent by component, as text; null where the old price was 0 or none.
    percents = models.JSONField(_("percent by component"), default=dict)
    #: The largest of them, up or down; None where there is no percentage.
    percent = models.DecimalField(_("percent"), max_digits=40, decimal_places=4, null=True, blank=True)
    #: When the listing named it; for an announced price, when it begins.
    effective_at = models.DateTimeField(_("effective at"))
    source = models.CharField(_("source"), max_length=300)
    created_at = models.DateTimeField(_("recorded"), default=timezone.now, editable=False)
    created_by = models.CharField(_("recorded by"), max_length=200)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    decided_by = models.CharField(_("decided by"), max_length=200, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("price change")
        verbose_name_plural = _("price changes")
        ordering = ["-effective_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["model"],
                name="price_change_waits_once_per_model",
                condition=Q(status="awaiting_approval"),
            ),
            models.CheckConstraint(
                name="price_change_opens_a_price_exactly_when_in_force_or_announced",
                condition=Q(status__in=["applied", "announced"], after__isnull=False)
                | (~Q(status__in=["applied", "announced"]) & Q(after__isnull=True)),
            ),
            models.CheckConstraint(
                name="price_change_is_decided_by_somebody_for_a_reason",
                condition=Q(decided_at__isnull=True, decided_by="")
                | (Q(decided_at__isnull=False) & ~Q(decided_by="") & ~Q(reason="")),
            ),
            models.CheckConstraint(
                name="price_change_is_rejected_by_somebody",
                condition=~Q(status="rejected") | Q(decided_at__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["model", "-id"], name="price_change_by_model")]

    def __str__(self) -> str:
        return f"{self.model_id} {self.status} {self.effective_at:%Y-%m-%d %H:%M}"
