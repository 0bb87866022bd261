"""Changes to who pays and who may call. Every one leaves an audit entry in its own transaction."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.identifiers import normalize_brn
from accounts.models import ApiKey, AuditEntry, Customer, SellerProfile, SubmittedForm, TaxProfile
from accounts.selectors import key_digest, peppers

#: A form that lay open for longer is sent as if for the first time.
FORMS_KEPT = timedelta(days=30)
KEY_ALPHABET = string.ascii_letters + string.digits
KEY_RANDOM_CHARS = 32
KEY_PREFIX_CHARS = len("sk-jeongsan-") + 8
MAX_LIMIT = 2_000_000_000
MAX_LIMIT_USD = Decimal(10**12)


@dataclass(frozen=True)
class IssuedKey:
    """A new key with its plaintext, which exists only here: show it once and forget it."""

    key: ApiKey
    secret: str


def record_audit(
    *, actor: str, action: str, subject: Any, reason: str = "", data: dict[str, Any] | None = None
) -> AuditEntry:
    """Write who did what to which row; call it inside the change's own transaction."""
    (entry,) = record_audits(actor=actor, action=action, subjects=[(subject, data or {})], reason=reason)
    return entry


@transaction.atomic
def claim_form(*, token: UUID, actor: str, now: datetime) -> bool:
    """Take an operators' form that is being sent; False when it was sent before. Old ones are forgotten."""
    SubmittedForm.objects.filter(at__lt=now - FORMS_KEPT).delete()
    _form, is_new = SubmittedForm.objects.get_or_create(token=token, defaults={"actor": actor, "at": now})
    return is_new


def release_form(*, token: UUID) -> None:
    """Give a form back that was refused, so that it can be corrected and sent again."""
    SubmittedForm.objects.filter(token=token).delete()


def record_audits(
    *, actor: str, action: str, subjects: Iterable[tuple[Any, dict[str, Any]]], reason: str = ""
) -> list[AuditEntry]:
    """The same for many rows at once, each with its data."""
    return AuditEntry.objects.bulk_create(
        AuditEntry(
            actor=actor,
            action=action,
            object_type=subject._meta.label_lower,
            object_id=str(subject.pk),
            reason=reason,
            data=data,
        )
        for subject, data in subjects
    )


@transaction.atomic
def create_api_key(
    *, customer: Customer | None, name: str, actor: str, expires_at: datetime | None = None
) -> IssuedKey:
    """A new key: a customer's, or with `customer=None` an ingest key. Its plaintext is returned once and kept nowhere."""
    name = name.strip()
    if not name or len(name) > 100:
        raise InvalidInput("a key needs a name of 1 to 100 characters", field="name")
    version, pepper = max(peppers().items())
    secret = "sk-jeongsan-" + "".join(secrets.choice(KEY_ALPHABET) for _ in range(KEY_RANDOM_CHARS))
    key = ApiKey.objects.create(
        scope=ApiKey.Scope.CUSTOMER if customer else ApiKey.Scope.INGEST,
        customer=customer,
        name=name,
        prefix=secret[:KEY_PREFIX_CHARS],
        last4=secret[-4:],
        pepper_version=version,
        digest=key_digest(secret, pepper=pepper),
        created_by=actor,
        expires_at=expires_at,
    )
    record_audit(actor=actor, action="create_api_key", subject=key, data={"prefix": key.prefix})
    return IssuedKey(key, secret)


@transaction.atomic
def revoke_api_key(*, key: ApiKey, actor: str, now: datetime, reason: str = "") -> ApiKey:
    """Stop a key for good. Revoking it again changes nothing."""
    locked = ApiKey.objects.select_for_update().get(pk=key.pk)
    if locked.revoked_at is None:
        locked.revoked_at, locked.revoked_by = now, actor
        locked.save(update_fields=["revoked_at", "revoked_by"])
        record_audit(actor=actor, action="revoke_api_key", subject=locked, reason=reason)
    return locked


