"""Bodies that are no listing, and listings that lost half of what is on sale: nothing changes."""

import json

import pytest

from accounts.errors import DomainError
from catalog.errors import InvalidListing, ShrunkenListing
from catalog.models import Model
from tests.catalog.listings import JUNE, MAY, counts, entry, listing, row_versions, sync, sync_body

pytestmark = pytest.mark.django_db

WHOLE = listing(entry("a/x"), entry("a/y"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "html"),
        (b"", "empty"),
        (b" \n", "empty"),
        (WHOLE[: len(WHOLE) // 2], "truncated"),
        (WHOLE[:-1], "truncated"),
        (b'{"data":[{"id":"a/x","id":"a/y"}]}', "duplicate_key"),
        (listing(entry("a/x"), entry("a/x")), "duplicate_id"),
        (b'{"data":[{"id":"a/x","context_length":NaN}]}', "not_a_number"),
        (b'{"data":' + b"[" * 2000 + b"]" * 2000 + b"}", "too_deep"),
        (b"\xff\xfe{}", "not_text"),
        (b'{"error":{"message":"rate limited"}}', "no_data"),
        (b'{"data":[]}', "no_models"),
        (b'{"data":["a/x"]}', "bad_entry"),
        (b'{"data":[{"id":"a x"}]}', "bad_id"),
    ],
)
def test_what_is_no_listing_changes_nothing(body: bytes, code: str) -> None:
    sync_body(WHOLE)
    before = row_versions()

    with pytest.raises(InvalidListing) as refusal:
        sync_body(body, at=JUNE)

    assert (refusal.value.code, refusal.value.http_status) == (code, 400)
    assert refusal.value.as_dict()["message"]
    assert row_versions() == before


def test_a_listing_that_lost_more_than_half_is_refused_unless_accepted() -> None:
    sync(*(entry(f"a/{number}") for number in range(5)))
    before = row_versions()

    with pytest.raises(ShrunkenListing) as refusal:
        sync(entry("a/0"), entry("a/1"), at=JUNE)
    assert (refusal.value.code, refusal.value.data) == ("shrunken_listing", {"lost": 3, "active": 5})
    assert row_versions() == before

    report = sync(entry("a/0"), entry("a/1"), at=JUNE, accept_shrink=True)
    assert counts(report) == {"listed": 2, "unchanged": 2, "retired": 3}
    assert Model.objects.filter(status="retired", retired_at=JUNE).count() == 3


def test_new_models_do_not_make_up_for_lost_ones() -> None:
    sync(entry("a/0"), entry("a/1"))

    with pytest.raises(ShrunkenListing):
        sync(*(entry(f"b/{number}") for number in range(10)), at=JUNE)


def test_half_may_go_and_what_went_before_does_not_count() -> None:
    sync(*(entry(f"a/{number}") for number in range(4)))

    assert sync(entry("a/0"), entry("a/1"), at=JUNE).retired == 2
    assert not sync(entry("a/0"), entry("a/1"), at=JUNE).changed


def test_odd_fields_are_no_reason_to_refuse_a_listing() -> None:
    body = json.dumps(
        {
            "data": [
                {
                    **entry("a/x"),
                    "name": 7,
                    "created": "yesterday",
                    "context_length": -5,
                    "description": "a\0b\ud800",
                    "temperature": 0.1,
                    "huge": 10**400,
                }
            ]
        }
    ).encode()

    sync_body(body)

    model = Model.objects.get()
    assert (model.name, model.listed_at, model.context_length) == ("a/x", None, None)
    assert model.description == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert model.listing["temperature"] == 0.1
    assert not sync_body(body, at=JUNE).changed


def test_a_refused_listing_is_a_domain_error_with_its_sentence() -> None:
    with pytest.raises(DomainError, match="web page"):
        sync_body(b"<html>", at=MAY)
