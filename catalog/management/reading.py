"""Reading the files that catalog commands are given."""

from __future__ import annotations

from pathlib import Path

from catalog.adapters import MAX_LISTING_BYTES
from catalog.errors import UnreadableListing


def read_file(path: Path, *, field: str) -> bytes:
    """The file's bytes, at most 64 MB; UnreadableListing naming the field otherwise."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_LISTING_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableListing(f"{field}: {path} can't be read: {reason}", field=field) from None
    return require_size(body, field=field)


def require_size(body: bytes, *, field: str) -> bytes:
    """The body, if it has at most 64 MB."""
    if len(body) > MAX_LISTING_BYTES:
        raise UnreadableListing(f"{field}: more than {MAX_LISTING_BYTES >> 20} MB", field=field)
    return body
