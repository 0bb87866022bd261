"""Gemini's usageMetadata, in camelCase or snake_case."""

from .body import Body, UsageRefused
from .draft import Draft, Flag


def read_gemini(body: Body) -> Draft:
    """Thoughts are outside the candidates, tool-use prompts outside the prompt, cached tokens inside it.

    Gemini leaves out counts that are zero, so a part that is missing was none; the total proves the reading.
    """
    prompt = body.count("promptTokenCount", "prompt_token_count")
    total = body.count("totalTokenCount", "total_token_count")
    if prompt is None:
        raise (UsageRefused(body.path, "has no token counts") if total is None else body.missing("promptTokenCount"))
    candidates = body.count(
        "candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count"
    )
    thoughts = body.count("thoughtsTokenCount", "thoughts_token_count")
    tool_use = body.part("toolUsePromptTokenCount", "tool_use_prompt_token_count")
    if candidates is None and thoughts is None and total is not None and total > prompt + tool_use:
        raise body.missing("candidatesTokenCount")

    inputs, cached = _modalities(body, "prompt"), _modalities(body, "cache")
    tools, outputs = _modalities(body, "toolUsePrompt"), _modalities(body, "candidates", "response")
    draft = Draft(
        prompt=prompt + tool_use,
        completion=(candidates or 0) + (thoughts or 0),
        cache_read=body.part("cachedContentTokenCount", "cached_content_token_count"),
        reasoning=thoughts or 0,
        audio_input=max(inputs.get("audio", 0) - cached.get("audio", 0), 0) + tools.get("audio", 0),
        audio_output=outputs.get("audio", 0),
        image_output=outputs.get("image", 0),
    )
    _check_total(draft, total, tool_use, candidates or 0)
    return draft


def _check_total(draft: Draft, total: int | None, tool_use: int, candidates: int) -> None:
    """Some routes count tool use inside the prompt or thoughts inside the candidates; then the total is
    smaller.
    """
    surplus = 0 if total is None else draft.prompt + draft.completion - total
    if surplus and surplus == tool_use:
        draft.prompt -= tool_use
        draft.flag(Flag.TOOL_USE_INSIDE_PROMPT)
    elif surplus and surplus == draft.reasoning <= candidates:
        draft.completion -= draft.reasoning
        draft.flag(Flag.THOUGHTS_INSIDE_CANDIDATES)
    elif surplus:
        draft.flag(Flag.TOTAL_MISMATCH)


def _modalities(body: Body, *prefixes: str) -> dict[str, int]:
    """Tokens by modality ("text", "audio", "image", ...) of one of the `...TokensDetails` lists."""
    names: list[str] = []
    for prefix in prefixes:
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in prefix)
        names += [f"{prefix}TokensDetails", f"{prefix}TokenDetails", f"{snake}_tokens_details"]
    counts: dict[str, int] = {}
    for entry in body.objects(*names):
        modality = entry.word("modality")
        counts[modality] = counts.get(modality, 0) + entry.part("tokenCount", "token_count")
    return counts
