"""One answer: what it counts, what it says, and its usage object in every shape."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from catalog.money import decimal_text
from catalog.pricing import Quantities

from .asks import Ask

IMAGE_TOKENS = 272
_WORDS = (
    "정산",
    "은",
    " one",
    " token",
    " after",
    " another",
    ",",
    " 하나씩",
    " 센다",
    ".",
    " ",
    "so",
    " it",
    " adds",
    " up",
    ". ",
)
_PLENTY = "".join(_WORDS) * 64
_PLENTY_TOKENS = len(_WORDS) * 64
_OFFSETS = [len("".join((_WORDS * 64)[:count])) for count in range(_PLENTY_TOKENS + 1)]


@dataclass(slots=True)
class Answer:
    """What is answered to an ask. Counts are of the whole answer; `generated` is how far it has come."""

    ask: Ask
    is_openrouter: bool
    id: str
    created: int
    model: str
    cost_usd: Decimal = Decimal(0)
    generated: int = 0

    @property
    def completion(self) -> int:
        """All output tokens, of all `n` answers."""
        if self.ask.route == "embeddings":
            return 0
        if self.ask.route == "images/generations":
            return IMAGE_TOKENS * self.ask.n
        return self.ask.completion_tokens * self.ask.n

    @property
    def finish_reason(self) -> str | None:
        """OpenAI's word for why it ended."""
        if self.ask.knobs.empty:
            return None
        return "length" if self.ask.is_limited else "stop"

    def quantities(self, completion: int) -> Quantities:
        """What is charged when so many tokens were generated."""
        knobs, prompt = self.ask.knobs, self.ask.prompt_tokens
        read = min(knobs.cached, prompt)
        return Quantities(
            prompt=prompt,
            completion=completion,
            cache_read=read,
            cache_write=min(knobs.cache_write, prompt - read),
            reasoning=min(knobs.reasoning, completion),
            image_output=completion if self.ask.route == "images/generations" else 0,
        )


def text_of(first: int, last: int) -> str:
    """The text of tokens `first` (inclusive) to `last` (exclusive). It needs no escaping in JSON."""
    if last <= _PLENTY_TOKENS:
        return _PLENTY[_OFFSETS[first] : _OFFSETS[last]]
    return "".join(_WORDS[number % len(_WORDS)] for number in range(first, last))


def usage_json(answer: Answer, *, completion: int | None = None) -> str:
    """The usage object of the route, in the upstream's own shape; `completion` for one that is provisional."""
    counts = answer.quantities(answer.completion if completion is None else completion)
    route = answer.ask.route
    if route == "messages":
        return _messages(answer, counts)
    if route == "responses" or (not answer.is_openrouter and route == "images/generations"):
        return _inputs_and_outputs(answer, counts)
    if route == "audio/transcriptions":
        return _transcription(answer, counts)
    return _chat(answer, counts)


def _chat(answer: Answer, counts: Quantities) -> str:
    totals = (
        f'"prompt_tokens":{counts.prompt},"completion_tokens":{counts.completion},'
        f'"total_tokens":{counts.prompt + counts.completion}'
    )
    if answer.ask.route == "embeddings":
        totals = f'"prompt_tokens":{counts.prompt},"total_tokens":{counts.prompt}'
    details = (
        f'"prompt_tokens_details":{{"cached_tokens":{counts.cache_read},'
        f'"cache_write_tokens":{counts.cache_write},"audio_tokens":0}},'
        f'"completion_tokens_details":{{"reasoning_tokens":{counts.reasoning},'
        f'"audio_tokens":0,"image_tokens":{counts.image_output}}}'
    )
    if answer.ask.route == "embeddings":
        return f"{{{totals}{_cost(answer)}}}"
    return f"{{{totals},{details}{_cost(answer)}}}"


def _inputs_and_outputs(answer: Answer, counts: Quantities) -> str:
    if answer.ask.route == "images/generations":
        inputs = f'"input_tokens_details":{{"text_tokens":{counts.prompt},"image_tokens":0}}'
        outputs = f'"output_tokens_details":{{"image_tokens":{counts.completion},"text_tokens":0}}'
    else:
        inputs = (
            f'"input_tokens_details":{{"cached_tokens":{counts.cache_read},"cache_write_tokens":{counts.cache_write}}}'
        )
        outputs = f'"output_tokens_details":{{"reasoning_tokens":{counts.reasoning}}}'
    return (
        f'{{"input_tokens":{counts.prompt},{inputs},"output_tokens":{counts.completion},{outputs},'
        f'"total_tokens":{counts.prompt + counts.completion}{_cost(answer, "input", "output")}}}'
    )


def _messages(answer: Answer, counts: Quantities) -> str:
    """Anthropic's: what was read from and written to the cache stands outside `input_tokens`."""
    fresh = counts.prompt - counts.cache_read - counts.cache_write
    return (
        f'{{"input_tokens":{fresh},"cache_creation_input_tokens":{counts.cache_write},'
        f'"cache_read_input_tokens":{counts.cache_read},'
        f'"cache_creation":{{"ephemeral_5m_input_tokens":{counts.cache_write},"ephemeral_1h_input_tokens":0}},'
        f'"output_tokens":{counts.completion},"output_tokens_details":{{"thinking_tokens":{counts.reasoning}}},'
        f'"server_tool_use":null,"service_tier":"standard","inference_geo":"not_available"{_cost(answer)}}}'
    )


def _transcription(answer: Answer, counts: Quantities) -> str:
    seconds = f"{Decimal(answer.ask.audio_bytes) / 32000:.1f}"
    if answer.is_openrouter:
        return (
            f'{{"seconds":{seconds},"input_tokens":{counts.prompt},"output_tokens":{counts.completion},'
            f'"total_tokens":{counts.prompt + counts.completion},"cost":{decimal_text(answer.cost_usd)}}}'
        )
    if "whisper" in answer.model:
        return f'{{"type":"duration","seconds":{seconds}}}'
    return (
        f'{{"type":"tokens","input_tokens":{counts.prompt},"input_token_details":{{"text_tokens":0,'
        f'"audio_tokens":{counts.prompt}}},"output_tokens":{counts.completion},'
        f'"total_tokens":{counts.prompt + counts.completion}}}'
    )


def _cost(answer: Answer, inputs: str = "prompt", outputs: str = "completions") -> str:
    """OpenRouter's part of a usage object; which share is the prompt's is not told apart here."""
    if not answer.is_openrouter:
        return ""
    cost = decimal_text(answer.cost_usd)
    return (
        f',"cost":{cost},"is_byok":false,"cost_details":{{"upstream_inference_cost":{cost},'
        f'"upstream_inference_{inputs}_cost":{cost},"upstream_inference_{outputs}_cost":0}}'
    )
