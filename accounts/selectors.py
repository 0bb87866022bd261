"""Questions about customers, keys and identities."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from datetime import date, datetime

from django.conf import settings
from django.db.models import QuerySet

from accounts.errors import NotFound
from accounts.models import ApiKey, Customer, SellerProfile, TaxProfile, User


def customer_by_slug(slug: str) -> Customer:
    """The customer with that slug; NotFound otherwise."""
    try:
        return Customer.objects.get(slug=slug)
    except Customer.DoesNotExist:
        raise NotFound(f"there is no customer {slug!r}", field="customer") from None


def customers_of(user: User) -> QuerySet[Customer]:
    """The customers whose pages a user may see: their memberships, and nothing for anybody else."""
    return Customer.objects.filter(memberships__user=user).order_by("slug")


def tax_profile_in_force(customer: Customer, *, on: date) -> TaxProfile | None:
    """The last version valid on that day, or None."""
    return customer.tax_profiles.filter(valid_from__lte=on).order_by("-valid_from").first()


def tax_profiles_in_force(customer_ids: Collection[int], *, on: date) -> dict[int, TaxProfile]:
    """The last version valid on that day, by customer; whoever has none is left out."""
    valid = TaxProfile.objects.filter(customer__in=customer_ids, valid_from__lte=on)
    return {one.customer_id: one for one in valid.order_by("customer_id", "-valid_from").distinct("customer_id")}


def seller_profile_in_force(*, on: date) -> SellerProfile | None:
    """Our own identity on that day, or None before the first version."""
    return SellerProfile.objects.filter(valid_from__lte=on).order_by("-valid_from").first()


def peppers() -> dict[int, bytes]:
    """Pepper versions from JEONGSAN_PEPPERS ("1:first,2:second"); the highest signs new keys."""
    pairs = (part.partition(":") for part in settings.JEONGSAN_PEPPERS.split(","))
    return {int(version): secret.encode() for version, _, secret in pairs}


def key_digest(secret: str, *, pepper: bytes) -> bytes:
    """HMAC-SHA256 of a key. No stretching: the key itself has 190 bits of randomness."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).digest()


def find_api_key(secret: str) -> ApiKey | None:
    """The row of a plaintext key, in whatever state it is; None for anything unknown.

    Looked up by digest under every pepper version, so the database never sees the key and learns nothing of a wrong one.
    """
    if not secret.startswith("sk-jeongsan-") or len(secret) > 100 or not secret.isascii():
        return None
    digests = [key_digest(secret, pepper=pepper) for pepper in peppers().values()]
    return ApiKey.objects.select_related("customer").filter(digest__in=digests).first()


def authenticate_api_key(secret: str, *, at: datetime) -> ApiKey | None:
    """The key if it may call at that instant, otherwise None: unknown, revoked and expired look the same."""
    key = find_api_key(secret)
    return key if key is not None and key.is_usable(at=at) else None
