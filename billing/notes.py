"""What a credit note says, complete and frozen: its PDF and its mail are made of this and of nothing else.

It stands on the document of the invoice that it corrects: the same parties, so that the amended tax invoice and the note
name who the original named. Amounts are positive whole won that are taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from billing.documents import LOCALES, Party
from billing.dollars import credited_usd
from billing.frozen import DocumentError, later, plain_members, reader_of
from catalog.money import EXACT

#: 수정사유 of an amended tax invoice: all that the national form knows.
AMENDMENT_CODES = ("01", "02", "03", "04", "05", "06")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedLine:
    """Won of one invoice line. `billed_krw` is what it was billed at after everything taken off there, `before_krw` what
    earlier notes took; the VAT is this line's share of the note's.
    """

    position: int
    model_id: str
    model_name: str
    month: str
    billed_krw: int
    before_krw: int
    supply_krw: int
    vat_krw: int

    def __post_init__(self) -> None:
        if not 0 < self.supply_krw <= self.billed_krw - self.before_krw or self.before_krw < 0 or self.vat_krw < 0:
            raise DocumentError("lines", f"line {self.position} gives back more than it has left, or nothing")

    @property
    def total_krw(self) -> int:
        """Supply and VAT."""
        return self.supply_krw + self.vat_krw


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedDollars:
    """A note's total in dollars, on an invoice that is read in them: its share of the invoice's total in dollars.

    `before_usd` is what earlier notes came to, so that all of them never come to more than `invoice_usd`.
    """

    total_usd: Decimal
    before_usd: Decimal
    invoice_usd: Decimal

    @property
    def left_usd(self) -> Decimal:
        """The invoice's total after this note."""
        return EXACT.subtract(self.invoice_usd, EXACT.add(self.before_usd, self.total_usd))


def credited_dollars(*, before_krw: int, total_krw: int, invoice_krw: int, invoice_usd: Decimal) -> CreditedDollars:
    """The dollars of a note of `total_krw` on an invoice of `invoice_krw`, of which `before_krw` were credited before."""
    before, after = (
        credited_usd(credited_krw=krw, total_krw=invoice_krw, total_usd=invoice_usd)
        for krw in (before_krw, before_krw + total_krw)
    )
    return CreditedDollars(total_usd=EXACT.subtract(after, before), before_usd=before, invoice_usd=invoice_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoteDocument:
    """The whole content of one credit note. `invoice_*` is the invoice as issued, `before_*` what notes before this one
    took off it. `write_date_on` is the 작성일자 of the invoice's tax invoice, `tax_deadline_on` the last day for the amended
    one; None where the law names no day. Raises `DocumentError` when it does not add up.
    """

    number: str
    locale: str
    issued_on: date
    amendment_code: str
    reason: str
    seller: Party
    seller_phone: str
    buyer: Party
    invoice_number: str
    invoice_issued_on: date
    invoice_month: str
    write_date_on: date
    tax_deadline_on: date | None
    lines: tuple[CreditedLine, ...]
    supply_krw: int
    vat_krw: int
    total_krw: int
    invoice_supply_krw: int
    invoice_vat_krw: int
    invoice_total_krw: int
    before_supply_krw: int
    before_vat_krw: int
    template_version: int
    #: None on an invoice in won.
    dollars: CreditedDollars | None = later(None)  # noqa: RUF009 - a field, made once

    def __post_init__(self) -> None:
        for value, known, field in (
            (self.locale, LOCALES, "locale"),
            (self.amendment_code, AMENDMENT_CODES, "amendment_code"),
        ):
            if value not in known:
                raise DocumentError(field, f"{value!r} is none of {', '.join(known)}")
        if not self.lines or not self.reason.strip():
            raise DocumentError("lines", "a credit note has lines and a reason")
        if [line.position for line in self.lines] != sorted({line.position for line in self.lines}):
            raise DocumentError("lines", "each line of the invoice once, in order")
        if sum(line.supply_krw for line in self.lines) != self.supply_krw:
            raise DocumentError("supply_krw", "the lines do not add up to the supply")
        if sum(line.vat_krw for line in self.lines) != self.vat_krw:
            raise DocumentError("vat_krw", "the lines do not add up to the VAT")
        if self.supply_krw + self.vat_krw != self.total_krw:
            raise DocumentError("total_krw", "supply and VAT do not add up to the total")
        if self.invoice_supply_krw + self.invoice_vat_krw != self.invoice_total_krw:
            raise DocumentError("invoice_total_krw", "supply and VAT do not add up to the invoice's total")
        if min(self.left_supply_krw, self.left_vat_krw, self.before_supply_krw, self.before_vat_krw) < 0:
            raise DocumentError("supply_krw", "more is taken back than was billed")
        if self.dollars is not None:
            reckoned = credited_dollars(
                before_krw=self.before_total_krw,
                total_krw=self.total_krw,
                invoice_krw=self.invoice_total_krw,
                invoice_usd=self.dollars.invoice_usd,
            )
            if self.dollars != reckoned:
                raise DocumentError("dollars", "the won are another share of the invoice's dollars")

    @property
    def before_total_krw(self) -> int:
        """What notes before this one took off, VAT included."""
        return self.before_supply_krw + self.before_vat_krw

    @property
    def left_supply_krw(self) -> int:
        """The invoice's supply after this note."""
        return self.invoice_supply_krw - self.before_supply_krw - self.supply_krw

    @property
    def left_vat_krw(self) -> int:
        """The invoice's VAT after this note."""
        return self.invoice_vat_krw - self.before_vat_krw - self.vat_krw

    @property
    def left_total_krw(self) -> int:
        """The invoice's total after this note."""
        return self.left_supply_krw + self.left_vat_krw

    def to_json(self) -> dict[str, Any]:
        """Plain members for a JSON column: dates as text, won as integers."""
        return plain_members(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> CreditNoteDocument:
        """The document that `to_json` gave, checked again. Raises `DocumentError` naming the first wrong member."""
        document: CreditNoteDocument = _READ(raw, "document")
        return document


_READ = reader_of(
    CreditNoteDocument,
    parts={"seller": Party, "buyer": Party, "dollars": CreditedDollars},
    lists={"lines": CreditedLine},
)
