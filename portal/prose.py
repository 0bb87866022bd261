"""Somebody else's description as HTML: paragraphs, code and links, and nothing else of what it may hold.

Descriptions come from an upstream's listing, in a kind of Markdown, and are no more trusted than a stranger's text: every
character is escaped first. A link is made only to an http(s) address with a plain host name, or to a page of our own for
a model that we know; every other link, the upstream's own relative ones among them, becomes its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing.formatting import one_line

#: Longer than any real one by far; what follows is cut off.
MAX_CHARS = 10_000
_MAX_URL_CHARS = 2000

_TOKEN = re.compile(
    r"`(?P<code>[^`\n]{1,500})`"
    r"|\[(?P<label>[^\[\]\n]{1,300})\]\((?P<target>[^()\s]{1,2000})\)"
    r"|(?P<bare>https?://[^\s<>\"'`()\[\]{}|\\^]{1,2000})",
)
_PARAGRAPH = re.compile(r"\n\s*\n|\r\n\s*\r\n")
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
_URL_CHARS = re.compile(r"[A-Za-z0-9\-._~:/?#@!$&*+,;=%]+")
#: `/openai/gpt-5`, `openai/gpt-5` and `/models/openai/gpt-5` all mean a model in descriptions.
_MODEL_PATH = re.compile(r"/?(?:models/)?(?P<id>~?[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._:-]*)")
#: What ends a sentence rather than an address.
_TRAILING = ".,;:!?*…"


def mentioned_model_ids(text: str) -> set[str]:
    """The ids that relative links of a description may mean; whether there are such models is not known here."""
    targets = (match["target"] for match in _TOKEN.finditer(text[:MAX_CHARS]) if match["target"])
    return {model_id for target in targets if (model_id := _model_id(target)) is not None}


def prose(text: str, *, model_url: Callable[[str], str | None]) -> SafeString:
    """The description as safe HTML. `model_url` gives the address of our page for a model's id, None without one."""
    shown = text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + "…"
    paragraphs = (paragraph for paragraph in _PARAGRAPH.split(shown) if paragraph.strip())
    return format_html_join("\n", "<p>{}</p>", ((_inline(paragraph, model_url),) for paragraph in paragraphs))


def _inline(paragraph: str, model_url: Callable[[str], str | None]) -> SafeString:
    # Line breaks, control characters and marks that turn the reading direction around go before anything is read.
    pieces = _pieces(one_line(paragraph), model_url)
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def _pieces(text: str, model_url: Callable[[str], str | None]) -> Iterator[str]:
    """Plain text and ready markup in turn; plain text is a str that is still to be escaped."""
    at = 0
    for match in _TOKEN.finditer(text):
        yield text[at : match.start()]
        at = match.end()
        if match["code"]:
            yield format_html("<code>{}</code>", match["code"])
        elif match["bare"]:
            url = match["bare"].rstrip(_TRAILING)
            yield _external(url, url)
            yield match["bare"][len(url) :]
        else:
            yield _link(match["label"], match["target"], model_url)
    yield text[at:]


def _link(label: str, target: str, model_url: Callable[[str], str | None]) -> str:
    model_id = _model_id(target)
    own = model_url(model_id) if model_id is not None else None
    if own is not None:
        return format_html('<a href="{}">{}</a>', own, label)
    return _external(label, target)


def _external(label: str, url: str) -> str:
    if not _is_web_address(url):
        return label
    return format_html('<a href="{}" rel="nofollow noopener noreferrer external">{}</a>', url, label)


def _is_web_address(url: str) -> bool:
    """Whether it is http(s) with a plain host name: no user name that imitates one, no other scheme, no odd character."""
    if len(url) > _MAX_URL_CHARS or not _URL_CHARS.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and "@" not in parts.netloc and bool(_HOST.fullmatch(host or ""))


def _model_id(target: str) -> str | None:
    match = _MODEL_PATH.fullmatch(target)
    return match["id"] if match else None
