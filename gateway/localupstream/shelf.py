"""What the upstream sells: models, served names and exact list prices, from a `/models` listing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from catalog.listing import PriceKind, parse_listing
from catalog.pricing import PriceSheet, Quantities

#: Who answers for `openrouter/auto`: the one at the place of the prompt tokens modulo their number.
SERVERS_OF_AUTO = ("openai/gpt-5-nano", "anthropic/claude-haiku-4.5", "openai/gpt-4.1-nano")
AUTO = "openrouter/auto"


class NotSold(ValueError):
    """A model that the listing does not name."""


@dataclass(frozen=True, slots=True)
class _Article:
    canonical_slug: str
    sheet: PriceSheet | None


class Shelf:
    """The models of one listing."""

    def __init__(self, listing: bytes) -> None:
        self.listing = listing
        self._articles: dict[str, _Article] = {}
        for row in parse_listing(listing, at=datetime.now(UTC)).models:
            sheet = PriceSheet.parse(row.components, row.overrides) if row.kind is PriceKind.LISTED else None
            article = _Article(row.canonical_slug, sheet)
            self._articles[row.model_id] = article

    @classmethod
    def load(cls, path: Path) -> Shelf:
        """Read a listing from a file. Raises OSError and catalog.listing.ListingError."""
        return cls(path.read_bytes())

    def server_of(self, requested: str, fallbacks: tuple[str, ...], prompt_tokens: int) -> str:
        """The id of the model that answers. Raises NotSold."""
        names = [requested, *(name for name in fallbacks if name != requested)]
        for name in names:
            self._base(name)
        # The first of a list is always busy: a fallback that never happened would prove nothing.
        name = names[1] if len(names) > 1 else requested
        if self._base(name) == AUTO:
            return SERVERS_OF_AUTO[prompt_tokens % len(SERVERS_OF_AUTO)]
        return self._base(name)

    def name_in_answers(self, model_id: str) -> str:
        """What OpenRouter calls a model in its answers: the canonical slug, and `:free` as it is."""
        return model_id if model_id.endswith(":free") else self._articles[model_id].canonical_slug

    def cost_usd(self, model_id: str, quantities: Quantities, *, at: datetime) -> Decimal:
        """What one answer costs at list price, exactly."""
        sheet = self._articles[model_id].sheet
        return Decimal(0) if sheet is None else sheet.cost(quantities, at=at).total_usd

    def _base(self, name: str) -> str:
        for candidate in (name, name.partition(":")[0]):
            if candidate in self._articles:
                return candidate
        if name == "auto":
            return AUTO
        raise NotSold(f"{name} is not a valid model ID")
