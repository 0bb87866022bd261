"""Counts as a body states them, and how contradictions among them are cut and flagged."""

from dataclasses import dataclass, field
from enum import StrEnum

from catalog.pricing import Quantities


class Flag(StrEnum):
    """What was odd about a usage object that was read all the same. Stored with the event: names are stable."""

    CACHE_READ_EXCEEDS_PROMPT = "cache_read_exceeds_prompt"
    CACHE_WRITE_EXCEEDS_PROMPT = "cache_write_exceeds_prompt"
    CACHE_WRITE_1H_EXCEEDS_CACHE_WRITE = "cache_write_1h_exceeds_cache_write"
    CACHE_WRITE_SPLIT_MISMATCH = "cache_write_split_mismatch"
    CACHE_READ_DISAGREES = "cache_read_disagrees"  # two spellings, two counts: the dialect's own was taken
    REASONING_EXCEEDS_COMPLETION = "reasoning_exceeds_completion"
    AUDIO_INPUT_EXCEEDS_PROMPT = "audio_input_exceeds_prompt"
    AUDIO_OUTPUT_EXCEEDS_COMPLETION = "audio_output_exceeds_completion"
    IMAGE_OUTPUT_EXCEEDS_COMPLETION = "image_output_exceeds_completion"
    TOTAL_MISMATCH = "total_mismatch"
    # Read against the letter of the dialect, because only so the body's own total comes out.
    REASONING_OUTSIDE_COMPLETION = "reasoning_outside_completion"
    THOUGHTS_INSIDE_CANDIDATES = "thoughts_inside_candidates"
    TOOL_USE_INSIDE_PROMPT = "tool_use_inside_prompt"
    # What a list price of this one model does not express.
    ITERATIONS_OF_ANOTHER_MODEL = "iterations_of_another_model"
    ITERATIONS_MISMATCH = "iterations_mismatch"
    COMPACTION_ADDED = "compaction_added"  # billed, but left out of the top-level counts
    NON_STANDARD_TIER = "non_standard_tier"  # served by another price list: tier, fast mode, region
    UNREAD_COUNTS = "unread_counts"  # counts that some providers charge for and no price component covers
    WEB_SEARCHES_DISAGREE = "web_searches_disagree"  # the larger was taken
    UPSTREAM_COST_UNREADABLE = "upstream_cost_unreadable"
    UPSTREAM_COST_INCOMPLETE = "upstream_cost_incomplete"  # own key, but not what the provider charged for it
    # What no usage object says: whoever watched the call declares it with the event.
    ESTIMATED = "estimated"  # counted from the size of what went through, because the upstream counted nothing
    ZERO_COMPLETION = "zero_completion"  # ended without an answer: its tokens are counted and cost the customer nothing


@dataclass
class Draft:
    """Counts in the sense of `Quantities`, as the body states them: parts may still exceed their wholes."""

    prompt: int
    completion: int
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_output: int = 0
    web_searches: int = 0
    flags: list[str] = field(default_factory=list)

    def flag(self, flag: Flag) -> None:
        """Note something odd, once."""
        if flag.value not in self.flags:
            self.flags.append(flag.value)

    def settle(self) -> Quantities:
        """Quantities whose parts fit into their wholes; what contradicts its whole is cut and flagged."""
        cache_read = self._cut(self.cache_read, self.prompt, Flag.CACHE_READ_EXCEEDS_PROMPT)
        # A write count may repeat the prefix that was read: reads are kept whole, the write gets the rest.
        not_read = self.prompt - cache_read
        cache_write = self._cut(self.cache_write, not_read, Flag.CACHE_WRITE_EXCEEDS_PROMPT)
        one_hour = self._cut(self.cache_write_1h, cache_write, Flag.CACHE_WRITE_1H_EXCEEDS_CACHE_WRITE)
        audio_input = self._cut(self.audio_input, self.prompt, Flag.AUDIO_INPUT_EXCEEDS_PROMPT)
        reasoning = self._cut(self.reasoning, self.completion, Flag.REASONING_EXCEEDS_COMPLETION)
        spoken = self.completion - reasoning
        audio_output = self._cut(self.audio_output, spoken, Flag.AUDIO_OUTPUT_EXCEEDS_COMPLETION)
        drawn = spoken - audio_output
        image_output = self._cut(self.image_output, drawn, Flag.IMAGE_OUTPUT_EXCEEDS_COMPLETION)
        return Quantities(
            prompt=self.prompt,
            completion=self.completion,
            cache_read=cache_read,
            cache_write=cache_write,
            cache_write_1h=one_hour,
            reasoning=reasoning,
            audio_input=min(audio_input, not_read - cache_write),  # cached audio is no contradiction
            audio_output=audio_output,
            image_output=image_output,
            web_searches=self.web_searches,
        )

    def _cut(self, part: int, whole: int, flag: Flag) -> int:
        if part > whole:
            self.flag(flag)
        return min(part, whole)
