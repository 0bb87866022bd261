"""manage.py rotate_upstream_keys: encrypt the keys of upstreams anew under the newest secret."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from gateway.services.secrets import rotate_secrets


class Command(JsonCommand):
    help = (
        "Encrypt every stored key of an upstream anew under the first of JEONGSAN_UPSTREAM_SECRETS. Afterwards the older "
        "secrets can be taken out."
    )

    def run(self, **_: Any) -> dict[str, Any]:
        return {"rotated": rotate_secrets(actor="manage.py rotate_upstream_keys", now=timezone.now())}

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"{answer['rotated']} keys are encrypted under the newest secret")
