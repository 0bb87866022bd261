"""Whatever goes wrong under /v1 and /api/v1 is answered as JSON in the shape that both families of clients read."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from tests.models_api.catalogs import error, sync_small

pytestmark = pytest.mark.django_db

ROOTS = ("/v1", "/api/v1")


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    "path", ["", "/", "/model", "/models/", "/chat/completion", "/credit", "/%0a", "/..%2fadmin", "/" + "x" * 10_000]
)
def test_other_addresses_are_not_there(client: Client, root: str, path: str) -> None:
    answer = client.get(root + path)

    if path == "/models/":
        assert answer.json()["data"] == []
    elif path == "":
        # Django's own redirect to the address with a slash, which is not there either.
        assert answer.headers.get("Location", "") in {"", f"{root}/"}
    else:
        status, kind, param, message = error(answer)
        assert (status, kind, param) == (404, "not_found", None)
        assert message.startswith("There is nothing at '/")
        assert len(message) < 200


@pytest.mark.parametrize("root", ROOTS)
def test_what_is_not_there_is_not_there_to_write_to_either(root: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(f"{root}/nowhere/chat", data="{}", content_type="application/json")

    assert error(answer)[:3] == (404, "not_found", None)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("path", ["/models", "/models/user", "/models/openai/gpt", "/providers", "/models/count"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_nothing_here_can_be_changed(client: Client, root: str, path: str, method: str) -> None:
    strict = Client(enforce_csrf_checks=True)

    answer = getattr(strict, method)(root + path, data="{}", content_type="application/json")

    assert error(answer)[:3] == (405, "method_not_allowed", None)
    assert answer.headers["Allow"] == "GET, HEAD"


def test_a_query_of_thousands_of_parameters_is_a_400_in_the_same_shape(client: Client) -> None:
    sync_small()

    query = "&".join(f"a{number}=1" for number in range(1001))

    assert error(client.get(f"/v1/models?{query}"))[:3] == (400, "invalid_request", None)


def test_the_unforeseen_is_a_500_in_the_same_shape(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A table that is gone stands for everything that can break."""
    sync_small()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE catalog_modelalias RENAME TO catalog_modelalias_gone")

    status, kind, _, message = error(client.get("/v1/models"))

    assert (status, kind) == (500, "server")
    assert "catalog_modelalias" not in message
    assert "catalog_modelalias" in caplog.text  # but the log says it


def test_errors_are_not_kept_by_caches(client: Client) -> None:
    for path in ("/v1/nothing", "/v1/models?limit=x", "/v1/models/user"):
        assert client.get(path).headers["Cache-Control"] == "no-store"
