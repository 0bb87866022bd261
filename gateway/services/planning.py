"""What a call can cost at most: the worst case that its hold covers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from catalog.money import EXACT, exact_product, round_up
from gateway.calls import GENERATING_ROUTES, CallRefused, CallRequest
from gateway.selectors import DEFAULT_COMPLETION_TOKENS, Ceiling, Offer, Offers

_MAX_ANSWERS = 128


@dataclass(frozen=True, slots=True)
class Plan:
    """The bounds of one call, by every model that may answer it (`answering_pks`). `completion_tokens` is of all answers
    together, `granted_max_tokens` of one where the edge has to write it into the body. `hold_usd` is at list price.
    """

    model_ids: tuple[str, ...]
    answering_pks: frozenset[int]
    providers: tuple[str, ...]
    ceiling: Ceiling
    prompt_tokens: int
    completion_tokens: int
    granted_max_tokens: int | None
    answers: int
    hold_usd: Decimal

    @property
    def tokens(self) -> int:
        """All tokens of the worst case."""
        return self.prompt_tokens + self.completion_tokens

    def hold_krw(self, factor: Decimal | None) -> int:
        """Whole won that cover the worst case, rounded up; 0 where no rate is known (nothing bounds the customer then)."""
        return 0 if factor is None else int(round_up(Fraction(exact_product(self.hold_usd, factor))))

    def factor(self, general: Decimal | None, by_model: Mapping[int, Decimal]) -> Decimal | None:
        """Won with VAT per USD of the dearest model that may answer; `by_model` has those that don't sell on the general
        factor. None where one of them has no factor.
        """
        factors = {by_model.get(pk, general) for pk in self.answering_pks} if by_model else {general}
        known = [factor for factor in factors if factor is not None]
        return max(known) if len(known) == len(factors) else None

    def affordable_max_tokens(self, usd: Fraction) -> int:
        """The longest `max_tokens` whose worst case costs at most so much at list price; 0 where there is none."""
        completion = exact_product(self.ceiling.completion_usd, self.completion_tokens)
        rest = usd - Fraction(EXACT.subtract(self.hold_usd, completion))
        token = Fraction(self.ceiling.completion_usd) * self.answers
        return max(0, rest // token) if token and rest > 0 else 0


def plan_call(request: CallRequest, offers: Offers) -> Plan:
    """The bounds over every model that may answer. Raises CallRefused: 400 for impossible counts, 404 for a model that is
    unknown, retired or has no price.
    """
    if not 1 <= request.n <= _MAX_ANSWERS:
        raise CallRefused(400, "invalid_request", f"n: 1 to {_MAX_ANSWERS} answers.")
    if request.max_tokens is not None and request.max_tokens < 0:
        raise CallRefused(400, "invalid_request", "max_tokens: must not be negative.")
    found = [_offer(name, request, offers) for name in dict.fromkeys((request.model, *request.models))]
    contexts, longest = zip(*(offers.limits(offer) for offer in found), strict=True)
    prompt = (
        min(request.prompt_tokens_worst, max(contexts)) if request.prompt_tokens_worst is not None else max(contexts)
    )
    each, granted = _completion(request, list(longest))
    ceiling: Ceiling | None = None
    for offer in found:
        one = offers.ceiling(offer, prompt_tokens=prompt, at=request.started_at)
        if one is None:
            raise CallRefused(404, "not_found", f"The model {offer.model_id} has no price at the moment.")
        ceiling = one if ceiling is None else ceiling.dearer(one)
    assert ceiling is not None  # at least one model was found
    completion = each * request.n
    return Plan(
        model_ids=tuple(offer.model_id for offer in found),
        answering_pks=frozenset(pk for offer in found for pk in offers.answering(offer, at=request.started_at)),
        providers=tuple({offer.provider: None for offer in found}),
        ceiling=ceiling,
        prompt_tokens=prompt,
        completion_tokens=completion,
        granted_max_tokens=granted,
        answers=request.n,
        hold_usd=ceiling.cost_usd(
            prompt=prompt, completion=completion, images=request.images, web_searches=request.web_searches
        ),
    )


def _offer(name: str, request: CallRequest, offers: Offers) -> Offer:
    offer = offers.find(name, at=request.started_at)
    if offer is None or not offer.is_active:
        shown = name if len(name) <= 80 and name.isprintable() else ascii(name[:80])
        raise CallRefused(404, "not_found", f"There is no model {shown} here.")
    return offer


def _completion(request: CallRequest, longest: list[int | None]) -> tuple[int, int | None]:
    """Tokens of one answer at most, and the limit that has to be written into the body for that to be true."""
    if request.route == "embeddings":
        return 0, None
    limits = [DEFAULT_COMPLETION_TOKENS if limit is None else limit for limit in longest]
    if request.max_tokens is not None:
        # What a model can answer at most bounds a client's wish only where it is listed.
        return (request.max_tokens if None in longest else min(request.max_tokens, max(limits))), None
    is_bounded = None not in longest or request.route not in GENERATING_ROUTES
    return max(limits), None if is_bounded else max(limits)
