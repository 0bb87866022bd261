"""Finds the texts that are to be translated: in code by Babel, in templates by Django's own template reader."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import DEFAULT_KEYWORDS, extract
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("accounts", "catalog", "usage", "billing", "portal", "gateway", "config")
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}

#: A message as (context, text); of a plural the singular.
Message = tuple[str | None, str]


def messages_in(code: str) -> Iterator[Message]:
    for _line, found, _comments, context in extract("python", io.BytesIO(code.encode()), keywords=KEYWORDS):
        singular = found if isinstance(found, str) else found[0]
        yield context, singular


def messages_in_template(source: str) -> Iterator[Message]:
    # Each line is read alone, because what stands between the tags is no Python.
    for line in templatize(source).splitlines():
        yield from messages_in(line.strip())


def all_messages() -> dict[Message, str]:
    """Every message of the project with the first file that has it."""
    found: dict[Message, str] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for message in messages_in(path.read_text("utf-8")):
                found.setdefault(message, str(path.relative_to(ROOT)))
    for folder in (ROOT / "templates", *(ROOT / package / "templates" for package in PACKAGES)):
        for path in sorted((*folder.rglob("*.html"), *folder.rglob("*.txt"))):
            for message in messages_in_template(path.read_text("utf-8")):
                found.setdefault(message, str(path.relative_to(ROOT)))
    return found
