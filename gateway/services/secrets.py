"""Keys of ours at upstreams, encrypted at rest. The newest of JEONGSAN_UPSTREAM_SECRETS encrypts, all of them decrypt."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction

from accounts.errors import NotReady
from accounts.services import record_audit
from gateway.models import UpstreamKey


class SecretUnreadable(NotReady):
    """A stored key that none of the configured secrets opens."""

    code = "upstream_key_unreadable"


def encrypt_secret(secret: str) -> bytes:
    """The key as it is stored: Fernet (AES-128-CBC with HMAC-SHA256) under the newest secret."""
    return _box().encrypt(secret.encode())


def decrypt_secret(key: UpstreamKey) -> str:
    """The key in plain text. Raises SecretUnreadable where the secret that it was encrypted under is not there any more."""
    try:
        return _box().decrypt(bytes(key.secret)).decode()
    except InvalidToken:
        raise SecretUnreadable(
            f"the key {key} can't be decrypted: put the secret that it was stored under back, or enter the key anew",
            field="secret",
        ) from None


@transaction.atomic
def rotate_secrets(*, actor: str, now: datetime) -> int:
    """Encrypt every stored key anew under the newest secret; returns how many. After it the older ones can go."""
    keys = list(UpstreamKey.objects.select_for_update().order_by("pk"))
    for key in keys:
        key.secret = encrypt_secret(decrypt_secret(key))
        key.save(update_fields=["secret"])
        record_audit(actor=actor, action="rotate_upstream_key", subject=key, data={"at": now.isoformat()})
    return len(keys)


def _box() -> MultiFernet:
    texts = [text.strip() for text in settings.JEONGSAN_UPSTREAM_SECRETS.split(",") if text.strip()]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())) for text in texts])
