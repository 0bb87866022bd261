"""manage.py set_upstream: make an upstream or change it, and store a key of ours at it."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from gateway.models import Upstream
from gateway.services.upstreams import Timeouts, set_upstream, set_upstream_key

ACTOR = "manage.py set_upstream"
KEY_VARIABLE = "UPSTREAM_KEY"


class Command(JsonCommand):
    help = (
        "Make an upstream or change the one of that name. A key is read from standard input with --key-stdin, or from "
        f"the variable {KEY_VARIABLE}: an argument would be seen by everybody on the machine."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="short name, e.g. openrouter")
        parser.add_argument("base_url", help="what /chat/completions is appended to, e.g. https://openrouter.ai/api/v1")
        parser.add_argument(
            "--dialect",
            choices=Upstream.Dialect.values,
            default=Upstream.Dialect.OPENROUTER.value,
            help="how it reports usage (openrouter)",
        )
        parser.add_argument("--priority", type=int, default=100, help="the lowest is asked first (100)")
        parser.add_argument("--disable", action="store_true", help="keep it and forward nothing to it")
        parser.add_argument("--connect-timeout", type=int, default=5, metavar="SECONDS", help="to be connected (5)")
        parser.add_argument(
            "--first-byte-timeout", type=int, default=120, metavar="SECONDS", help="until an answer begins (120)"
        )
        parser.add_argument(
            "--idle-timeout", type=int, default=60, metavar="SECONDS", help="between two pieces of an answer (60)"
        )
        parser.add_argument(
            "--allow-loopback", action="store_true", help="for development: an http address of this machine"
        )
        parser.add_argument("--key-stdin", action="store_true", help="read our key from standard input")
        parser.add_argument("--key-name", default="default", help="the same name takes the place of the old key")
        parser.add_argument("--reason", default="", help="why; the audit trail keeps it")

    def run(self, name: str, base_url: str, key_stdin: bool, key_name: str, **options: Any) -> dict[str, Any]:
        secret = _secret(key_stdin)
        now = timezone.now()
        upstream = set_upstream(
            name=name,
            base_url=base_url,
            dialect=options["dialect"],
            priority=options["priority"],
            is_enabled=not options["disable"],
            timeouts=Timeouts(options["connect_timeout"], options["first_byte_timeout"], options["idle_timeout"]),
            allow_loopback=options["allow_loopback"],
            reason=options["reason"],
            actor=ACTOR,
            now=now,
        )
        key = None
        if secret is not None:
            key = set_upstream_key(
                upstream=upstream, secret=secret, name=key_name, reason=options["reason"], actor=ACTOR, now=now
            )
        return {
            "name": upstream.name,
            "base_url": upstream.base_url,
            "dialect": upstream.dialect,
            "priority": upstream.priority,
            "is_enabled": upstream.is_enabled,
            "key": None if key is None else {"name": key.name, "last4": key.last4},
        }

    def show(self, answer: dict[str, Any]) -> None:
        state = "" if answer["is_enabled"] else " (disabled)"
        key = f", key {answer['key']['name']} …{answer['key']['last4']} stored" if answer["key"] else ""
        self.stdout.write(f"{answer['name']}{state}: {answer['base_url']}{key}")


def _secret(key_stdin: bool) -> str | None:
    """The key without its line end; None where none is given."""
    if not key_stdin:
        return os.environ.get(KEY_VARIABLE) or None
    secret = sys.stdin.readline().strip()
    if not secret:
        raise InvalidInput("key: standard input is empty", field="key")
    return secret
