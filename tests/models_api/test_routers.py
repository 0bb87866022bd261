"""Routers know the models they lead to: told by a service or a file, shown by the API, priced as a range."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.errors import InvalidInput
from accounts.models import AuditEntry
from catalog.models import RouterTarget
from catalog.selectors import PriceRange, router_price_range
from catalog.services import set_router_targets
from tests.catalog.listings import JUNE, MAY, NOW, entry, sync, sync_body
from tests.models_api.catalogs import SMALL, model, sync_small

pytestmark = pytest.mark.django_db


def lead(*targets: str, router: str = "openrouter/auto", **options: Any) -> None:
    set_router_targets(router=model(router), targets=[model(target) for target in targets], actor="tests", **options)


def shown(client: Client, router: str = "auto") -> list[str]:
    targets: list[str] = client.get(f"/v1/models/{router}").json()["routes_to"]
    return targets


def test_targets_are_replaced_in_their_order(client: Client) -> None:
    sync_small()
    assert shown(client) == []

    lead("z-ai/glm", "openai/gpt", "openai/painter", reason="as published")
    assert shown(client) == ["z-ai/glm", "openai/gpt", "openai/painter"]
    lead("openai/gpt", "z-ai/glm")
    assert shown(client) == ["openai/gpt", "z-ai/glm"]
    lead("openai/gpt", "z-ai/glm")  # the same again is no change
    lead()
    assert shown(client) == []

    audits = AuditEntry.objects.filter(action="set_router_targets").order_by("pk")
    assert [(audit.reason, audit.data["targets"]) for audit in audits] == [
        ("as published", ["z-ai/glm", "openai/gpt", "openai/painter"]),
        ("", ["openai/gpt", "z-ai/glm"]),
        ("", []),
    ]


def test_models_that_cannot_be_called_are_not_shown(client: Client) -> None:
    sync_small(entry("a/gone"), entry("a/odd", pricing={"prompt": "1", "completion": "1", "magic": "1"}))
    lead("a/gone", "openai/gpt", "a/odd")
    sync(*SMALL, entry("a/odd", pricing={"prompt": "1", "completion": "1", "magic": "1"}), at=JUNE)

    assert shown(client) == ["openai/gpt"]
    assert shown(client, "openai/gpt") == []
    assert RouterTarget.objects.count() == 3


@pytest.mark.parametrize(
    ("router", "targets", "field"),
    [
        ("openrouter/auto", ["openrouter/auto"], "targets"),
        ("openrouter/auto", ["openai/gpt", "a/router"], "targets"),
        ("openrouter/auto", ["openai/gpt", "openai/gpt"], "targets"),
        ("z-ai/glm", ["openrouter/auto"], "targets"),
        ("openai/gpt", ["z-ai/glm"], "router"),
    ],
)
def test_routers_lead_to_models_only(router: str, targets: list[str], field: str) -> None:
    sync_small(entry("a/router", prompt="-1", completion="-1"))
    lead("openai/gpt")

    with pytest.raises(InvalidInput) as refusal:
        lead(*targets, router=router)

    assert refusal.value.field == field
    assert [row.target.model_id for row in RouterTarget.objects.all()] == ["openai/gpt"]


@pytest.mark.parametrize(
    ("router", "target", "position"), [("auto", "auto", 9), ("auto", "gpt", 9), ("auto", "glm", 0)]
)
def test_the_database_refuses_circles_doubles_and_two_firsts(router: str, target: str, position: int) -> None:
    sync_small()
    lead("openai/gpt")
    rows = {"auto": model("openrouter/auto"), "gpt": model("openai/gpt"), "glm": model("z-ai/glm")}

    with pytest.raises(IntegrityError), transaction.atomic():
        RouterTarget.objects.create(router=rows[router], target=rows[target], position=position)


def test_a_routers_price_is_the_range_of_its_models_listed_prices() -> None:
    sync_small(entry("a/odd", pricing={"prompt": "1", "completion": "1", "magic": "1"}), entry("a/gone", prompt="9"))
    lead("openai/painter", "openai/gpt", "a/odd", "a/gone", "z-ai/glm")
    odd = entry("a/odd", pricing={"prompt": "1", "completion": "1", "magic": "1"})
    sync(*SMALL[:1], {**SMALL[1], "pricing": {"prompt": "0.00000061", "completion": "0.0000022"}}, *SMALL[2:], odd,
         at=JUNE)  # fmt: skip

    assert router_price_range(model("openrouter/auto"), at=NOW) == PriceRange(
        prompt_low_usd=Decimal("0.00000061"),
        prompt_high_usd=Decimal("0.00001"),
        completion_low_usd=Decimal("0.0000022"),
        completion_high_usd=Decimal("0.00004"),
        model_ids=("openai/painter", "openai/gpt", "z-ai/glm"),
    )
    in_may = router_price_range(model("openrouter/auto"), at=MAY)
    assert in_may is not None
    assert in_may.prompt_low_usd == Decimal("0.0000006")
    assert router_price_range(model("openai/gpt"), at=NOW) is None
    assert router_price_range(model("openrouter/auto"), at=MAY.replace(year=2020)) is None


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    try:
        call_command("set_router_targets", *arguments, "--json", stdout=out)
    except SystemExit as end:
        return int(end.code or 0), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def test_our_own_list_fits_our_own_catalog(client: Client) -> None:
    sync_body((settings.BASE_DIR / "samples" / "catalog.json").read_bytes())

    assert run() == (0, {"routers": [{"router": "openrouter/auto", "targets": 56}]})
    assert run() == (0, {"routers": [{"router": "openrouter/auto", "targets": 56}]})

    assert shown(client)[:2] == ["openai/gpt-5.2", "openai/gpt-5.2-pro"]
    assert len(shown(client)) == 56
    assert AuditEntry.objects.filter(action="set_router_targets").count() == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"openrouter/auto": ["openai/gpt", "openai/nothing"]}', "invalid_input"),
        ('{"nobody/router": ["openai/gpt"]}', "invalid_input"),
        ('{"openrouter/auto": "openai/gpt"}', "invalid_input"),
        ('{"openrouter/auto": [1]}', "invalid_input"),
        ('["openrouter/auto"]', "invalid_input"),
        ('{"openrouter/auto": ["z-ai/glm"], "z-ai/glm:free": ["openrouter/auto"]}', "invalid_input"),
        ("{", "listing_unreadable"),
        ("\xff", "listing_unreadable"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path: Path, text: str, code: str) -> None:
    sync_small()
    lead("openai/gpt")
    file = tmp_path / "routers.json"
    file.write_bytes(text.encode("latin-1"))

    exit_code, answer = run("--from", str(file))

    assert (exit_code, answer["error"]["code"]) == (2, code)
    assert [row.target.model_id for row in RouterTarget.objects.all()] == ["openai/gpt"]


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    exit_code, answer = run("--from", str(tmp_path / "none.json"))

    assert (exit_code, answer["error"]["code"]) == (2, "listing_unreadable")
