"""manage.py sync_catalog, and the catalog that the project ships."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from catalog.listing import parse_listing
from catalog.models import CatalogSync, Model, Price
from catalog.selectors import find_model
from tests.catalog.listings import MAY, entry, listing, row_versions
from tests.shared import shared_data

pytestmark = pytest.mark.django_db

SAMPLE = settings.BASE_DIR / "samples" / "catalog.json"


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("sync_catalog", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def run_json(*arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(*arguments, "--json")
    return code, json.loads(out)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "models.json"
    path.write_bytes(listing(entry("a/x"), entry("a/odd", pricing={"prompt": "1", "magic": "2", "completion": "1"})))
    return path


def test_a_file_is_applied_from_an_instant_on(file: Path) -> None:
    code, answer = run_json("--from", str(file), "--at", "2026-05-12T09:00:00+09:00")

    assert code == 0
    assert answer == {
        "source": str(file),
        "effective_at": "2026-05-12T09:00:00+09:00",
        "changed": True,
        "listed": 2,
        "created": 2,
        "updated": 0,
        "price_changes": 0,
        "unchanged": 0,
        "variable": 0,
        "retired": 0,
        "returned": 0,
        "quarantined": [
            {"model": "a/odd", "code": "unknown_price_key", "reason": "magic: not a price key that is known here"}
        ],
        "awaiting_approval": [],
    }
    assert set(Price.objects.values_list("effective_from", flat=True)) == {MAY}
    assert CatalogSync.objects.get().actor == "manage.py sync_catalog"


def test_the_summary_is_for_people(file: Path) -> None:
    code, out, err = run("--from", str(file), "--at", "2026-05-12T00:00:00Z")

    assert (code, err) == (0, "")
    assert "2 models listed" in out
    assert "a/odd: unknown_price_key: magic" in out
    before = row_versions()
    assert "Nothing changed, nothing written." in run("--from", str(file))[1]
    assert row_versions() == before


def test_a_listing_comes_through_a_pipe(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))

    code, answer = run_json("--from", "-")

    assert (code, answer["source"], answer["created"]) == (0, "standard input", 2)


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("2026-05-12", "invalid_input"),
        ("2026-05-12T00:00:00", "invalid_input"),
        ("2026-02-30T00:00:00Z", "invalid_input"),
        ("２０２６-05-12T00:00:00Z", "invalid_input"),
        ("yesterday", "invalid_input"),
        ("2999-01-01T00:00:00Z", "effective_in_future"),
    ],
)
def test_an_instant_that_cannot_be_is_named(file: Path, at: str, code: str) -> None:
    status, answer = run_json("--from", str(file), "--at", at)

    assert status == 2
    assert (answer["error"]["code"], answer["error"]["field"]) == (code, "at")
    assert Model.objects.count() == 0


def test_refusals_are_a_sentence_and_exit_code_2(tmp_path: Path, file: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>")

    assert run("--from", str(page)) == (2, "", "html: The body is a web page (HTML), not JSON.\n")
    status, out, err = run("--from", str(tmp_path / "nothing.json"))
    assert (status, out) == (2, "")
    assert err.endswith("nothing.json can't be read: No such file or directory\n")
    assert run_json("--from", str(tmp_path))[1]["error"]["code"] == "listing_unreadable"
    assert run_json("--from", "ftp://example.com/models")[1]["error"]["code"] == "listing_unreadable"
    assert run_json("--from", "http://192.0.2.1/models")[1]["error"]["code"] == "address_refused"


def test_shrinking_is_accepted_when_asked_for(tmp_path: Path, file: Path) -> None:
    assert run("--from", str(file))[0] == 0
    other = tmp_path / "other.json"
    other.write_bytes(listing(entry("b/x")))

    assert run_json("--from", str(other))[1]["error"]["code"] == "shrunken_listing"
    assert run_json("--from", str(other), "--accept-shrink")[1]["retired"] == 2


def test_our_own_catalog_is_the_default() -> None:
    code, answer = run_json()

    assert code == 0
    assert (answer["source"], answer["listed"], answer["variable"]) == ("samples/catalog.json", 60, 1)
    assert answer["quarantined"] == []
    assert find_model("auto") == Model.objects.get(model_id="openrouter/auto")
    assert run_json()[1]["changed"] is False


#: USD per million of what the upstream does not list beside its chat models.
OTHER_ROUTES_USD_PER_MILLION = {
    "openai/text-embedding-3-small": [Decimal("0.02"), Decimal(0)],
    "openai/gpt-4o-mini-transcribe": [Decimal("1.25"), Decimal(5)],
}


def test_our_own_catalog_says_what_the_upstream_listed() -> None:
    upstream = {
        model["id"]: model
        for model in json.loads(shared_data("openrouter-models-2026-05-12.json").read_bytes())["data"]
    }
    history = json.loads(shared_data("openrouter-price-history-2023-2026.json").read_text(), parse_float=Decimal)[
        "snapshots"
    ]
    last_usd_per_million = {model_id: pair for snapshot in history for model_id, pair in snapshot["prices"].items()}

    for model in json.loads(SAMPLE.read_bytes())["data"]:
        listed = upstream.get(model["id"])
        if listed:
            for field in ("canonical_slug", "name", "created", "context_length", "pricing"):
                assert model[field] == listed[field], (model["id"], field)
        else:
            prices = [Decimal(model["pricing"][key]) * 1_000_000 for key in ("prompt", "completion")]
            assert prices == (last_usd_per_million | OTHER_ROUTES_USD_PER_MILLION)[model["id"]]


def test_our_own_catalog_holds_the_routable_models() -> None:
    names = {
        model.model_id for model in parse_listing(SAMPLE.read_bytes(), at=datetime(2026, 5, 12, tzinfo=UTC)).models
    }

    assert len(names) == 60
    assert {
        "openrouter/auto",
        "openai/gpt-5.2",
        "anthropic/claude-opus-4.5",
        "google/gemini-3-pro-preview",
        "perplexity/sonar",
        "openai/o1-preview-2024-09-12",
        "cohere/command-r",
    } <= names
