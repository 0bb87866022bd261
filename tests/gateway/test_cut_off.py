"""Connections that were cut while nobody looked: the next call is none the worse."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from gateway.calls import Admission
from gateway.models import GatewayCall
from tests.gateway.events import Metered, metered
from tests.gateway.money import NOW, account, admit, caller, request, shop
from tests.gateway.shop import new_customer
from tests.gateway.site import Site
from tests.outages import losing_wire, throw_everybody_out

CHAT = Metered("openai/gpt-5-mini", "openai/gpt-5-mini-2025-08-07", 12, 28, "0.000059")


def test_a_running_gateway_answers_the_first_call_after_its_connections_were_cut(site: Site) -> None:
    customer, key = new_customer()
    body = {"model": "openai/gpt-5-mini", "messages": [{"role": "user", "content": "안녕하세요"}]}
    headers = {"Authorization": f"Bearer {key}"}
    answers = []
    for _ in range(3):
        answers.append(
            requests.post(f"{site.url}/v1/chat/completions", json=body, headers=headers, timeout=30).status_code
        )
        throw_everybody_out()
    assert answers == [200, 200, 200]
    assert metered(customer, count=3) == [CHAT] * 3


@pytest.mark.django_db(transaction=True)
def test_a_hold_whose_answer_was_lost_is_taken_once() -> None:
    shop()
    who = caller(limit_krw=1000)
    with losing_wire() as wire:
        [first] = admit(request(who))
        calls = [request(who), request(who)]
        wire.lose_answer_to(b"gateway_admit")
        second, third = admit(*calls, now=NOW + timedelta(milliseconds=1))
    assert all(isinstance(answer, Admission) for answer in (first, second, third))
    assert isinstance(second, Admission)
    assert (second.call_id, second.hold_krw) == (calls[0].call_id, 220)
    assert account(who).held_krw == 660
    assert GatewayCall.objects.filter(status="open").count() == 3
