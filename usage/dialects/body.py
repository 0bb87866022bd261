"""Taking counts, parts and words out of a usage object, with the path of whatever is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_COUNT = 10**12  # tokens of one response


class UsageRefused(ValueError):
    """A usage object that cannot be read; `field` is the path of what is wrong, `reason` says why.

    The refused value is never repeated: it may be text, and texts of requests are never stored.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Body:
    """One JSON object of a usage object. Absent and null read alike; `names` are spellings of one thing."""

    __slots__ = ("_values", "path")

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self._values = values
        self.path = path

    def raw(self, name: str) -> Any:
        """The value as it stands, or None."""
        return self._values.get(name)

    def count(self, *names: str) -> int | None:
        """The count under the first of `names` that is there; None when none is. Refuses what is no count."""
        for name in names:
            value = self._values.get(name)
            if value is not None:
                if type(value) is not int or not 0 <= value <= MAX_COUNT:
                    raise _no_count(value, f"{self.path}.{name}")
                return value
        return None

    def part(self, *names: str) -> int:
        """As `count`, for a part of a total: when the body does not mention it, there was none."""
        return self.count(*names) or 0

    def missing(self, name: str) -> UsageRefused:
        """The refusal for a count that must be there."""
        return UsageRefused(f"{self.path}.{name}", "is missing")

    def object(self, *names: str) -> "Body":
        """The object under the first of `names` that is there; an empty one when none is."""
        for name in names:
            value = self._values.get(name)
            if value is not None:
                if not isinstance(value, Mapping):
                    raise UsageRefused(f"{self.path}.{name}", "must be an object")
                return Body(value, f"{self.path}.{name}")
        return _NOTHING

    def objects(self, *names: str) -> list["Body"]:
        """The objects of the list under the first of `names` that is there; none when none is."""
        for name in names:
            value = self._values.get(name)
            if value is not None:
                return _objects(value, f"{self.path}.{name}")
        return []

    def word(self, *names: str) -> str:
        """The text under the first of `names` that holds one, in lower case; "" when none does."""
        for name in names:
            value = self._values.get(name)
            if isinstance(value, str):
                return value.lower()
        return ""

    def has(self, *names: str) -> bool:
        """Whether one of `names` is there, even as null."""
        return any(name in self._values for name in names)


def _objects(value: Any, path: str) -> list[Body]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise UsageRefused(path, "must be a list")
    entries = []
    for index, entry in enumerate(value):
        if not isinstance(entry, Mapping):
            raise UsageRefused(f"{path}[{index}]", "must be an object")
        entries.append(Body(entry, f"{path}[{index}]"))
    return entries


def _no_count(value: Any, path: str) -> UsageRefused:
    """Why a value is no count, which is a JSON integer from 0 to MAX_COUNT: no text, no 12.0, no true."""
    if type(value) is not int:
        return UsageRefused(path, "must be a whole number")
    if value < 0:
        return UsageRefused(path, "must not be negative")
    return UsageRefused(path, f"must be at most {MAX_COUNT}")


_NOTHING = Body({}, "usage")
