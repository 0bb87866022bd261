"""`POST /billing/v1/usage/litellm`: where a LiteLLM proxy's generic API callback tells about its calls."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from django.http import UnreadablePostError
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey, IsIngestKey
from accounts.errors import InvalidInput
from accounts.models import ApiKey
from usage.errors import PayloadTooLarge, UnsupportedMedia
from usage.services.ingesting import Status
from usage.services.litellm import SKIPPED, count_calls, ingest_calls
from usage.services.reading import MAX_BODY_BYTES, gunzip, json_items, ndjson_items

_JSON = "application/json"
_NDJSON = "application/x-ndjson"
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)


class AnyKey(BasePermission):
    """An operator's ingest key for the proxy of many customers, or a customer's key for the customer's own proxy."""

    message = "This needs an ingest key or a customer's API key."

    def has_permission(self, request: Request, view: object) -> bool:
        return IsIngestKey().has_permission(request, view) or IsCustomerKey().has_permission(request, view)


class LiteLLMMetadataDocument(serializers.Serializer):
    """What of the metadata is read."""

    usage_object = serializers.DictField(help_text="LiteLLM's usage object: OpenAI's shape, cached tokens inside.")
    user_api_key_auth_metadata = serializers.DictField(
        required=False, allow_null=True, help_text="Its `jeongsan_customer` (a customer's slug) decides who pays."
    )
    user_api_key_team_alias = serializers.CharField(
        required=False, allow_null=True, help_text="Decides next, where a customer has this slug."
    )
    requester_metadata = serializers.DictField(
        required=False, allow_null=True, help_text="Its `jeongsan_customer` decides next."
    )
    spend_logs_metadata = serializers.DictField(required=False, allow_null=True, help_text="As `requester_metadata`.")
    user_api_key_end_user_id = serializers.CharField(
        required=False, allow_null=True, help_text="Decides last, where a customer has this slug."
    )
    user_api_key_alias = serializers.CharField(required=False, allow_null=True, help_text="Kept as the app's title.")


class LiteLLMCallDocument(serializers.Serializer):
    """LiteLLM's standard logging object. Fields that are not listed are passed over: prompts and answers are never kept."""

    id = serializers.CharField(help_text="The upstream's id of the response; counts once per customer, for ever.")
    litellm_call_id = serializers.CharField(required=False, help_text="Taken where the upstream gave no id.")
    call_type = serializers.CharField(help_text="Calls measured in tokens: completion, embedding, responses, ...")
    status = serializers.ChoiceField(choices=["success", "failure"])
    cache_hit = serializers.BooleanField(required=False, allow_null=True)
    custom_llm_provider = serializers.CharField(required=False, allow_null=True)
    model = serializers.CharField(help_text="The model that answered; with the provider in front it is priced.")
    model_group = serializers.CharField(required=False, allow_null=True, help_text="What the caller asked for.")
    startTime = serializers.FloatField(help_text="Seconds since 1970, UTC: when it happened.")
    end_user = serializers.CharField(required=False, allow_null=True)
    metadata = LiteLLMMetadataDocument()


class CallAnswerDocument(serializers.Serializer):
    """What became of one call."""

    index = serializers.IntegerField(help_text="Position in the body, from 0; blank lines do not count.")
    id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=[*(status.value for status in Status), SKIPPED])
    code = serializers.CharField(
        required=False, help_text="`failed_call`, `answered_from_cache`, `invalid_event` or `idempotency_conflict`."
    )
    field = serializers.CharField(required=False)
    reason = serializers.CharField(required=False)
    quarantined = serializers.DictField(required=False, help_text="`code` and `detail`: kept without a price.")


class CallsAnswerDocument(serializers.Serializer):
    """Counts, and every call in the order of the body. Accepted and duplicate ones are durable."""

    accepted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    conflict = serializers.IntegerField()
    rejected = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="Failed calls, and answers from the proxy's own cache: never billed.")
    quarantined = serializers.IntegerField(help_text="Of the accepted: kept, and not priced yet.")
    items = CallAnswerDocument(many=True)


