"""What usage objects say beside tokens, and what they say in the wrong language."""

from .body import Body, UsageRefused
from .draft import Draft, Flag

STANDARD_TIERS = frozenset({"", "standard", "default", "auto", "on_demand"})
_UNREAD_COUNTS = ("citation_tokens", "num_search_queries", "num_sources_used", "prompt_audio_seconds")


def web_searches(body: Body, draft: Draft) -> int:
    """Searches that were executed. The places that may say so repeat one another: never a sum, never tool
    calls.
    """
    stated = (
        body.object("server_tool_use_details").count("web_search_requests"),
        body.object("server_tool_use").count("web_search_requests"),
        body.object("tool_usage").object("web_search").count("num_requests"),
    )
    counts = {count for count in stated if count is not None}
    if len(counts) > 1:
        draft.flag(Flag.WEB_SEARCHES_DISAGREE)
    return max(counts, default=0)


def note_price_list(body: Body, draft: Draft) -> None:
    """Flag what a provider charges by another list than the model's: tier, traffic type, fast mode, US
    region.
    """
    if (
        body.word("service_tier", "serviceTier") not in STANDARD_TIERS
        or body.word("traffic_type", "trafficType") not in STANDARD_TIERS
        or body.word("speed") not in STANDARD_TIERS
        or body.word("inference_geo") == "us"
    ):
        draft.flag(Flag.NON_STANDARD_TIER)


def note_unread_counts(body: Body, draft: Draft) -> None:
    """Flag counts that some providers charge for and that no price component covers."""
    if any(body.raw(name) for name in _UNREAD_COUNTS):
        draft.flag(Flag.UNREAD_COUNTS)


def refuse_counts_of_another_dialect(body: Body, *names: str) -> None:
    """Refuse cache counts that are stated only in another dialect's spelling.

    There they are outside the input count where they are inside here, or the other way round: reading past
    them would lose most of the bill or double it, and the declared dialect must be wrong.
    """
    for name in names:
        if body.part(name):
            raise UsageRefused(f"{body.path}.{name}", "belongs to another dialect than the declared one")
