"""A catalog of a few models, one of each kind that a page has to know, made by the sync that makes it in life."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from catalog.models import Model
from catalog.services import sync_catalog
from catalog.services.offering import set_router_targets
from tests.portal.factories import make_terms

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
ACTOR = "test"
HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(2)> [run](javascript:alert(3)) [data](data:text/html,x) "
    '[quote](https://evil.example/"onclick="x) [twin](https://openai.com@evil.example/) [odd](//evil.example/x) '
    "[Plain](/acme/plain) [Also](/models/acme/tiered) [Docs](/docs/guides) [Gone](/acme/nothing) "
    "[Site](https://acme.example/a?b=1&c=2) see https://acme.example/bare. `code <b>` **bold** \u202eturned\u202c\n\n"
    "Second paragraph."
)


def entry(model_id: str, prompt: str = "0.000001", completion: str = "0.000002", **changes: Any) -> dict[str, Any]:
    """One model of a listing: USD per token, text to text with tools unless told otherwise."""
    pricing = {"prompt": prompt, "completion": completion, **changes.pop("pricing", {})}
    return {
        "id": model_id,
        "canonical_slug": model_id,
        "name": f"Acme: {model_id.rpartition('/')[2].title()}",
        "created": 1_750_000_000,
        "description": "A model.",
        "context_length": 128_000,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "pricing": pricing,
        "top_provider": {"max_completion_tokens": 16_384},
        "supported_parameters": ["tools", "temperature"],
        **changes,
    }


TIERS = [
    {"min_prompt_tokens": 200_000, "prompt": "0.000004"},
    {"utc_start": 1630, "utc_end": 30, "prompt": "0.0000005", "completion": "0.000005"},
]
ENTRIES = [
    entry(
        "acme/plain",
        canonical_slug="acme/plain-2026",
        description=HOSTILE,
        created=1_760_000_000,
        architecture={"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        pricing={"input_cache_read": "0.0000001", "web_search": "0.01"},
        supported_parameters=["tools", "reasoning", "structured_outputs"],
        expiration_date="2027-03-01",
    ),
    entry("acme/tiered", "0.000002", "0.00001", pricing={"overrides": TIERS}, context_length=1_000_000),
    entry("acme/free", "0", "0"),
    entry("acme/plain:free", "0", "0"),
    entry("acme/router", "-1", "-1", supported_parameters=["tools"]),
    entry("acme/lost", "-1", "-1"),
    entry("acme/odd", pricing={"mystery_fee": "0.1"}),
    entry("acme/draws", architecture={"input_modalities": ["text"], "output_modalities": ["image", "text"]}),
    entry("other/bare", "0.00000008333333333333334", "0.00000000000000001", architecture=None, context_length=None),
    entry("other/old"),
]

#: An amount that no page may ever show: a sign, or the -1 of a listing.
ABSURD = re.compile(r"[-−]\s?[$₩]|[$₩]\s?[-−]|[-−][\d,.]+\s?원|1,?000,?000\.0|\bNaN\b|Infinity|Traceback")
WON = re.compile(r"[\d,]+원|₩[\d,]+")


def sync(entries: list[dict[str, Any]], *, at: datetime) -> None:
    sync_catalog(
        body=json.dumps({"data": entries}).encode(),
        source="test",
        at=at,
        now=max(at, timezone.now()),
        actor=ACTOR,
        accept_shrink=True,
    )


def model(model_id: str) -> Model:
    return Model.objects.get(model_id=model_id)


def open_shop(*, terms: bool = True) -> None:
    """All of ENTRIES; acme/router leads to plain, tiered and odd (which has no price); other/old is retired.

    Without `terms` there is neither a rate nor a fee.
    """
    sync(ENTRIES, at=SINCE)
    sync(ENTRIES[:-1], at=datetime(2026, 6, 1, tzinfo=UTC))
    targets = [model("acme/plain"), model("acme/tiered"), model("acme/odd")]
    set_router_targets(router=model("acme/router"), targets=targets, actor=ACTOR)
    if terms:
        make_terms()


def text_of(body: bytes) -> str:
    """What a page says, without markup: tags become spaces, white space one space, entities their characters."""
    visible = re.sub(r"<(script|style|select)\b.*?</\1>", " ", body.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", visible)).split())
