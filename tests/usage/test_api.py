"""POST /billing/v1/usage/events: bytes in, one answer per event out, never a 500."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from django.test import Client

from accounts.services import create_api_key, revoke_api_key
from tests.usage.factories import ACTOR, NOW, counted, customer, event, line, model
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db

PATH = "/billing/v1/usage/events"
JSON, NDJSON = "application/json", "application/x-ndjson"


@pytest.fixture
def secret() -> str:
    customer()
    model()
    return create_api_key(customer=None, name="ingest", actor=ACTOR).secret


class Sender:
    """A client with an ingest key; `post` gives the status and the JSON body."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.client = Client(raise_request_exception=False)

    def post(self, body: bytes, content_type: str = JSON, **headers: str) -> tuple[int, dict[str, Any]]:
        headers["Authorization"] = f"Bearer {self.secret}"
        response = self.client.generic("POST", PATH, body, content_type, headers=headers)
        return response.status_code, json.loads(response.content)

    def code(self, body: bytes, content_type: str = JSON, **headers: str) -> tuple[int, str]:
        status, answer = self.post(body, content_type, **headers)
        return status, answer.get("code", "")


@pytest.fixture
def sender(secret: str) -> Sender:
    return Sender(secret)


def test_an_array_is_answered_item_by_item(sender: Sender) -> None:
    body = json.dumps([event("a"), event("b", usage={"prompt_tokens": -1}), event("c", model="x/unheard"), 7]).encode()
    assert sender.post(body) == (
        200,
        {
            "accepted": 2,
            "duplicate": 0,
            "conflict": 0,
            "rejected": 2,
            "quarantined": 1,
            "items": [
                {"index": 0, "id": "a", "status": "accepted"},
                {
                    "index": 1,
                    "id": "b",
                    "status": "rejected",
                    "code": "invalid_event",
                    "field": "usage.prompt_tokens",
                    "reason": "must not be negative",
                },
                {
                    "index": 2,
                    "id": "c",
                    "status": "accepted",
                    "quarantined": {"code": "unknown_model", "detail": "no model is called x/unheard"},
                },
                {
                    "index": 3,
                    "id": None,
                    "status": "rejected",
                    "code": "invalid_event",
                    "field": "event",
                    "reason": "must be a JSON object",
                },
            ],
        },
    )
    assert sorted(UsageEvent.objects.values_list("event_id", flat=True)) == ["a", "c"]
    status, again = sender.post(body)
    assert (status, again["accepted"], again["duplicate"], again["rejected"]) == (200, 0, 2, 2)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (line(), JSON),
        (b"[" + line() + b"]", "Application/JSON; charset=UTF-8"),
        (b"\n" + line() + b"\r\n\n", NDJSON),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_way_of_sending_one_event(sender: Sender, body: bytes, content_type: str, packed: bool) -> None:
    headers = {"Content-Encoding": "gzip"} if packed else {}
    status, answer = sender.post(gzip.compress(body) if packed else body, content_type, **headers)
    assert (status, answer["items"]) == (200, [{"index": 0, "id": "gen-1", "status": "accepted"}])


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "answer"),
    [
        (b" ", JSON, {}, (400, "invalid_json")),
        (b"null", JSON, {}, (400, "invalid_json")),
        (b"<html></html>", JSON, {}, (400, "invalid_json")),
        (b"\xef\xbb\xbf[]", JSON, {}, (400, "invalid_json")),
        (b"[" + line() + b',{"id"', JSON, {}, (400, "invalid_json")),
        (b"[" + line() + b"]]", JSON, {}, (400, "invalid_json")),
        (b"[" * 100_000, JSON, {}, (400, "invalid_json")),
        (line(), "text/plain", {}, (415, "unsupported_media_type")),
        (line(), "multipart/form-data; boundary=x", {}, (415, "unsupported_media_type")),
        (line(), "application/json; charset=bz2_codec", {}, (415, "unsupported_media_type")),
        (line(), "application/json; charset=utf-16", {}, (415, "unsupported_media_type")),
        (line(), JSON, {"Content-Encoding": "br"}, (415, "unsupported_media_type")),
        (line(), JSON, {"Content-Encoding": "gzip"}, (400, "invalid_gzip")),
        (gzip.compress(line())[:-5], JSON, {"Content-Encoding": "gzip"}, (400, "invalid_gzip")),
        (gzip.compress(b" " * 17 * 1024 * 1024), JSON, {"Content-Encoding": "gzip"}, (413, "payload_too_large")),
        (b" " * (16 * 1024 * 1024 + 1), JSON, {}, (413, "payload_too_large")),
        (b"[" + b"0," * 10_000 + b"0]", JSON, {}, (413, "payload_too_large")),
        (b"[" + b"0," * 4_000_000 + b"0]", JSON, {}, (413, "payload_too_large")),
        (b"0\n" * 10_001, NDJSON, {}, (413, "payload_too_large")),
    ],
)
def test_a_body_that_cannot_be_taken_stores_nothing(
    sender: Sender, body: bytes, content_type: str, headers: dict[str, str], answer: tuple[int, str]
) -> None:
    assert sender.code(body, content_type, **headers) == answer
    assert counted("usage_event", "usage_event_key") == (0, 0)


