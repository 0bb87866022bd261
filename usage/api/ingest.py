"""`POST /billing/v1/usage/events`: metering over HTTP, for upstream gateways with an operator's ingest key."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey, IsIngestKey
from accounts.errors import DomainError
from usage.api.events import EventListing
from usage.api.intake import JSON, NDJSON
from usage.dialects import DIALECTS
from usage.events import DECLARED_FLAGS, MAX_APP_CHARS, MAX_NAME_CHARS
from usage.services.ingesting import Status


# -- What the OpenAPI document says. Events are read by `usage.events`, which names every field it refuses. -------------
class AppDocument(serializers.Serializer):
    """The program that made the call, as its headers named it."""

    title = serializers.CharField(required=False, allow_null=True, max_length=MAX_APP_CHARS)
    referer = serializers.CharField(required=False, allow_null=True, max_length=MAX_APP_CHARS)


class UsageEventDocument(serializers.Serializer):
    """One upstream response. Unknown fields are refused."""

    id = serializers.CharField(max_length=MAX_NAME_CHARS, help_text="Counts once per customer, for ever.")
    customer = serializers.CharField(
        required=False, help_text="The customer's slug; without it the owner of `api_key`. At least one of the two."
    )
    api_key = serializers.CharField(
        required=False, help_text="The key that made the call: whole, or its prefix (first 20 characters)."
    )
    requested_model = serializers.CharField(
        required=False, max_length=MAX_NAME_CHARS, help_text="What the caller asked for; `model` if absent."
    )
    model = serializers.CharField(max_length=MAX_NAME_CHARS, help_text="The model that answered; it is priced.")
    occurred_at = serializers.CharField(help_text="RFC 3339 with a time zone, e.g. `2026-10-05T12:00:00+09:00`.")
    dialect = serializers.ChoiceField(choices=DIALECTS, help_text="Whose `usage` object this is.")
    usage = serializers.DictField(
        help_text="The upstream's `usage` object as it came: counts only, at most 16 kB, no prompts, no answers."
    )
    app = AppDocument(required=False, allow_null=True)
    flags = serializers.ListField(
        child=serializers.ChoiceField(choices=DECLARED_FLAGS),
        required=False,
        allow_null=True,
        help_text="`estimated`: nobody counted the tokens. `zero_completion`: there was no answer, so nothing is charged.",
    )


class QuarantineDocument(serializers.Serializer):
    """Why an accepted event is kept without a price."""

    code = serializers.CharField()
    detail = serializers.CharField()


class ItemDocument(serializers.Serializer):
    """What became of one event."""

    index = serializers.IntegerField(help_text="Position in the body, from 0; blank lines do not count.")
    id = serializers.CharField(allow_null=True, help_text="null where it could not be read.")
    status = serializers.ChoiceField(choices=[status.value for status in Status])
    code = serializers.CharField(required=False, help_text="`idempotency_conflict` or `invalid_event`.")
    field = serializers.CharField(required=False, help_text="Path of what is wrong, e.g. `usage.prompt_tokens`.")
    reason = serializers.CharField(required=False)
    quarantined = QuarantineDocument(required=False)


class IngestAnswerDocument(serializers.Serializer):
    """Counts, and every item in the order of the body. Accepted and duplicate events are durable."""

    accepted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    conflict = serializers.IntegerField()
    rejected = serializers.IntegerField()
    quarantined = serializers.IntegerField(help_text="Of the accepted: kept, and not priced yet.")
    items = ItemDocument(many=True)


_EVENT_EXAMPLE = {
    "id": "gen-1761621296-xJ7L8N2nZQx",
    "customer": "hanbit",
    "requested_model": "openrouter/auto",
    "model": "anthropic/claude-sonnet-4.5",
    "occurred_at": "2026-10-05T12:00:00+09:00",
    "dialect": "openrouter",
    "usage": {"prompt_tokens": 550, "completion_tokens": 15, "total_tokens": 565, "cost": 0.001875},
    "app": {"title": "Help desk", "referer": "https://desk.hanbit.example"},
}
_ANSWER_EXAMPLE = {
    "accepted": 1,
    "duplicate": 0,
    "conflict": 0,
    "rejected": 1,
    "quarantined": 0,
    "items": [
        {"index": 0, "id": "gen-1761621296-xJ7L8N2nZQx", "status": "accepted"},
        {
            "index": 1,
            "id": "gen-1761621297-aaaaaaaaaaa",
            "status": "rejected",
            "code": "invalid_event",
            "field": "usage.prompt_tokens",
            "reason": "must not be negative",
        },
    ],
}
_PROBLEMS = {
    400: "invalid_json, invalid_gzip: nothing of the body was stored",
    401: "authentication_failed, not_authenticated",
    403: "permission_denied: not an ingest key",
    413: "payload_too_large: more than 16 MB, packed or unpacked, or more than 10,000 events",
    415: "unsupported_media_type",
    503: "service_unavailable: the database is away; the same body may be sent again",
}


class NotServedHere(DomainError):
    """The server runs without the edge that answers this."""

    code = "not_served_here"
    http_status = 501


class UsageEvents(EventListing, APIView):
    """Where measured responses are handed in, and where a customer reads its own."""

    def get_permissions(self) -> list[BasePermission]:
        return [IsCustomerKey() if self.request.method in {"GET", "HEAD"} else IsIngestKey()]

    @extend_schema(
        operation_id="ingest_usage_events",
        summary="Hand in usage events",
        description=(
            "A JSON array of events, one event, or one event per line (NDJSON); up to 10,000 events and 16 MB, gzip "
            "allowed. Each event is answered on its own: a bad one takes no other down. An `id` counts once per "
            "customer; sending the same event again answers `duplicate`, another event under the same id answers "
            "`conflict`. After an error or a lost connection send the same body again."
        ),
        parameters=[OpenApiParameter("Content-Encoding", str, OpenApiParameter.HEADER, enum=["gzip"], required=False)],
        request={JSON: UsageEventDocument(many=True), NDJSON: UsageEventDocument},
        responses={
            200: IngestAnswerDocument,
            **{status: OpenApiResponse(description=codes) for status, codes in _PROBLEMS.items()},
        },
        examples=[
            OpenApiExample("array", value=[_EVENT_EXAMPLE], request_only=True, media_type=JSON),
            OpenApiExample("one line", value=_EVENT_EXAMPLE, request_only=True, media_type=NDJSON),
            OpenApiExample("one stored, one refused", value=_ANSWER_EXAMPLE, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Described here, answered by `usage.api.intake`: under ASGI no such request comes this far."""
        raise NotServedHere("events are taken in by the ASGI application, config.asgi")
