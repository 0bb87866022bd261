"""The port to whoever turns a tax document into an electronic tax invoice (an ASP, or the embedded sandbox).

Four things can come back, and they must never be mixed up: issued; refused (nothing was issued, and trying again changes
nothing); away (nothing was issued, try later); unknown (it may have been issued: ask with `lookup`, never send again first).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from billing.adapters.tax_document import TaxDocument


class ProviderError(Exception):
    """Anything that a provider answers instead of an approval number."""


class ProviderRejected(ProviderError):
    """Refused for its content; nothing was issued. `code` is the provider's own."""

    def __init__(self, *, code: str, field: str | None, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.field = field
        self.message = message


class ProviderUnavailable(ProviderError):
    """Not reached, or answered that it can't work now; nothing was issued.

    So does a provider that amends only what it has transmitted already: the next attempt may come after that.
    """


class OutcomeUnknown(ProviderError):
    """The request went out and no answer came: it may or may not have been issued."""


class KeyInUse(ProviderError):
    """The provider already has a document under this key: most likely ours, from a call whose answer was lost."""


@dataclass(frozen=True, slots=True)
class Issued:
    """Issued by the provider. `approval_no` is the 승인번호: opaque, 24 characters."""

    approval_no: str
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the provider holds under a key."""

    key: str
    approval_no: str
    issued_at: datetime
    write_date_on: date
    buyer_registration_no: str
    supply_krw: int
    tax_krw: int
    total_krw: int
    #: Of the tax invoice that it amends (당초승인번호); empty on an ordinary one.
    original_approval_no: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether documents could be issued now, and otherwise why not."""

    is_ready: bool
    detail: str


class TaxInvoiceProvider(Protocol):
    """One provider in one environment for our one supplier. Every call may raise ProviderUnavailable."""

    def issue(self, doc: TaxDocument, *, key: str) -> Issued:
        """Issue under a key that stays the same over retries. Raises any ProviderError."""

    def issue_amendment(self, doc: TaxDocument, *, key: str, original_approval_no: str) -> Issued:
        """Issue a document that amends the one of that approval number, as `issue` does. Raises any ProviderError."""

    def lookup(self, key: str) -> Snapshot | None:
        """What is held under the key; None when nothing is. This is the truth after an unknown outcome."""

    def preflight(self) -> Health:
        """Certificate, balance, clock: whatever would make every document fail."""
