"""What a mail says of a prepayment that runs low."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from billing.frozen import object_reader, optional, plain_members, read_integer, readers_of

from .checks import LOCALES, require_member
from .parties import BankAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpDocument:
    """What a mail says of a prepayment that runs low: won, whole; `amount_krw` is asked for, None where only told."""

    locale: str
    requested_on: date
    buyer_name: str
    seller_name: str
    seller_email: str
    seller_phone: str
    bank: BankAccount
    deposit_code: str
    threshold_krw: int
    prepaid_krw: int
    unbilled_krw: int
    amount_krw: int | None

    def __post_init__(self) -> None:
        require_member(self.locale, LOCALES, "locale")

    @property
    def available_krw(self) -> int:
        """What is left when the usage not yet invoiced is taken off; may be negative."""
        return self.prepaid_krw - self.unbilled_krw

    def to_json(self) -> dict[str, Any]:
        """As `InvoiceDocument.to_json`."""
        plain = plain_members(self)
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TopUpDocument:
        """As `InvoiceDocument.from_json`."""
        document: TopUpDocument = _TOP_UP(raw, "document")
        return document


_TOP_UP = object_reader(
    TopUpDocument,
    readers_of(
        TopUpDocument, bank=object_reader(BankAccount, readers_of(BankAccount)), amount_krw=optional(read_integer)
    ),
)