_CALL_EXAMPLE = {
    "id": "gen-1761621296-xJ7L8N2nZQx",
    "call_type": "acompletion",
    "status": "success",
    "custom_llm_provider": "openrouter",
    "model": "anthropic/claude-sonnet-4.5",
    "model_group": "claude",
    "startTime": 1793156400.25,
    "metadata": {
        "user_api_key_alias": "help desk",
        "user_api_key_team_alias": "hanbit",
        "usage_object": {"prompt_tokens": 550, "completion_tokens": 15, "total_tokens": 565, "cost": 0.001875},
    },
}
_ANSWER_EXAMPLE = {
    "accepted": 1,
    "duplicate": 0,
    "conflict": 0,
    "rejected": 0,
    "skipped": 1,
    "quarantined": 0,
    "items": [
        {"index": 0, "id": "gen-1761621296-xJ7L8N2nZQx", "status": "accepted"},
        {
            "index": 1,
            "id": "c263805e-7a94-413a-b608-adb9335ba2b3",
            "status": "skipped",
            "code": "failed_call",
            "reason": "the call failed, and the proxy names no usage of it",
        },
    ],
}
_PROBLEMS = {
    400: "invalid_json, invalid_gzip: nothing of the body was stored",
    401: "authentication_failed, not_authenticated",
    413: "payload_too_large: more than 16 MB, packed or unpacked, or more than 10,000 calls",
    415: "unsupported_media_type",
}


class LiteLLMCalls(APIView):
    """Where a LiteLLM proxy hands in its calls."""

    permission_classes = [AnyKey]

    @extend_schema(
        operation_id="ingest_litellm_calls",
        summary="Hand in the calls of a LiteLLM proxy",
        description=(
            "The body of LiteLLM's `generic_api` callback in any of its formats: one standard logging object, an array of "
            "them, or one per line; up to 10,000 and 16 MB, gzip allowed. A customer's key bills that customer; with an "
            "ingest key each call names its customer in its metadata. Prices are ours: the proxy's `response_cost` is its "
            "own estimate and is not kept. Each call is answered on its own; failed calls and answers from the proxy's "
            "cache are `skipped`."
        ),
        parameters=[OpenApiParameter("Content-Encoding", str, OpenApiParameter.HEADER, enum=["gzip"], required=False)],
        request={_JSON: LiteLLMCallDocument(many=True), _NDJSON: LiteLLMCallDocument},
        responses={
            200: CallsAnswerDocument,
            **{status: OpenApiResponse(description=codes) for status, codes in _PROBLEMS.items()},
        },
        examples=[
            OpenApiExample("array", value=[_CALL_EXAMPLE], request_only=True, media_type=_JSON),
            OpenApiExample("one line", value=_CALL_EXAMPLE, request_only=True, media_type=_NDJSON),
            OpenApiExample("one stored, one skipped", value=_ANSWER_EXAMPLE, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Cut the body into calls and store what they used."""
        items = _items(_content_type(request), _body(request))
        results = ingest_calls(payloads=items, key=_key(request), now=timezone.now(), actor=str(request.user))
        return Response({**count_calls(results), "items": [result.as_dict() for result in results]})


def _key(request: Request) -> ApiKey:
    assert isinstance(request.auth, ApiKey)  # the permission has seen to it
    return request.auth


def _items(content_type: str, body: bytes) -> Iterable[bytes]:
    """The callback says application/json of lines as well, so what begins as an object is looked at once more."""
    if content_type == _NDJSON:
        return ndjson_items(body)
    items = json_items(body)
    if body.lstrip()[:1] == b"{":
        try:
            _ANYTHING.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return ndjson_items(body)
    return items


def _content_type(request: Request) -> str:
    content_type = request.content_type.partition(";")[0].strip().lower()
    if content_type not in {_JSON, _NDJSON}:
        raise UnsupportedMedia(f"send {_JSON} or {_NDJSON}", field="Content-Type")
    return content_type


def _body(request: Request) -> bytes:
    """The body, unpacked. Read as a stream, so that a body over the limit is never held whole."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        raise UnsupportedMedia("the content encoding must be gzip or none", field="Content-Encoding")
    try:
        body: bytes = request.read(MAX_BODY_BYTES + 1)
    except UnreadablePostError:
        raise InvalidInput("the body broke off", field="body") from None
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"a body has at most {MAX_BODY_BYTES} bytes")
    return gunzip(body) if encoding == "gzip" else body
