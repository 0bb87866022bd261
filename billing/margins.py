"""Which terms a model's usage is sold on: pure, in memory, from the rules of one day.

The most specific rule wins, whole: its margin and its basis. Specific is first whose it is and then what it is about:
customer and model, customer and family, customer and provider, customer; then, for everybody, model, family, provider,
default. So a contract's general rule comes before a house rule about a model (docs/adr/0015).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction


class Basis(StrEnum):
    """What the margin is reckoned on, event by event: our list cost, the upstream's charge (our cost where it named
    none), or the greater of the two.
    """

    CATALOG = "catalog"
    UPSTREAM = "upstream"
    HIGHER = "higher"

    def of(self, cost_usd: Decimal, upstream_cost_usd: Decimal | None) -> Decimal:
        """The USD that an event is sold on."""
        if self is Basis.CATALOG or upstream_cost_usd is None:
            return cost_usd
        return upstream_cost_usd if self is Basis.UPSTREAM else max(cost_usd, upstream_cost_usd)


@dataclass(frozen=True, slots=True)
class Terms:
    """selling = basis / (1 - margin); 0 <= margin < 1."""

    margin: Decimal
    basis: Basis = Basis.CATALOG

    def selling(self, basis_usd: Decimal) -> Fraction:
        """What so much sells for, exactly."""
        return Fraction(basis_usd) / (1 - Fraction(self.margin))


@dataclass(frozen=True, slots=True)
class Scope:
    """What a rule is about. Without a customer it is everybody's; without the rest, everything's.

    `family` is how the ids of its models begin, such as `anthropic/claude-`. At most one of the last three is set.
    """

    customer_pk: int | None = None
    provider: str = ""
    family: str = ""
    model_id: str = ""


class MarginBook:
    """The rules of one day. Each scope may have one rule at most."""

    def __init__(self, rules: Iterable[tuple[Scope, Terms]]) -> None:
        self._rules: dict[Scope, Terms] = {}
        families: dict[int | None, list[str]] = {}
        for scope, terms in rules:
            if scope in self._rules:
                raise ValueError(f"two rules are about {scope}")
            self._rules[scope] = terms
            if scope.family:
                families.setdefault(scope.customer_pk, []).append(scope.family)
        self._families = {owner: sorted(found, key=len, reverse=True) for owner, found in families.items()}
        self._specific = {scope.customer_pk for scope in self._rules if scope != Scope(scope.customer_pk)}

    def terms(self, customer_pk: int | None, *, model_id: str, provider: str) -> Terms | None:
        """The terms on which a model sells to a customer (None: to nobody in particular); None where no rule says.

        `provider` is the slug of the model's provider. Of families the one whose text is longest is meant.
        """
        for owner in _owners(customer_pk):
            for scope in self._scopes(owner, model_id, provider):
                terms = self._rules.get(scope)
                if terms is not None:
                    return terms
        return None

    def general(self, customer_pk: int | None) -> Terms | None:
        """The terms of a model that no rule is about: the customer's, otherwise the default; None where there is neither."""
        for owner in _owners(customer_pk):
            terms = self._rules.get(Scope(owner))
            if terms is not None:
                return terms
        return None

    def is_general(self, customer_pk: int | None) -> bool:
        """Whether all models sell to the customer on its general terms."""
        if customer_pk in self._specific:
            return False
        return Scope(customer_pk) in self._rules or None not in self._specific

    def _scopes(self, owner: int | None, model_id: str, provider: str) -> Iterator[Scope]:
        yield Scope(owner, model_id=model_id)
        for family in self._families.get(owner, ()):
            if model_id.startswith(family):
                yield Scope(owner, family=family)
        yield Scope(owner, provider=provider)
        yield Scope(owner)


def _owners(customer_pk: int | None) -> tuple[int | None, ...]:
    return (None,) if customer_pk is None else (customer_pk, None)
