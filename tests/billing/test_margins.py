"""Margin rules: one after the other, never over each other, a customer's own before the default."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.models import AuditEntry, Customer
from billing.margins import Basis, Terms
from billing.models import MarginRule
from billing.selectors.margins import margin_book
from billing.services.margins import set_margin
from catalog.models import Model, Provider
from tests.billing import factories
from tests.billing.commands import run
from tests.usage.factories import model as catalog_model

pytestmark = pytest.mark.django_db

JANUARY, JUNE, JULY = date(2026, 1, 1), date(2026, 6, 1), date(2026, 7, 1)


def put(margin: str, on: date, customer: Customer | None = None) -> MarginRule:
    return set_margin(customer=customer, margin=Decimal(margin), effective_from=on, actor="tests")


def share(customer: Customer | None, on: date) -> Decimal | None:
    terms = margin_book(on).general(None if customer is None else customer.pk)
    return terms.margin if terms else None


def test_a_new_rule_ends_the_open_one_on_its_first_day() -> None:
    customer = factories.customer()
    old, new = put("0.15", JANUARY), put("0.2", JULY)
    old.refresh_from_db()
    assert (old.effective_from, old.effective_to) == (JANUARY, JULY)
    assert (new.effective_from, new.effective_to) == (JULY, None)
    assert share(customer, date(2025, 12, 31)) is None
    assert share(customer, JANUARY) == Decimal("0.15")
    assert share(customer, date(2026, 6, 30)) == Decimal("0.15")
    assert share(customer, JULY) == Decimal("0.2")


def test_a_customers_own_rule_comes_before_the_default_while_it_lasts() -> None:
    gaon, other = factories.customer("gaon"), factories.customer("other")
    put("0.15", JANUARY)
    put("0.1", JUNE, gaon)
    assert share(gaon, date(2026, 5, 31)) == Decimal("0.15")
    assert share(gaon, JUNE) == Decimal("0.1")
    assert share(other, JUNE) == Decimal("0.15")
    assert share(None, JUNE) == Decimal("0.15")


def test_the_same_rule_again_writes_nothing() -> None:
    first = put("0.15", JANUARY)
    assert put("0.15000", JANUARY).pk == first.pk
    assert MarginRule.objects.count() == AuditEntry.objects.filter(action="set_margin").count() == 1


@pytest.mark.parametrize("on", [JANUARY, JUNE, JULY])
def test_a_rule_never_starts_on_or_before_the_one_it_ends(on: date) -> None:
    put("0.15", JULY)
    with pytest.raises(Conflict) as refused:
        put("0.2", on)
    assert refused.value.field == "effective_from"
    assert list(MarginRule.objects.values_list("margin", "effective_to")) == [(Decimal("0.15"), None)]


@pytest.mark.parametrize("margin", ["1", "1.5", "-0.01", "NaN", "Infinity", "0.150001"])
def test_a_share_of_the_selling_price_is_below_one(margin: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        put(margin, JANUARY)
    assert refused.value.field == "margin"
    assert not MarginRule.objects.exists()


def test_selling_at_cost_is_a_margin() -> None:
    assert put("0", JANUARY).margin == 0


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_marginrule SET margin = 0.5",
        "UPDATE billing_marginrule SET effective_from = '2020-01-01'",
        "DELETE FROM billing_marginrule",
        "INSERT INTO billing_marginrule (margin, effective_from, created_at, created_by)"
        " VALUES (0.3, '2026-03-01', now(), 'x')",
    ],
)
def test_the_database_keeps_the_history_of_margins(sql: str) -> None:
    put("0.15", JANUARY)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    assert list(MarginRule.objects.values_list("margin", "effective_from")) == [(Decimal("0.15"), JANUARY)]


def test_the_command_sets_a_customers_margin() -> None:
    factories.customer("gaon")
    code, answer = run("set_margin", "0.12", "--customer", "gaon", "--from", "2026-06-01")
    rule = MarginRule.objects.get()
    assert code == 0
    assert answer == {
        "id": rule.pk,
        "customer": "gaon",
        "provider": None,
        "family": None,
        "model": None,
        "margin": "0.12",
        "basis": "catalog",
        "effective_from": "2026-06-01",
        "effective_to": None,
    }
    assert (rule.customer.slug, rule.created_by) == ("gaon", "command set_margin")


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        (["1"], "invalid_input", "margin"),
        (["15%"], "invalid_input", "margin"),
        (["0.15", "--from", "2026-13-01"], "invalid_input", "from"),
        (["0.15", "--from", "2026-06-01"], "conflict", "from"),
        (["0.15", "--customer", "nobody"], "not_found", "customer"),
    ],
)
def test_the_command_names_what_is_wrong(arguments: list[str], code: str, field: str) -> None:
    put("0.2", JULY)
    exit_code, answer = run("set_margin", *arguments)
    assert (exit_code, answer["error"]["code"], answer["error"]["field"]) == (2, code, field)


# -- rules about a provider, a family, a model ---------------------------------------------------------------------------
CLAUDE = "anthropic/claude-sonnet-4.5"


def rule(margin: str, on: date = JANUARY, **scope: Any) -> MarginRule:
    return set_margin(
        customer=scope.pop("customer", None), margin=Decimal(margin), effective_from=on, actor="tests", **scope
    )


def sold(customer: Customer | None, on: date, model_id: str = CLAUDE) -> Terms | None:
    model = Model.objects.select_related("provider").get(model_id=model_id)
    return margin_book(on).terms(
        customer.pk if customer else None, model_id=model.model_id, provider=model.provider.slug
    )


def test_rules_of_other_scopes_stand_beside_each_other_and_end_on_their_own() -> None:
    claude, anthropic = catalog_model(CLAUDE).model, Provider.objects.get(slug="anthropic")
    gaon = factories.customer("gaon")
    rule("0.15")
    rule("0.2", provider=anthropic)
    rule("0.3", family="anthropic/claude-")
    rule("0.4", JUNE, model=claude)
    rule("0.1", JULY, customer=gaon)
    rule("0.05", JULY, customer=gaon, model=claude)
    assert [sold(None, day).margin for day in (JANUARY, JUNE, JULY)] == [Decimal(x) for x in ("0.3", "0.4", "0.4")]
    assert [sold(gaon, day).margin for day in (JANUARY, JUNE, JULY)] == [Decimal(x) for x in ("0.3", "0.4", "0.05")]
    rule("0.35", JULY, family="anthropic/claude-")
    assert MarginRule.objects.filter(effective_to=JULY).count() == 1
    assert MarginRule.objects.filter(effective_to=None).count() == 6
    assert margin_book(JULY, []).terms(gaon.pk, model_id=CLAUDE, provider="anthropic").margin == Decimal("0.4")
    with pytest.raises(Conflict) as refused:
        rule("0.3", JUNE, family="anthropic/claude-")
    assert "the default about anthropic/claude-" in str(refused.value)


def test_a_basis_stays_until_another_one_is_named() -> None:
    gaon = factories.customer("gaon")
    assert rule("0.1", customer=gaon).basis == "catalog"
    assert rule("0.1", JUNE, customer=gaon, basis=Basis.HIGHER).basis == "higher"
    assert rule("0.2", JULY, customer=gaon).basis == "higher"
    assert rule("0.2", JULY, customer=gaon, basis=Basis.HIGHER).pk == MarginRule.objects.latest("pk").pk
    assert rule("0.2", customer=gaon, family="x/y").basis == "catalog"
    assert margin_book(JULY).general(gaon.pk) == Terms(Decimal("0.2"), Basis.HIGHER)
    entry = AuditEntry.objects.filter(action="set_margin").order_by("-pk")[1]
    assert entry.data == {
        "scope": "gaon",
        "margin": "0.2",
        "basis": "higher",
        "before": "0.1",
        "basis_before": "higher",
    }


@pytest.mark.parametrize("family", ["anthropic", "anthropic/", "/claude", "anthropic/claude sonnet", "a" * 201])
def test_a_family_begins_like_an_id(family: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rule("0.1", family=family)
    assert refused.value.field == "family"


def test_a_rule_is_about_one_thing() -> None:
    claude = catalog_model(CLAUDE).model
    for scope in (
        {"provider": claude.provider, "model": claude},
        {"provider": claude.provider, "family": "x/y"},
        {"family": "x/y", "model": claude},
    ):
        with pytest.raises(InvalidInput):
            rule("0.1", **scope)
        with pytest.raises(IntegrityError), transaction.atomic():
            MarginRule.objects.create(margin=0, effective_from=JANUARY, created_by="x", **scope)


@pytest.mark.parametrize(
    "columns",
    [
        {"family": "anthropic/claude-", "effective_from": JUNE},
        {"provider": "anthropic", "effective_from": date(2025, 1, 1)},
        {"model": CLAUDE, "effective_from": JULY},
        {"family": "no slash", "effective_from": JUNE},
        {"basis": "list", "family": "x/y", "effective_from": JUNE},
    ],
)
def test_the_database_keeps_rules_of_a_scope_apart(columns: dict[str, Any]) -> None:
    claude = catalog_model(CLAUDE).model
    for scope in ({}, {"provider": claude.provider}, {"family": "anthropic/claude-"}, {"model": claude}):
        rule("0.15", **scope)
    if "provider" in columns:
        columns = {**columns, "provider": claude.provider}
    if "model" in columns:
        columns = {**columns, "model": claude}
    with pytest.raises(IntegrityError), transaction.atomic():
        MarginRule.objects.create(margin=0, created_by="x", **columns)
    assert MarginRule.objects.count() == 4


def test_the_command_limits_a_rule() -> None:
    catalog_model(CLAUDE)
    for scope, options in (
        ({"provider": "anthropic"}, ["--provider", "anthropic"]),
        ({"family": "anthropic/claude-"}, ["--family", "anthropic/claude-"]),
        ({"model": CLAUDE}, ["--model", CLAUDE, "--basis", "upstream"]),
    ):
        code, answer = run("set_margin", "0.12", "--from", "2026-06-01", *options)
        assert code == 0, answer
        assert {name: answer[name] for name in ("provider", "family", "model")} == {
            "provider": None, "family": None, "model": None, **scope,
        }  # fmt: skip
    assert MarginRule.objects.get(model__model_id=CLAUDE).basis == "upstream"
    assert run("set_margin", "0.12", "--provider", "nobody")[1]["error"]["field"] == "provider"
    assert run("set_margin", "0.12", "--model", "nothing/here")[1]["error"]["field"] == "model"
    assert run("set_margin", "0.12", "--family", "claude")[1]["error"]["field"] == "family"
