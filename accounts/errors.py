"""Business refusals, one tree for the whole product.

    DomainError                 422  anything the rules refuse; never a 5xx
      InvalidInput              400  a value that can't be read; `field` names it
      NotFound                  404  absent, or somebody else's: the caller can't tell which
      Conflict                  409  the same id or state was used for something else
      NotReady                  409  a thing that must come first has not happened yet

Subclasses live in each app's own `errors.py` and set `code`, the stable machine-readable name.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy


class DomainError(Exception):
    """A refusal that a person or a machine can act on.

    `message` is one English sentence for logs and APIs, `field` the offending input's path (or None), `data` JSON-ready
    details. `title` is its kind in the language of the page that shows it. Edges turn it into problem+json, an `error`
    object of a command, or a form message.
    """

    code = "refused"
    title = gettext_lazy("This was refused")
    http_status = 422

    def __init__(self, message: str, *, field: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.data = data

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON: code, message, and field and data where there are any."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field is not None:
            body["field"] = self.field
        if self.data:
            body["data"] = self.data
        return body


class InvalidInput(DomainError):
    """A value that can't be read as what it should be."""

    code = "invalid_input"
    title = gettext_lazy("A value is not right")
    http_status = 400


class NotFound(DomainError):
    """Absent or not the caller's own; the two are never told apart."""

    code = "not_found"
    title = gettext_lazy("There is no such thing")
    http_status = 404


class Conflict(DomainError):
    """The id or state is already taken by something else."""

    code = "conflict"
    title = gettext_lazy("This does not fit what is there already")
    http_status = 409


class NotReady(DomainError):
    """Something that must come first is missing."""

    code = "not_ready"
    title = gettext_lazy("Something must come first")
    http_status = 409


class DatabaseNotMigrated(NotReady):
    """The database is older than the code, or empty."""

    code = "database_not_migrated"


class DatabaseUnavailable(NotReady):
    """The server can't be reached, or has no room left to work."""

    code = "database_unavailable"
    http_status = 503