@transaction.atomic
def set_key_limits(
    *,
    key: ApiKey,
    rpm: int | None,
    tpm: int | None,
    concurrency: int | None,
    monthly_usd: Decimal | None,
    allowed_ips: list[str] | None,
    reason: str,
    actor: str,
) -> ApiKey:
    """The key's limits, all of them; None sets none. They hold for the next call of every gateway.

    `monthly_usd` is at list price, in a Korean month. `allowed_ips` are addresses or networks in CIDR notation.
    Raises InvalidInput naming the field.
    """
    for field, count in (("rpm", rpm), ("tpm", tpm), ("concurrency", concurrency)):
        if count is not None and not 0 <= count <= MAX_LIMIT:
            raise InvalidInput(f"{field}: 0 to {MAX_LIMIT:,}", field=field)
    if monthly_usd is not None and not (
        monthly_usd.is_finite() and 0 <= monthly_usd < MAX_LIMIT_USD and monthly_usd == round(monthly_usd, 6)
    ):
        raise InvalidInput("monthly_usd: an amount with at most six decimals", field="monthly_usd")
    locked = ApiKey.objects.select_for_update().get(pk=key.pk)
    if locked.scope != ApiKey.Scope.CUSTOMER:
        raise InvalidInput("key: an ingest key makes no calls", field="key")
    before = _limits(locked)
    locked.rpm_limit, locked.tpm_limit, locked.concurrency_limit = rpm, tpm, concurrency
    locked.monthly_limit_usd, locked.allowed_ips = monthly_usd, _networks(allowed_ips)
    after = _limits(locked)
    if before != after:
        locked.save(update_fields=["rpm_limit", "tpm_limit", "concurrency_limit", "monthly_limit_usd", "allowed_ips"])
        data = {"before": before, "after": after}
        record_audit(actor=actor, action="set_key_limits", subject=locked, reason=reason, data=data)
    return locked


@transaction.atomic
def create_customer(*, slug: str, name: str, actor: str, **policy: Any) -> Customer:
    """A new customer; `policy` are the billing policy fields of `Customer`."""
    customer = Customer(slug=slug, name=name, **policy)
    _validate(customer)
    rate = customer.fixed_rate_krw_per_usd
    if (customer.exchange_rule == Customer.ExchangeRule.FIXED) != (rate is not None and rate > 0):
        raise InvalidInput(
            "a contract rate above 0 stands exactly under the fixed rule", field="fixed_rate_krw_per_usd"
        )
    if not customer.is_currency_fit:
        raise InvalidInput("an invoice in dollars needs one rate, not one for each day", field="invoice_currency")
    try:
        with transaction.atomic():
            customer.save()
    except IntegrityError:
        raise Conflict(f"there is already a customer {slug!r}", field="slug") from None
    record_audit(actor=actor, action="create_customer", subject=customer)
    return customer


@transaction.atomic
def add_tax_profile(*, customer: Customer, kind: str, valid_from: date, actor: str, **identity: str) -> TaxProfile:
    """A new version of a customer's tax identity from a day on; earlier documents keep the version they were made with.

    `identity`: registration_no (any spelling; checked and stored as digits), name, ceo_name, address, business_type,
    business_class, email, email2, foreign_id. A foreign company's registration number is given by the tax form itself.
    """
    is_foreign = kind == TaxProfile.Kind.FOREIGN
    if is_foreign != bool(identity.get("foreign_id")):
        reason = "a foreign company is named by its own number" if is_foreign else "only a foreign company has this"
        raise InvalidInput(reason, field="foreign_id")
    identity["registration_no"] = (
        TaxProfile.FOREIGN_REGISTRATION_NO if is_foreign else _checked_brn(identity.get("registration_no", ""))
    )
    profile = TaxProfile(customer=customer, kind=kind, valid_from=valid_from, created_by=actor, **identity)
    _validate(profile)
    try:
        with transaction.atomic():
            profile.save()
    except IntegrityError:
        raise Conflict(f"{customer.slug} already has a tax profile from {valid_from}", field="valid_from") from None
    record_audit(actor=actor, action="add_tax_profile", subject=profile)
    return profile


@transaction.atomic
def add_seller_profile(*, valid_from: date, actor: str, **identity: str) -> SellerProfile:
    """A new version of our own identity and bank account, in force from a day on."""
    identity["registration_no"] = _checked_brn(identity.get("registration_no", ""))
    profile = SellerProfile(valid_from=valid_from, created_by=actor, **identity)
    _validate(profile)
    profile.save()
    record_audit(actor=actor, action="add_seller_profile", subject=profile)
    return profile


def _checked_brn(text: str) -> str:
    try:
        return normalize_brn(text)
    except ValueError as error:
        raise InvalidInput(str(error), field="registration_no") from None


def _validate(row: Customer | TaxProfile | SellerProfile) -> None:
    """Field rules of the model, as one InvalidInput naming the first field. Constraints are the database's business."""
    try:
        row.clean_fields()
        row.validate_unique()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidInput(f"{field}: {messages[0]}", field=field) from None


def _networks(texts: list[str] | None) -> list[str] | None:
    if texts is None:
        return None
    try:
        return [str(ip_network(text.strip())) for text in texts if text.strip()]
    except ValueError as error:
        raise InvalidInput(f"allowed_ips: {error}", field="allowed_ips") from None


def _limits(key: ApiKey) -> dict[str, object]:
    return {
        "rpm": key.rpm_limit,
        "tpm": key.tpm_limit,
        "concurrency": key.concurrency_limit,
        "monthly_usd": None if key.monthly_limit_usd is None else format(key.monthly_limit_usd.normalize(), "f"),
        "allowed_ips": key.allowed_ips,
    }
