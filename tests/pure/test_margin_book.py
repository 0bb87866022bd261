"""Which margin rule wins: the most specific one, a customer's own before everybody's."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.margins import Basis, MarginBook, Scope, Terms

GAON, NURI = 1, 2
OPUS = {"model_id": "anthropic/claude-opus-4.1", "provider": "anthropic"}


def share(text: str, basis: Basis = Basis.CATALOG) -> Terms:
    return Terms(Decimal(text), basis)


#: From the least specific to the most: each one wins over all before it.
LADDER = [
    Scope(),
    Scope(provider="anthropic"),
    Scope(family="anthropic/claude-"),
    Scope(family="anthropic/claude-opus-"),
    Scope(model_id="anthropic/claude-opus-4.1"),
    Scope(GAON),
    Scope(GAON, provider="anthropic"),
    Scope(GAON, family="anthropic/c"),
    Scope(GAON, family="anthropic/claude-o"),
    Scope(GAON, model_id="anthropic/claude-opus-4.1"),
]


@pytest.mark.parametrize("count", range(1, len(LADDER) + 1))
def test_every_rung_wins_over_those_below(count: int) -> None:
    rules = [(scope, share(f"0.{number:02d}")) for number, scope in enumerate(LADDER[:count])]
    book = MarginBook(reversed(rules))
    assert book.terms(GAON, **OPUS) == rules[-1][1]
    # Somebody else sees everybody's rules alone, and so does nobody in particular.
    assert book.terms(NURI, **OPUS) == book.terms(None, **OPUS) == rules[min(count, 5) - 1][1]


def test_rules_about_something_else_do_not_count() -> None:
    book = MarginBook(
        [
            (Scope(NURI), share("0.1")),
            (Scope(provider="openai"), share("0.2")),
            (Scope(family="anthropic/claude-sonnet"), share("0.3")),
            (Scope(model_id="anthropic/claude-opus-4"), share("0.4")),
            (Scope(GAON, family="claude-opus-4.1/"), share("0.5")),
        ]
    )
    assert book.terms(GAON, **OPUS) is None
    assert book.terms(NURI, **OPUS) == share("0.1")
    assert book.general(GAON) is None


def test_a_rule_holds_whole_with_its_basis() -> None:
    book = MarginBook([(Scope(GAON), share("0.1", Basis.HIGHER)), (Scope(GAON, provider="anthropic"), share("0.2"))])
    assert book.terms(GAON, **OPUS) == share("0.2")
    assert book.general(GAON) == share("0.1", Basis.HIGHER)


def test_whether_all_models_sell_alike() -> None:
    book = MarginBook([(Scope(), share("0.1")), (Scope(provider="x"), share("0.2")), (Scope(NURI), share("0.3"))])
    # A contract's general rule comes before what the house says about a provider.
    assert (book.is_general(GAON), book.is_general(NURI), book.is_general(None)) == (False, True, False)
    assert MarginBook([(Scope(), share("0.1")), (Scope(GAON, model_id="x/y"), share("0.2"))]).is_general(NURI)


def test_two_rules_about_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="two rules"):
        MarginBook([(Scope(GAON), share("0.1")), (Scope(GAON), share("0.2"))])


@pytest.mark.parametrize(
    ("basis", "charged", "sold"),
    [
        (Basis.CATALOG, "2", "1"),
        (Basis.UPSTREAM, "2", "2"),
        (Basis.UPSTREAM, "0.5", "0.5"),
        (Basis.UPSTREAM, "0", "0"),
        (Basis.UPSTREAM, None, "1"),
        (Basis.HIGHER, "2", "2"),
        (Basis.HIGHER, "0.5", "1"),
        (Basis.HIGHER, None, "1"),
    ],
)
def test_what_an_event_is_sold_on(basis: Basis, charged: str | None, sold: str) -> None:
    assert basis.of(Decimal(1), None if charged is None else Decimal(charged)) == Decimal(sold)


def test_selling_is_exact() -> None:
    assert share("0.3").selling(Decimal(1)) == Fraction(10, 7)


owners = st.sampled_from([None, GAON, NURI])
providers = st.sampled_from(["a", "ab", "b"])
stems = st.text("xy-", min_size=1, max_size=3)
ids = st.builds("{}/{}".format, providers, stems)
scopes = st.one_of(
    st.builds(Scope, owners),
    st.builds(Scope, owners, provider=providers),
    st.builds(Scope, owners, family=ids),
    st.builds(Scope, owners, model_id=ids),
)
terms = st.builds(Terms, st.integers(0, 99).map(lambda cents: Decimal(cents).scaleb(-2)), st.sampled_from(Basis))


@given(st.dictionaries(scopes, terms, max_size=25), owners, ids)
def test_the_book_answers_as_a_plain_search_would(rules: dict[Scope, Terms], owner: int | None, model_id: str) -> None:
    provider = model_id.partition("/")[0]

    def rank(scope: Scope) -> tuple[bool, bool, int, bool]:
        return scope.customer_pk is not None, bool(scope.model_id), len(scope.family), bool(scope.provider)

    def fits(scope: Scope) -> bool:
        return (
            scope.customer_pk in {None, owner}
            and scope.provider in {"", provider}
            and model_id.startswith(scope.family)
            and scope.model_id in {"", model_id}
        )

    found = sorted(filter(fits, rules), key=rank)
    book = MarginBook(rules.items())
    expected = rules[found[-1]] if found else None
    assert book.terms(owner, model_id=model_id, provider=provider) == expected
    if book.is_general(owner):
        assert expected == book.general(owner)
