"""Standard logging objects as LiteLLM 1.106.2 posted them in a trial run, written down anew with canaries in their texts.

The trial: a completion, a stream, OpenRouter, Anthropic with both cache writes, an embedding, the responses API, a failure
and an answer from the proxy's own cache.
"""

from __future__ import annotations

from typing import Any

CANARY = "canary-7f3a"
#: 5 October 2026, noon in Korea.
STARTED = 1791169200.25


def call(call_id: str = "chatcmpl-0001", **changes: Any) -> dict[str, Any]:
    """A completion of `hanbit`, who is named by the team's alias; 100 prompt tokens, 20 of them cached, 3 answered."""
    metadata: dict[str, Any] = {
        "user_api_key_hash": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "user_api_key_alias": "desk",
        "user_api_key_spend": None,
        "user_api_key_team_id": "t1",
        "user_api_key_org_id": None,
        "user_api_key_user_id": None,
        "user_api_key_team_alias": "hanbit",
        "user_api_key_end_user_id": None,
        "user_api_key_auth_metadata": None,
        "spend_logs_metadata": None,
        "requester_ip_address": None,
        "requester_metadata": {"note": CANARY},
        "requester_custom_headers": None,
        "applied_guardrails": [],
        "vector_store_request_metadata": [{"query": CANARY}],
        "usage_object": usage(),
    }
    metadata |= changes.pop("metadata", {})
    body: dict[str, Any] = {
        "id": call_id,
        "litellm_call_id": "dab069ff-fcc6-4a0f-8336-62717500bdd2",
        "trace_id": "0c4399ab-b960-4562-ab29-b7d576e6d640",
        "call_type": "acompletion",
        "cache_hit": None,
        "stream": None,
        "status": "success",
        "status_fields": {"llm_api_status": "success", "guardrail_status": "not_run"},
        "custom_llm_provider": "anthropic",
        "saved_cache_cost": 0.0,
        "startTime": STARTED,
        "endTime": STARTED + 0.42,
        "completionStartTime": STARTED + 0.42,
        "response_time": 0.42,
        "model": "claude-sonnet-4.5",
        "metadata": metadata,
        "cache_key": None,
        "response_cost": 987.654,
        "total_tokens": 103,
        "prompt_tokens": 100,
        "completion_tokens": 3,
        "request_tags": [CANARY],
        "end_user": None,
        "api_base": "http://127.0.0.1/v1",
        "model_group": "claude",
        "model_id": "",
        "messages": [{"role": "user", "content": f"{CANARY} \N{HANGUL SYLLABLE GA}\n" * 3}],
        "response": {"choices": [{"message": {"role": "assistant", "content": CANARY}}], "usage": {"prompt_tokens": 1}},
        "model_parameters": {"stop": [CANARY]},
        "hidden_params": {"additional_headers": {"x-note": CANARY}, "usage_object": None},
        "model_map_information": {"model_map_key": "claude", "model_map_value": None},
        "error_str": None,
        "error_information": {"error_message": CANARY, "traceback": CANARY},
        "guardrail_information": None,
    }
    return body | changes


def usage(**changes: Any) -> dict[str, Any]:
    """LiteLLM's usage object of `call`."""
    return {
        "completion_tokens": 3,
        "prompt_tokens": 100,
        "total_tokens": 103,
        "completion_tokens_details": {"accepted_prediction_tokens": None, "audio_tokens": None, "reasoning_tokens": 1},
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 20, "text_tokens": None},
    } | changes


def anthropic_usage() -> dict[str, Any]:
    """100 fresh, 40 read, 10 written tokens, 6 of those for an hour; 7 answered."""
    written = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}
    return {
        "completion_tokens": 7,
        "prompt_tokens": 150,
        "total_tokens": 157,
        "completion_tokens_details": {"reasoning_tokens": 0, "text_tokens": 7},
        "prompt_tokens_details": {
            "audio_tokens": None,
            "cache_write_tokens": 10,
            "cached_tokens": 40,
            "text_tokens": 100,
            "cache_creation_tokens": 10,
            "cache_creation_token_details": written,
        },
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 40,
        "iterations": None,
        "inference_geo": None,
        "speed": None,
        "service_tier": None,
    }
