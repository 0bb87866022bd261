"""What a key changes: only what its customer's contract covers is there, under every name and on every address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.models import AuditEntry, Customer
from accounts.services import create_api_key, revoke_api_key
from catalog.models import Model
from catalog.selectors import models_for
from catalog.services import add_alias, set_customer_models, set_router_targets
from tests.models_api.catalogs import ALL_IDS, TEXT_IDS, bearer, customer, error, ids, model, sync_small

pytestmark = pytest.mark.django_db

LIMITS = [
    (None, None, ALL_IDS),
    (["z-ai"], None, ["z-ai/glm", "z-ai/glm:free"]),
    (["z-ai", "openrouter"], None, ["z-ai/glm", "z-ai/glm:free", "openrouter/auto"]),
    (None, ["openai/gpt", "z-ai/glm"], ["openai/gpt", "z-ai/glm"]),
    (["openai"], ["openai/gpt", "z-ai/glm"], ["openai/gpt"]),
    ([], None, []),
    (None, [], []),
    (["openai"], ["z-ai/glm"], []),
]


def limit(row: Customer, providers: list[str] | None, models: list[str] | None) -> Customer:
    return set_customer_models(customer=row, enabled_providers=providers, allowed_models=models, actor="tests")


@pytest.mark.parametrize(("providers", "allowed", "expected"), LIMITS)
def test_a_key_sees_what_the_contract_covers(
    client: Client, providers: list[str] | None, allowed: list[str] | None, expected: list[str]
) -> None:
    sync_small()
    row, secret = customer()
    row = limit(row, providers, allowed)

    for path in ("/v1/models", "/api/v1/models", "/v1/models/user", "/api/v1/models/user"):
        assert ids(client, "output_modalities=all", path=path, secret=secret) == expected
    # The database's rule, the row's own rule and the list agree.
    assert set(models_for(row).values_list("model_id", flat=True)) == set(expected)
    every = Model.objects.select_related("provider")
    assert {one.model_id for one in every if row.may_call(provider=one.provider.slug, model_id=one.model_id)} == set(
        expected
    )
    count = client.get("/v1/models/count?output_modalities=all", headers=bearer(secret)).json()
    assert count == {"data": {"count": len(expected)}}
    makers = client.get("/v1/providers", headers=bearer(secret)).json()["data"]
    assert [maker["slug"] for maker in makers] == sorted({name.partition("/")[0] for name in expected})


def test_what_the_contract_does_not_cover_is_not_there(client: Client) -> None:
    sync_small()
    add_alias(alias="gpt", model=model("openai/gpt"), actor="tests")
    row, secret = customer()
    limit(row, None, ["z-ai/glm", "openrouter/auto"])
    headers = bearer(secret)

    hidden = ["openai/gpt", "openai/gpt-2026-01-01", "gpt", "openai/gpt:nitro", "gpt:floor", "z-ai/glm:free"]
    for name in hidden:
        for path in (f"/v1/models/{name}", f"/api/v1/model/{name}", f"/v1/models/{name}/endpoints"):
            assert client.get(path).status_code == 200
            status, kind, _, message = error(client.get(path, headers=headers))
            assert (status, kind) == (404, "not_found")
            # As if there were no such model at all, suggestions included.
            assert "Did you mean openai" not in message
            assert message.startswith("There is no model ")
    nobody = client.get("/v1/models/openai/gqt", headers=headers).json()["error"]
    assert "openai/gpt" not in nobody["metadata"]["suggestions"]
    assert "openai" not in client.get("/v1/models?providers=x", headers=headers).json()["error"]["metadata"]["allowed"]
    suffixes = client.get("/v1/models/z-ai/glm", headers=headers).json()["variants"]
    assert [one["suffix"] for one in suffixes] == ["nitro", "floor", "exacto"]


def test_a_router_leads_a_customer_only_to_its_own_models(client: Client) -> None:
    sync_small()
    row, secret = customer()
    limit(row, None, ["z-ai/glm", "openrouter/auto"])
    set_router_targets(router=model("openrouter/auto"), targets=[model("openai/gpt"), model("z-ai/glm")], actor="tests")

    public = client.get("/v1/models/auto").json()
    own = client.get("/v1/models/auto", headers=bearer(secret)).json()

    assert public["routes_to"] == ["openai/gpt", "z-ai/glm"]
    assert own["routes_to"] == ["z-ai/glm"]


def test_two_customers_and_the_public_see_different_lists(client: Client) -> None:
    sync_small()
    (first, first_key), (second, second_key) = customer("hanbit"), customer("saebyeok")
    limit(first, ["openai"], None)
    limit(second, ["z-ai"], None)

    for _ in range(2):
        assert ids(client, secret=first_key) == ["openai/gpt"]
        assert ids(client) == TEXT_IDS
        assert ids(client, secret=second_key) == ["z-ai/glm", "z-ai/glm:free"]


def test_a_new_limit_holds_at_once(client: Client) -> None:
    sync_small()
    row, secret = customer()
    assert ids(client, secret=secret) == TEXT_IDS

    limit(row, ["openai"], None)
    assert ids(client, secret=secret) == ["openai/gpt"]
    limit(row, None, None)
    assert ids(client, secret=secret) == TEXT_IDS


def test_a_revoked_or_expired_key_is_refused_like_an_unknown_one(client: Client) -> None:
    sync_small()
    row, secret = customer()
    expired = create_api_key(customer=row, name="short", actor="tests").secret
    past = timezone.now() - timedelta(days=2)
    row.api_keys.filter(name="short").update(created_at=past, expires_at=past + timedelta(days=1))
    revoke_api_key(key=row.api_keys.get(name="test"), actor="tests", now=timezone.now())

    answers = [client.get("/v1/models", headers=bearer(key)) for key in (secret, expired, "sk-jeongsan-" + "z" * 32)]

    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert len({answer.content for answer in answers}) == 1


def test_the_users_list_needs_a_customers_key(client: Client) -> None:
    sync_small()
    ingest = create_api_key(customer=None, name="ingest", actor="tests").secret

    assert error(client.get("/v1/models/user"))[:3] == (401, "authentication", None)
    assert error(client.get("/v1/models/user", headers=bearer("x")))[:3] == (401, "authentication", None)
    assert error(client.get("/v1/models/user", headers=bearer(ingest)))[:3] == (403, "permission_denied", None)
    # Elsewhere an ingest key sees what everybody sees.
    assert ids(client, secret=ingest) == TEXT_IDS


def test_the_key_is_read_whatever_the_scheme_is_written_like(client: Client) -> None:
    sync_small()
    _, secret = customer()

    for value in (f"Bearer {secret}", f"bearer {secret}", f"BEARER   {secret} "):
        assert client.get("/v1/models/user", headers={"authorization": value}).status_code == 200


def test_limits_are_checked_normalized_and_kept_with_who_set_them() -> None:
    sync_small()
    add_alias(alias="gpt", model=model("openai/gpt"), actor="tests")
    row, _ = customer()

    changed = set_customer_models(
        customer=row,
        enabled_providers=["z-ai", "openai", "openai"],
        allowed_models=["gpt", "openai/gpt", "z-ai/glm"],
        actor="kim",
        reason="contract of May",
    )
    limit(changed, ["openai", "z-ai"], ["openai/gpt", "z-ai/glm"])  # the same again is no change

    assert changed.enabled_providers == ["openai", "z-ai"]
    assert changed.allowed_models == ["openai/gpt", "z-ai/glm"]
    audit = AuditEntry.objects.get(action="set_customer_models")
    assert (audit.actor, audit.reason, audit.object_id) == ("kim", "contract of May", str(row.pk))
    assert audit.data == {"enabled_providers": ["openai", "z-ai"], "allowed_models": ["openai/gpt", "z-ai/glm"]}


@pytest.mark.parametrize(
    ("providers", "models", "field"),
    [
        (["nobody"], None, "enabled_providers"),
        (["OpenAI"], None, "enabled_providers"),
        (None, ["openai/nothing"], "allowed_models"),
        (None, [""], "allowed_models"),
        (None, ["\0"], "allowed_models"),
    ],
)
def test_limits_to_what_does_not_exist_are_refused(
    providers: list[str] | None, models: list[str] | None, field: str
) -> None:
    sync_small()
    row, _ = customer()

    with pytest.raises(InvalidInput) as refusal:
        limit(row, providers, models)

    assert refusal.value.field == field
    row.refresh_from_db()
    assert (row.enabled_providers, row.allowed_models) == (None, None)
