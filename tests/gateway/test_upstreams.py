"""Upstreams and their keys: which addresses are taken, and that a key is written and never read by anybody else."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from accounts.errors import InvalidInput
from accounts.models import AuditEntry
from catalog.errors import AddressRefused
from gateway.models import Upstream, UpstreamKey
from gateway.services.secrets import SecretUnreadable, decrypt_secret, rotate_secrets
from gateway.services.upstreams import Timeouts, enable_upstream_key, set_upstream, set_upstream_key, usable_targets
from tests.gateway.money import ACTOR, NOW

pytestmark = pytest.mark.django_db

SECRET = "sk-upstream-canary-0123456789"


def upstream(name: str = "one", base_url: str = "https://upstream.example/api/v1/", **changes: Any) -> Upstream:
    return set_upstream(
        **({"name": name, "base_url": base_url, "dialect": "openrouter", "actor": ACTOR, "now": NOW} | changes)
    )


def key(of: Upstream, secret: str = SECRET, **changes: Any) -> UpstreamKey:
    return set_upstream_key(**({"upstream": of, "secret": secret, "actor": ACTOR, "now": NOW} | changes))


@pytest.mark.parametrize(
    "address",
    [
        "http://upstream.example/v1",
        "http://127.0.0.1:9000/v1",
        "https://127.0.0.1/v1",
        "https://10.0.0.7/v1",
        "https://169.254.169.254/latest",
        "https://[::1]/v1",
        "https://user:pass@upstream.example/v1",
        "ftp://upstream.example",
        "upstream.example",
    ],
)
def test_addresses_that_are_not_on_the_internet_are_refused(address: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        upstream(base_url=address)
    assert refused.value.field == "base_url"
    assert not Upstream.objects.exists()


def test_this_machine_is_allowed_where_that_is_asked_for() -> None:
    assert upstream(base_url="http://127.0.0.1:9000/v1/", allow_loopback=True).base_url == "http://127.0.0.1:9000/v1"
    assert upstream(base_url="http://localhost:9000/v1", allow_loopback=True).base_url == "http://localhost:9000/v1"
    with pytest.raises(AddressRefused):
        upstream(base_url="http://192.168.0.7/v1", allow_loopback=True)


def test_a_change_leaves_an_entry_and_the_same_again_none() -> None:
    first = upstream(priority=5, timeouts=Timeouts(connect=2, first_byte=30, idle=10))
    upstream(priority=5, timeouts=Timeouts(connect=2, first_byte=30, idle=10))
    upstream(priority=7, timeouts=Timeouts(connect=2, first_byte=30, idle=10))
    entries = AuditEntry.objects.filter(action="set_upstream").order_by("pk")
    assert [entry.data["after"]["priority"] for entry in entries] == [5, 7]
    assert Upstream.objects.get().pk == first.pk
    for wrong in ({"dialect": "klingon"}, {"timeouts": Timeouts(connect=0)}, {"name": "not a slug"}):
        with pytest.raises(InvalidInput):
            upstream(**wrong)


def test_keys_are_encrypted_and_in_no_entry() -> None:
    stored = key(upstream())
    raw = bytes(UpstreamKey.objects.get().secret)
    assert SECRET.encode() not in raw
    assert decrypt_secret(stored) == SECRET
    assert stored.last4 == "6789"
    assert SECRET not in json.dumps(list(AuditEntry.objects.values("data", "reason", "object_id")))
    assert SECRET not in repr(usable_targets())


def test_targets_stand_in_the_order_in_which_they_are_tried() -> None:
    second, first = upstream("b", priority=20), upstream("a", priority=10)
    key(second)
    key(first, name="spare", priority=200)
    key(first, name="main", priority=100)
    key(upstream("off", is_enabled=False))
    disabled = key(first, name="gone")
    enable_upstream_key(key=disabled, is_enabled=False, reason="leaked", actor=ACTOR)
    names = dict(UpstreamKey.objects.values_list("pk", "name"))
    assert [(target.name, names[target.key_id]) for target in usable_targets()] == [
        ("a", "main"),
        ("a", "spare"),
        ("b", "default"),
    ]


@pytest.mark.parametrize("secret", ["", "two words", "키", "x" * 501, "line\nend"])
def test_what_is_no_key_is_refused(secret: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        key(upstream(), secret)
    assert not secret or secret not in refused.value.message


def test_secrets_rotate(settings: Any) -> None:
    settings.JEONGSAN_UPSTREAM_SECRETS = "first-secret"
    stored = key(upstream())
    settings.JEONGSAN_UPSTREAM_SECRETS = "second-secret,first-secret"
    assert decrypt_secret(stored) == SECRET
    assert rotate_secrets(actor=ACTOR, now=NOW) == 1
    settings.JEONGSAN_UPSTREAM_SECRETS = "second-secret"
    assert decrypt_secret(UpstreamKey.objects.get()) == SECRET
    settings.JEONGSAN_UPSTREAM_SECRETS = "another"
    with pytest.raises(SecretUnreadable):
        decrypt_secret(UpstreamKey.objects.get())
    assert usable_targets() == []


def run(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_the_command_takes_the_key_from_the_environment_or_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", SECRET)
    answer = run("set_upstream", "main", "https://upstream.example/v1", "--priority", "5")
    assert answer == {
        "name": "main",
        "base_url": "https://upstream.example/v1",
        "dialect": "openrouter",
        "priority": 5,
        "is_enabled": True,
        "key": {"name": "default", "last4": "6789"},
    }
    monkeypatch.delenv("UPSTREAM_KEY")
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-upstream-other-9876543210\n"))
    run("set_upstream", "main", "https://upstream.example/v1", "--key-stdin")
    assert [target.secret for target in usable_targets()] == ["sk-upstream-other-9876543210"]
    assert run("rotate_upstream_keys") == {"rotated": 1}


def test_the_sweep_command_says_what_it_did(settings: Any, tmp_path: Any) -> None:
    settings.GATEWAY_SPOOL_DIR = tmp_path
    nothing = {"spooled": 0, "billed": 0, "failed": 0, "estimated": 0, "replaced": 0, "waiting": 0}
    assert run("gateway_sweep", "--final") == nothing
