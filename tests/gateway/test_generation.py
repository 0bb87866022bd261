"""`/generation` of a call that came through the gateway."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import ApiKey
from accounts.services import create_api_key
from gateway.calls import Attempt
from tests.gateway.money import ACTOR, NOW, admitted, caller, outcome, settle, shop
from tests.usage_api.asking import get

pytestmark = pytest.mark.django_db

TIMES = ("latency", "generation_time", "finish_reason", "native_finish_reason", "streamed", "api_type")


def test_a_call_says_how_long_it_took_and_why_it_ended() -> None:
    shop()
    who = caller()
    secret = create_api_key(customer=ApiKey.objects.get(pk=who.api_key_id).customer, name="reader", actor=ACTOR).secret
    chat = admitted(who, is_stream=True)
    failed = Attempt(1, 11, 1, NOW, first_byte_at=NOW + timedelta(milliseconds=90), status=503)
    good = Attempt(1, 12, 2, NOW, first_byte_at=NOW + timedelta(milliseconds=250), status=200)
    settle(outcome(chat, attempts=[failed, good], finish_reason="max_tokens"))
    silent = admitted(who, route="embeddings", max_tokens=None)
    settle(outcome(silent, finish_reason=""))

    read = get(secret, "/api/v1/generation", id=chat.call_id).json()["data"]
    assert [read[name] for name in TIMES] == [250, 1750, "length", "max_tokens", True, "completions"]
    assert (read["request_id"], read["total_cost"]) == (chat.call_id, 0.02)
    read = get(secret, "/api/v1/generation", id=silent.call_id).json()["data"]
    assert [read[name] for name in TIMES] == [None, None, None, None, False, "embeddings"]
