"""POST /billing/v1/usage/events: bytes in, one answer per event out, never a 500."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.services import create_api_key, revoke_api_key
from tests.outages import database_away, throw_everybody_out
from tests.usage.asgi import Answer, call, send_to
from tests.usage.factories import ACTOR, NOW, counted, customer, event, line, model, violations
from usage.api.bodies import MAX_BODY_IN_MEMORY_BYTES
from usage.api.intake import JSON, NDJSON, PATH, IngestEdge
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def edge() -> Iterator[IngestEdge]:
    """The edge of one process, with its threads; the last test's connections are closed with it."""
    edge = IngestEdge()
    yield edge
    asyncio.run(edge.shutdown())


@pytest.fixture
def secret() -> str:
    customer()
    model()
    return create_api_key(customer=None, name="ingest", actor=ACTOR).secret


class Sender:
    """Whoever holds a key; `post` gives the status and the JSON body."""

    def __init__(self, edge: IngestEdge, secret: str) -> None:
        self.edge = edge
        self.secret = secret

    def answer(self, body: bytes, content_type: str = JSON, **headers: str) -> Answer:
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": content_type, **headers}
        return call(self.edge, PATH, body, headers)

    def post(self, body: bytes, content_type: str = JSON, **headers: str) -> tuple[int, dict[str, Any]]:
        answer = self.answer(body, content_type, **headers)
        return answer.status, json.loads(answer.content)

    def code(self, body: bytes, content_type: str = JSON, **headers: str) -> tuple[int, str]:
        status, answer = self.post(body, content_type, **headers)
        return status, answer.get("code", "")


@pytest.fixture
def sender(edge: IngestEdge, secret: str) -> Sender:
    return Sender(edge, secret)


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


def test_every_way_of_sending_one_event(sender: Sender) -> None:
    bodies = [
        (line("gen-1"), JSON),
        (b"[" + line("gen-1") + b"]", "Application/JSON; charset=UTF-8"),
        (b"\n" + line("gen-1") + b"\r\n\n", NDJSON),
    ]
    status = "accepted"
    for body, content_type in bodies:
        for content, headers in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
            answer = sender.post(content, content_type, **headers)
            assert (answer[0], answer[1]["items"]) == (200, [{"index": 0, "id": "gen-1", "status": status}])
            status = "duplicate"
    assert counted("usage_event") == (1,)


def test_a_body_that_cannot_be_taken_stores_nothing(sender: Sender) -> None:
    refused: list[tuple[bytes, str, dict[str, str], tuple[int, str]]] = [
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
    ]
    for body, content_type, headers, answer in refused:
        assert sender.code(body, content_type, **headers) == answer, body[:40]
    assert counted("usage_event", "usage_event_key") == (0, 0)


def test_a_bad_line_is_refused_alone(sender: Sender) -> None:
    bad_lines = [
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
    ]
    for number, bad in enumerate(bad_lines):
        body = line(f"before-{number}") + b"\n" + bad + b"\n" + line(f"after-{number}")
        status, answer = sender.post(body, NDJSON)
        assert status == 200
        assert [item["status"] for item in answer["items"]] == ["accepted", "rejected", "accepted"]
        assert answer["items"][1]["field"]
    assert counted("usage_event") == (2 * len(bad_lines),)


def test_only_an_ingest_key_may_meter(edge: IngestEdge, secret: str) -> None:
    owner = customer("gaon")
    own = create_api_key(customer=owner, name="own", actor=ACTOR)
    assert Sender(edge, own.secret).code(line()) == (403, "permission_denied")
    assert Sender(edge, "sk-jeongsan-" + "x" * 32).code(line()) == (401, "authentication_failed")
    assert Sender(edge, "\u00ff").code(line()) == (401, "authentication_failed")
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer "}):
        answer = call(edge, PATH, line(), {"Content-Type": JSON, **headers})
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert json.loads(answer.content)["code"] == "not_authenticated"
    revoked = create_api_key(customer=None, name="old", actor=ACTOR)
    revoke_api_key(key=revoked.key, actor=ACTOR, now=NOW)
    assert Sender(edge, revoked.secret).code(line()) == (401, "authentication_failed")
    assert counted("usage_event") == (0,)


@pytest.mark.parametrize("events", [1, 60])
def test_a_key_that_was_right_is_refused_as_soon_as_it_is_revoked(edge: IngestEdge, secret: str, events: int) -> None:
    key = create_api_key(customer=None, name="leaves", actor=ACTOR)
    leaver = Sender(edge, key.secret)
    body = b"\n".join(line(f"gen-{number}") for number in range(events))
    assert leaver.post(body, NDJSON)[1]["accepted"] == events
    revoke_api_key(key=key.key, actor=ACTOR, now=NOW)
    assert leaver.code(body, NDJSON) == (401, "authentication_failed")
    assert Sender(edge, secret).post(body, NDJSON)[1]["duplicate"] == events


