"""Anthropic messages: the cache counts are outside `input_tokens`, and iterations may be outside everything."""

from .body import Body, UsageRefused
from .draft import Draft, Flag
from .extras import refuse_counts_of_another_dialect


def read_messages(body: Body) -> Draft:
    """Messages: the prompt is fresh input + cache reads + cache writes; the output includes thinking."""
    draft = _counts(body)
    if not body.has("cache_read_input_tokens", "cache_creation_input_tokens"):
        inputs = body.object("input_tokens_details")
        refuse_counts_of_another_dialect(inputs, "cached_tokens", "cache_write_tokens")
    draft.reasoning = body.object("output_tokens_details").part("thinking_tokens")
    _add_iterations(body, draft)
    return draft


def _counts(body: Body) -> Draft:
    """The counts of a message or of one of its iterations; writes without a split are 5-minute ones."""
    fresh, output = body.count("input_tokens"), body.count("output_tokens")
    if fresh is None and output is None:
        raise UsageRefused(body.path, "has no token counts")
    if fresh is None:
        raise body.missing("input_tokens")
    if output is None:
        raise body.missing("output_tokens")
    split = body.object("cache_creation")
    five_minutes = split.count("ephemeral_5m_input_tokens")
    one_hour = split.count("ephemeral_1h_input_tokens")
    split_write = (five_minutes or 0) + (one_hour or 0)
    write = body.count("cache_creation_input_tokens")
    if write is None:
        write = split_write
    read = body.part("cache_read_input_tokens")
    draft = Draft(
        prompt=fresh + read + write,
        completion=output,
        cache_read=read,
        cache_write=write,
        cache_write_1h=one_hour or 0,
    )
    if (five_minutes is not None or one_hour is not None) and write != split_write:
        draft.flag(Flag.CACHE_WRITE_SPLIT_MISMATCH)
    return draft


def _add_iterations(body: Body, draft: Draft) -> None:
    """Add what the top level leaves out: compaction runs on the same model and is billed beside the answer.

    An advisor or a fallback runs on another model at another price, which one reading cannot express:
    flagged.
    """
    compactions: list[Draft] = []
    messages: list[Draft] = []
    models: set[str] = set()
    for iteration in body.objects("iterations"):
        kind = iteration.word("type")
        if kind == "compaction":
            compactions.append(_counts(iteration))
        elif kind == "message":
            messages.append(_counts(iteration))
            models.add(iteration.word("model"))
        else:
            draft.flag(Flag.ITERATIONS_OF_ANOTHER_MODEL)
    if len(models) > 1:
        draft.flag(Flag.ITERATIONS_OF_ANOTHER_MODEL)

    top_level = (draft.prompt, draft.completion)
    if messages and top_level != _sum(messages):
        if top_level == _sum(messages + compactions):
            return  # the top level holds the compaction already
        draft.flag(Flag.ITERATIONS_MISMATCH)
    if compactions:
        draft.flag(Flag.COMPACTION_ADDED)
    for compaction in compactions:
        draft.prompt += compaction.prompt
        draft.completion += compaction.completion
        draft.cache_read += compaction.cache_read
        draft.cache_write += compaction.cache_write
        draft.cache_write_1h += compaction.cache_write_1h


def _sum(parts: list[Draft]) -> tuple[int, int]:
    return sum(part.prompt for part in parts), sum(part.completion for part in parts)
