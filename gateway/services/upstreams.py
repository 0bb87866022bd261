"""Upstreams and their keys: what operators set, and what a gateway asks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.errors import InvalidInput
from accounts.services import record_audit
from catalog.adapters import checked_url
from catalog.errors import AddressRefused
from gateway.models import Upstream, UpstreamKey
from gateway.services.secrets import SecretUnreadable, decrypt_secret, encrypt_secret
from gateway.upstreams import Target

_MAX_SECRET_CHARS = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: until connected, until the first byte of an answer, between two of its bytes."""

    connect: int = 5
    first_byte: int = 120
    idle: int = 60


def usable_targets() -> list[Target]:
    """Every enabled key of every enabled upstream, in the order in which they are tried. A key that can't be decrypted is
    left out and logged.
    """
    targets = []
    keys = UpstreamKey.objects.filter(is_enabled=True, upstream__is_enabled=True).select_related("upstream")
    for key in keys.order_by("upstream__priority", "upstream__name", "priority", "name"):
        upstream = key.upstream
        try:
            secret = decrypt_secret(key)
        except SecretUnreadable as error:
            logger.error("upstream %s: %s", upstream.name, error.message)
            continue
        targets.append(
            Target(
                upstream_id=upstream.pk,
                key_id=key.pk,
                name=upstream.name,
                base_url=upstream.base_url,
                dialect=upstream.dialect,
                secret=secret,
                connect_seconds=float(upstream.connect_timeout_seconds),
                first_byte_seconds=float(upstream.first_byte_timeout_seconds),
                idle_seconds=float(upstream.idle_timeout_seconds),
            )
        )
    return targets


@transaction.atomic
def set_upstream(
    *,
    name: str,
    base_url: str,
    dialect: str,
    actor: str,
    now: datetime,
    priority: int = 100,
    is_enabled: bool = True,
    timeouts: Timeouts | None = None,
    allow_loopback: bool = False,
    reason: str = "",
) -> Upstream:
    """Make an upstream or change the one of that name. Raises InvalidInput or AddressRefused, naming the field.

    The address is https on the internet; one on this machine only with `allow_loopback`, for development.
    """
    timeouts = timeouts or Timeouts()
    upstream = Upstream.objects.select_for_update().filter(name=name).first() or Upstream(
        name=name, created_at=now, created_by=actor
    )
    before = None if upstream.pk is None else _terms(upstream)
    upstream.base_url = _checked_base(base_url, allow_loopback=allow_loopback)
    upstream.dialect, upstream.priority, upstream.is_enabled = dialect, priority, is_enabled
    upstream.connect_timeout_seconds = timeouts.connect
    upstream.first_byte_timeout_seconds = timeouts.first_byte
    upstream.idle_timeout_seconds = timeouts.idle
    try:
        upstream.clean_fields(exclude=["base_url"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidInput(f"{field}: {messages[0]}", field=field) from None
    if min(timeouts.connect, timeouts.first_byte, timeouts.idle) < 1:
        raise InvalidInput("timeouts: at least one second each", field="timeouts")
    after = _terms(upstream)
    if before != after:
        upstream.save()
        data = {"before": before, "after": after}
        record_audit(actor=actor, action="set_upstream", subject=upstream, reason=reason, data=data)
    return upstream


@transaction.atomic
def set_upstream_key(
    *,
    upstream: Upstream,
    secret: str,
    actor: str,
    now: datetime,
    name: str = "default",
    priority: int = 100,
    reason: str = "",
) -> UpstreamKey:
    """Store a key of ours at an upstream, or put a new one in the place of the one of that name. It is never shown again."""
    if not 1 <= len(secret) <= _MAX_SECRET_CHARS or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InvalidInput("secret: 1 to 500 printable ASCII characters without spaces", field="secret")
    if not 1 <= len(name) <= 60 or not name.isprintable():
        raise InvalidInput("name: 1 to 60 printable characters", field="name")
    key = UpstreamKey.objects.select_for_update().filter(upstream=upstream, name=name).first() or UpstreamKey(
        upstream=upstream, name=name, created_at=now, created_by=actor
    )
    action = "add_upstream_key" if key.pk is None else "replace_upstream_key"
    key.secret, key.last4, key.priority = encrypt_secret(secret), secret[-4:] if len(secret) >= 12 else "", priority
    key.is_enabled = True
    key.save()
    record_audit(actor=actor, action=action, subject=key, reason=reason, data={"last4": key.last4})
    return key


@transaction.atomic
def enable_upstream_key(*, key: UpstreamKey, is_enabled: bool, reason: str, actor: str) -> UpstreamKey:
    """Use a key or use it no longer; gateways know within seconds."""
    locked = UpstreamKey.objects.select_for_update().get(pk=key.pk)
    if locked.is_enabled != is_enabled:
        locked.is_enabled = is_enabled
        locked.save(update_fields=["is_enabled"])
        action = "enable_upstream_key" if is_enabled else "disable_upstream_key"
        record_audit(actor=actor, action=action, subject=locked, reason=reason)
    return locked


def _checked_base(base_url: str, *, allow_loopback: bool) -> str:
    try:
        url = checked_url(base_url)
    except AddressRefused as refused:
        raise AddressRefused(refused.message.replace("from:", "base_url:", 1), field="base_url") from None
    if url.raw_query_string or url.raw_fragment:
        raise InvalidInput("base_url: without ? and #", field="base_url")
    if url.scheme == "http" and not (allow_loopback and _is_loopback(url.raw_host or "")):
        sentence = "base_url: https on the internet; an address of this machine only where loopback is allowed"
        raise AddressRefused(sentence, field="base_url")
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _terms(upstream: Upstream) -> dict[str, object]:
    return {
        "base_url": upstream.base_url,
        "dialect": upstream.dialect,
        "priority": upstream.priority,
        "is_enabled": upstream.is_enabled,
        "timeouts_seconds": [
            upstream.connect_timeout_seconds,
            upstream.first_byte_timeout_seconds,
            upstream.idle_timeout_seconds,
        ],
    }
