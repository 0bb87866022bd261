"""Changes to who pays and who may call. Every one leaves an audit entry in its own transaction."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.identifiers import normalize_brn
from accounts.models import ApiKey, AuditEntry, Customer, SellerProfile, TaxProfile
from accounts.selectors import key_digest, peppers

KEY_ALPHABET = string.ascii_letters + string.digits
KEY_RANDOM_CHARS = 32
KEY_PREFIX_CHARS = len("sk-jeongsan-") + 8


@dataclass(frozen=True)
class IssuedKey:
    """A new key with its plaintext, which exists only here: show it once and forget it."""

    key: ApiKey
    secret: str


def record_audit(
    *, actor: str, action: str, subject: Any, reason: str = "", data: dict[str, Any] | None = None
) -> AuditEntry:
    """Write who did what to which row; call it inside the change's own transaction."""
    return AuditEntry.objects.create(
        actor=actor,
        action=action,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
        reason=reason,
        data=data or {},
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
def create_customer(*, slug: str, name: str, actor: str, **policy: Any) -> Customer:
    """A new customer; `policy` are the billing policy fields of `Customer`."""
    customer = Customer(slug=slug, name=name, **policy)
    _validate(customer)
    rate = customer.fixed_rate_krw_per_usd
    if (customer.exchange_rule == Customer.ExchangeRule.FIXED) != (rate is not None and rate > 0):
        raise InvalidInput(
            "a contract rate above 0 stands exactly under the fixed rule", field="fixed_rate_krw_per_usd"
        )
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
