"""Who sells, who buys, and where the money goes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from billing.frozen import DocumentError

from .checks import require_member

PARTY_KINDS = ("corporation", "sole_trader", "foreign")
_REGISTRATION_NO = re.compile(r"[0-9]{10}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """공급자 or 공급받는자 as it was on the day of issue. A domestic `registration_no` is ten digits without hyphens."""

    kind: str
    registration_no: str
    name: str
    ceo_name: str
    address: str
    business_type: str
    business_class: str
    email: str

    def __post_init__(self) -> None:
        require_member(self.kind, PARTY_KINDS, "kind")
        if self.kind != "foreign" and not _REGISTRATION_NO.fullmatch(self.registration_no):
            raise DocumentError("registration_no", f"ten digits expected, not {self.registration_no!r}")
        if not self.name.strip():
            raise DocumentError("name", "a party needs a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """Where the money goes."""

    bank: str
    number: str
    holder: str
