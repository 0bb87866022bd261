"""OpenAI's two shapes: chat completions (with what its imitators add) and responses."""

from .body import Body, UsageRefused
from .draft import Draft, Flag
from .extras import refuse_counts_of_another_dialect


def read_chat(body: Body) -> Draft:
    """Chat completions and embeddings: cache counts and reasoning are inside; details may be absent or null."""
    prompt, completion = _totals(body, "prompt_tokens", "completion_tokens")
    inputs = body.object("prompt_tokens_details")
    stated = (
        inputs.count("cached_tokens"),
        body.count("prompt_cache_hit_tokens"),  # DeepSeek
        body.count("cached_tokens"),  # Moonshot
        body.count("num_cached_tokens"),  # Mistral
    )
    cache_reads = [count for count in stated if count is not None]
    return _read(body, prompt, completion, cache_reads, inputs, body.object("completion_tokens_details"))


def read_responses(body: Body) -> Draft:
    """Responses, and the other OpenAI endpoints that say input and output: same inclusions as chat."""
    prompt, completion = _totals(body, "input_tokens", "output_tokens")
    inputs = body.object("input_tokens_details", "input_token_details")
    outputs = body.object("output_tokens_details", "output_token_details")
    cached = inputs.count("cached_tokens")
    return _read(body, prompt, completion, [] if cached is None else [cached], inputs, outputs)


def _read(body: Body, prompt: int, completion: int, cache_reads: list[int], inputs: Body, outputs: Body) -> Draft:
    """What both shapes share once their totals and details are found."""
    cache_write = inputs.count("cache_write_tokens", "cache_creation_tokens")
    one_hour = body.object("cache_creation").part("ephemeral_1h_input_tokens")
    if not cache_reads and cache_write is None:
        refuse_counts_of_another_dialect(body, "cache_read_input_tokens", "cache_creation_input_tokens")
    cached_audio = inputs.object("cached_tokens_details").part("audio_tokens")
    draft = Draft(
        prompt=prompt,
        completion=completion,
        cache_read=cache_reads[0] if cache_reads else 0,
        cache_write=cache_write or 0,
        cache_write_1h=one_hour,
        reasoning=outputs.part("reasoning_tokens"),
        audio_input=max(inputs.part("audio_tokens") - cached_audio, 0),
        audio_output=outputs.part("audio_tokens"),
        image_output=outputs.part("image_tokens"),
    )
    if len(set(cache_reads)) > 1:
        draft.flag(Flag.CACHE_READ_DISAGREES)
    _check_total(draft, body.count("total_tokens"))
    return draft


def _check_total(draft: Draft, total: int | None) -> None:
    surplus = 0 if total is None else total - draft.prompt - draft.completion
    if surplus and surplus == draft.reasoning:  # xAI counts reasoning outside, and its total proves it
        draft.completion += draft.reasoning
        draft.flag(Flag.REASONING_OUTSIDE_COMPLETION)
    elif surplus:
        draft.flag(Flag.TOTAL_MISMATCH)


def _totals(body: Body, prompt_name: str, completion_name: str) -> tuple[int, int]:
    """Both totals. The output may be missing only where the body's total proves that there was none."""
    prompt, completion = body.count(prompt_name), body.count(completion_name)
    if prompt is None and completion is None:
        in_seconds = body.has("seconds", "duration") and not body.has("total_tokens")
        raise UsageRefused(body.path, "counts seconds, not tokens" if in_seconds else "has no token counts")
    if prompt is None:
        raise body.missing(prompt_name)
    if completion is None and body.count("total_tokens") != prompt:
        raise body.missing(completion_name)
    return prompt, completion or 0  # embeddings have input only
