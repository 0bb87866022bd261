"""Reading the files and names that catalog commands are given."""

from __future__ import annotations

from pathlib import Path

from accounts.errors import InvalidInput
from catalog.adapters import MAX_LISTING_BYTES
from catalog.errors import UnreadableListing
from catalog.models import Model
from catalog.selectors import find_model


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


def named_model(name: str) -> Model:
    """The model that a name on the command line means; InvalidInput otherwise."""
    model = find_model(name)
    if model is None:
        raise InvalidInput(f"there is no model {name[:100]!r}", field="model")
    return model


def split_names(text: str | None) -> list[str] | None:
    """A comma list; None where the option was not given, an empty list where it was given empty."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