def test_a_large_batch_goes_through_a_file_and_is_answered_alike(sender: Sender) -> None:
    lines = [line(f"gen-{number}", app={"title": "x" * 250}) for number in range(3_000)]
    for body, content_type, status in (
        (b"\n".join(lines), NDJSON, "accepted"),
        (b"[" + b",".join(lines) + b"]", JSON, "duplicate"),
    ):
        assert len(body) > MAX_BODY_IN_MEMORY_BYTES
        answer = sender.post(body, content_type)[1]
        assert answer[status] == 3_000
        assert answer["items"][2_999] == {"index": 2_999, "id": "gen-2999", "status": status}
    assert violations() == []


def test_what_arrives_at_once_is_stored_together_and_answered_apart(edge: IngestEdge, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": JSON}
    bodies = [line(f"gen-{number // 2}", app={"title": f"{number % 2}"}) for number in range(15)] + [b"{}"]

    async def send_all() -> list[Answer]:
        return await asyncio.gather(*(send_to(edge, PATH, body, headers) for body in bodies))

    answers = [json.loads(answer.content) for answer in asyncio.run(send_all())]
    fates = Counter(
        status for answer in answers for status in ("accepted", "conflict", "rejected") for _ in range(answer[status])
    )
    assert fates == {"accepted": 8, "conflict": 7, "rejected": 1}
    assert all(item["index"] == 0 for answer in answers for item in answer["items"])
    assert violations() == []


def test_a_connection_that_breaks_off_stores_nothing_and_is_not_answered(edge: IngestEdge, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": NDJSON}
    assert call(edge, PATH, line() + b"\n", headers, breaks_off=True).status == 0
    assert counted("usage_event") == (0,)


def test_another_host_and_the_headers_of_every_answer(edge: IngestEdge, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": JSON}
    answer = call(edge, PATH, line(), headers, host="evil.example")
    assert (answer.status, json.loads(answer.content)["code"]) == (400, "invalid_host")
    assert answer.headers["content-type"] == "application/problem+json"
    for either in (answer, call(edge, PATH, line(), headers)):
        assert either.headers["x-content-type-options"] == "nosniff"
        assert either.headers["content-language"] == "en"
        assert int(either.headers["content-length"]) == len(either.content)


def test_what_nobody_foresaw_is_logged_and_says_nothing(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr("usage.api.intake.ingest_events", fail)
    answer = sender.post(line())
    assert answer == (
        500,
        {
            "type": "about:blank",
            "title": "internal error",
            "status": 500,
            "code": "internal_error",
            "detail": "Something went wrong here; it has been logged.",
        },
    )
    assert "a secret detail" in caplog.text


def test_connections_that_were_cut_are_not_the_senders_trouble(sender: Sender, edge: IngestEdge) -> None:
    large = json.dumps([event(f"batch-{number}") for number in range(60)]).encode()
    for turn in range(3):
        assert sender.post(line(f"few-{turn}"))[1]["accepted"] == 1
        assert sender.post(large)[1]["accepted"] == (60 if turn == 0 else 0)
        throw_everybody_out()
    # A key that this process has not met, in a thread whose connection is dead.
    newcomer = create_api_key(customer=None, name="second", actor=ACTOR).secret
    throw_everybody_out()
    assert Sender(edge, newcomer).post(line("last"))[1]["accepted"] == 1
    assert counted("usage_event") == (64,)


def test_a_database_that_is_away_is_a_503_and_the_same_body_counts_once_later(sender: Sender) -> None:
    assert sender.post(line("before"))[1]["accepted"] == 1
    large = json.dumps([event(f"batch-{number}") for number in range(60)]).encode()
    connection.close()
    with database_away():
        refused = [sender.answer(line("meanwhile")), sender.answer(large)]
    for answer in refused:
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert json.loads(answer.content)["code"] == "service_unavailable"
    assert sender.post(line("meanwhile"))[1]["accepted"] == 1
    assert sender.post(large)[1]["accepted"] == 60
    assert counted("usage_event") == (62,)


def test_the_site_itself_sends_events_to_the_edge(secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    client = Client()
    assert client.delete(PATH, headers=headers).status_code == 405
    assert client.put(PATH, data=line(), content_type=JSON, headers=headers).status_code == 405
    answer = client.post(PATH, data=line(), content_type=JSON, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (501, "not_served_here")


def test_the_openapi_document_describes_it() -> None:
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)
    post = schema["paths"][PATH]["post"]
    assert set(post["requestBody"]["content"]) == {JSON, NDJSON}
    assert set(post["responses"]) == {"200", "400", "401", "403", "413", "415", "503"}
    assert post["requestBody"]["content"][JSON]["schema"]["type"] == "array"
    fields = schema["components"]["schemas"]["UsageEventDocument"]
    assert set(fields["properties"]) == set(event()) | {"api_key", "requested_model", "app", "flags"}
    assert set(fields["required"]) == {"id", "model", "occurred_at", "dialect", "usage"}
