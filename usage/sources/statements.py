"""An upstream's statement: what it charged for each generation, as OpenRouter exports and lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from catalog.money import EXACT, ZERO
from usage.sources.rows import pick, read_count, read_instant, read_text, read_usd

_TRUE = frozenset({"true", "1", "yes"})


@dataclass(frozen=True, slots=True)
class Charge:
    """One generation. `cost_usd` is all that was charged for it: by the upstream and, with an own key, by the provider."""

    upstream_id: str
    charged_at: datetime
    model_name: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: Decimal


def read_charge(fields: Mapping[str, Any]) -> Charge:
    """One row of a list of generations: of the CSV export, or an object of `/generation`. Raises EventRefused."""
    provider_usd = read_usd(fields, "byok_usage_inference", default=ZERO)
    if not provider_usd and str(pick(fields, "is_byok")[1]).lower() in _TRUE:
        provider_usd = read_usd(fields, "upstream_inference_cost", default=ZERO)
    return Charge(
        upstream_id=read_text(fields, "id", "generation_id"),
        charged_at=read_instant(fields, "created_at"),
        model_name=read_text(fields, "model", "model_permaslug"),
        # Billing goes by the provider's own tokens where they are listed.
        prompt_tokens=read_count(fields, "native_tokens_prompt", "tokens_prompt", "prompt_tokens"),
        completion_tokens=read_count(fields, "native_tokens_completion", "tokens_completion", "completion_tokens"),
        cost_usd=EXACT.add(read_usd(fields, "total_cost", "cost_total", "cost", "usage"), provider_usd),
    )
