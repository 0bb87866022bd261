"""What a contract says beside prices: zero rating, and a monthly minimum."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from billing.frozen import DocumentError

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroRate:
    """Why there is no VAT (영세율): the article of the law, and the document that proves it, by name and SHA-256."""

    law: str
    evidence: str
    sha256: str

    def __post_init__(self) -> None:
        if not self.law.strip() or not self.evidence.strip() or not _SHA256.fullmatch(self.sha256):
            raise DocumentError("zero_rate", "an article of the law, a document and its SHA-256")


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumPart:
    """A monthly minimum: won of a whole month, and the days of this one for which they hold, both included."""

    amount_krw: int
    first_on: date
    last_on: date

    def __post_init__(self) -> None:
        if self.amount_krw <= 0 or not self.first_on <= self.last_on:
            raise DocumentError("minimums", "some won for some days")

    @property
    def days(self) -> int:
        return (self.last_on - self.first_on).days + 1