@pytest.mark.parametrize(
    "bad",
    [
        b"{" * 2000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b"[" * 2000 + b"]" * 2000,
        b'{"id":"a","id":"b"}',
        b'{"id":"\\u0000"}',
        b'{"id":"\\ud800","x":1}',
        b'{"\\ud800":1}',
        b'{"id":"\xff"}',
        line().replace(b": 100", b": NaN"),
        line().replace(b": 100", b": " + b"9" * 5000),
        line().replace(b": 100", b": 1e9999"),
        line().replace(b": 100", b': "1_000"'),
        line().replace(b": 100", ': "１２３"'.encode()),
        line(api_key="sk-jeongsan-" + "x" * 150),
        line(customer="../admin"),
        line(dialect="\u202e"),
        line(occurred_at="2026-02-30T00:00:00Z"),
        line("x" * 10_000),
    ],
)
def test_a_bad_line_is_refused_alone(sender: Sender, bad: bytes) -> None:
    status, answer = sender.post(line("good-1") + b"\n" + bad + b"\n" + line("good-2"), NDJSON)
    assert status == 200
    assert [item["status"] for item in answer["items"]] == ["accepted", "rejected", "accepted"]
    assert answer["items"][1]["field"]
    assert counted("usage_event") == (2,)


def test_only_an_ingest_key_may_meter(secret: str) -> None:
    owner = customer("gaon")
    own = create_api_key(customer=owner, name="own", actor=ACTOR)
    assert Sender(own.secret).code(line()) == (403, "permission_denied")
    assert Sender("sk-jeongsan-" + "x" * 32).code(line()) == (401, "authentication_failed")
    assert Sender("\u00ff").code(line()) == (401, "authentication_failed")
    assert Client().post(PATH, data=line(), content_type=JSON).status_code == 401
    revoked = create_api_key(customer=None, name="old", actor=ACTOR)
    revoke_api_key(key=revoked.key, actor=ACTOR, now=NOW)
    assert Sender(revoked.secret).code(line()) == (401, "authentication_failed")
    assert counted("usage_event") == (0,)


def test_other_methods_are_refused(sender: Sender) -> None:
    headers = {"Authorization": f"Bearer {sender.secret}"}
    assert sender.client.delete(PATH, headers=headers).status_code == 405
    assert sender.client.put(PATH, data=line(), content_type=JSON, headers=headers).status_code == 405


def test_the_openapi_document_describes_it() -> None:
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)
    post = schema["paths"][PATH]["post"]
    assert set(post["requestBody"]["content"]) == {JSON, NDJSON}
    assert set(post["responses"]) == {"200", "400", "401", "403", "413", "415"}
    assert post["requestBody"]["content"][JSON]["schema"]["type"] == "array"
    fields = schema["components"]["schemas"]["UsageEventDocument"]
    assert set(fields["properties"]) == set(event()) | {"api_key", "requested_model", "app", "flags"}
    assert set(fields["required"]) == {"id", "model", "occurred_at", "dialect", "usage"}
