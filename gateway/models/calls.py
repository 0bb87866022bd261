"""Calls: the intent and its hold, who has it at the moment, how it ended, and every attempt.

Written set-based by `gateway.services`; no foreign keys on the hot path (each costs a lock and a look-up per row).
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Customer
from gateway.models.upstreams import Upstream, UpstreamKey
from usage.models import exact_usd


class GatewayCall(models.Model):
    """One call of a customer. Its id is the usage event's id as well.

    `open` holds `hold_krw` of the customer's money and is somebody's until `lease_until`; every other status holds
    nothing and does not go back to open. settled: billed by the upstream's counts (`is_billed` is false where the answer
    was empty). estimated: billed by an estimate; the upstream is asked for its counts until `next_ask_at` is null.
    failed: nothing was generated, there is no event. lost: it had begun and nothing at all is known of it.
    """

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        SETTLED = "settled", _("settled")
        ESTIMATED = "estimated", _("estimated")
        FAILED = "failed", _("failed")
        LOST = "lost", _("lost")

    call_id = models.CharField(_("generation id"), max_length=64, primary_key=True)
    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", verbose_name=_("customer")
    )
    api_key = models.ForeignKey(
        ApiKey, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", verbose_name=_("API key")
    )
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.OPEN)
    route = models.CharField(_("route"), max_length=30)
    dialect = models.CharField(_("dialect"), max_length=30)
    is_stream = models.BooleanField(_("stream"), default=False)
    requested_model = models.CharField(_("requested model"), max_length=200)
    served_model = models.CharField(_("served model"), max_length=200, blank=True)
    app_title = models.CharField(_("app"), max_length=300, blank=True)
    app_referer = models.CharField(_("referer"), max_length=300, blank=True)
    idempotency_key = models.CharField(_("idempotency key"), max_length=255, null=True, blank=True)
    started_at = models.DateTimeField(_("started"))
    # -- the hold
    hold_krw = models.BigIntegerField(_("hold (KRW)"))
    hold_usd = exact_usd(verbose_name=_("hold (USD)"))
    hold_tokens = models.BigIntegerField(_("hold (tokens)"))
    prompt_bytes = models.BigIntegerField(_("size of the request"), default=0)
    granted_tokens = models.BigIntegerField(_("granted completion tokens"), default=0)
    is_metered = models.BooleanField(default=False)  # counted in its key's meter
    minute_at = models.DateTimeField(null=True)  # in which minute of the meter
    # -- who has it
    instance = models.CharField(_("process"), max_length=60, blank=True)
    lease_until = models.DateTimeField(_("lease until"))
    answering_at = models.DateTimeField(_("answer begun"), null=True, blank=True)
    upstream = models.ForeignKey(
        Upstream,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        verbose_name=_("upstream"),
    )
    upstream_generation_id = models.CharField(_("upstream's id"), max_length=200, null=True, blank=True)
    # -- how it ended
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)
    finish_reason = models.CharField(_("finish reason"), max_length=40, blank=True)
    error_code = models.CharField(_("error"), max_length=60, blank=True)
    answered_bytes = models.BigIntegerField(_("size of the answer"), default=0)
    answered_chunks = models.BigIntegerField(_("chunks of the answer"), default=0)
    event_id = models.CharField(_("event id"), max_length=200, null=True, blank=True)
    cost_usd = exact_usd(null=True, blank=True, verbose_name=_("cost (USD)"))
    is_billed = models.BooleanField(_("billed"), default=False)
    flags = ArrayField(models.CharField(max_length=40), verbose_name=_("flags"), default=list, blank=True)
    next_ask_at = models.DateTimeField(_("asks upstream at"), null=True, blank=True)
    asks = models.PositiveSmallIntegerField(_("times asked"), default=0)

    #: What was tried, as `CallAttempt` reads it; null until somebody tells.
    attempts = models.JSONField(_("attempts"), null=True, editable=False)

    class Meta:
        db_table = "gateway_call"
        verbose_name = _("gateway call")
        verbose_name_plural = _("gateway calls")
        ordering = ["-started_at"]
        constraints = [
            models.CheckConstraint(
                name="gateway_call_holds_something_sane",
                condition=Q(hold_krw__gte=0, hold_usd__gte=0, hold_tokens__gte=0),
            ),
            models.CheckConstraint(
                name="gateway_call_is_settled_exactly_when_it_is_not_open",
                condition=Q(status="open", settled_at__isnull=True, event_id__isnull=True)
                | (~Q(status="open") & Q(settled_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="gateway_call_has_an_event_exactly_when_answered",
                condition=Q(status__in=["settled", "estimated"], event_id__isnull=False)
                | (~Q(status__in=["settled", "estimated"]) & Q(event_id__isnull=True, is_billed=False)),
            ),
            models.UniqueConstraint(
                fields=["customer", "idempotency_key"],
                name="gateway_call_is_one_per_idempotency_key",
                condition=Q(idempotency_key__isnull=False) & ~Q(status="failed"),
            ),
        ]
        indexes = [
            models.Index(fields=["lease_until"], name="gateway_call_open", condition=Q(status="open")),
            models.Index(
                fields=["next_ask_at"],
                name="gateway_call_to_ask",
                condition=Q(status="estimated", next_ask_at__isnull=False),
            ),
            models.Index(fields=["started_at"], name="gateway_call_by_start"),
        ]

    def __str__(self) -> str:
        return self.call_id


class CallAttempt(models.Model):
    """One try at one upstream. Several attempts are one call and at most one event.

    A row of a view: they stand in their call's row, are written with it and go with it.
    """

    id = models.CharField(max_length=80, primary_key=True)
    call = models.ForeignKey(GatewayCall, models.DO_NOTHING, related_name="+", verbose_name=_("call"))
    number = models.PositiveSmallIntegerField(_("number"))
    upstream = models.ForeignKey(Upstream, models.DO_NOTHING, related_name="+", verbose_name=_("upstream"))
    key = models.ForeignKey(UpstreamKey, models.DO_NOTHING, related_name="+", verbose_name=_("key"))
    started_at = models.DateTimeField(_("started"))
    first_byte_at = models.DateTimeField(_("first byte"), null=True, blank=True)
    status = models.PositiveSmallIntegerField(_("HTTP status"), null=True, blank=True)
    error_code = models.CharField(_("error"), max_length=60, blank=True)
    upstream_generation_id = models.CharField(_("upstream's id"), max_length=200, null=True, blank=True)

    class Meta:
        managed = False
        db_table = "gateway_callattempt"
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["call", "number"]

    def __str__(self) -> str:
        return f"{self.call_id} #{self.number}"
