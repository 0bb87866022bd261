"""What goes to a tax-invoice provider, checked before it leaves.

A provider's refusal comes minutes later and in its own words; these are the same rules (field widths of KEC v3.0, the
sums and signs that providers and the tax office test), asked when the record is made. The document can't exist otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

#: 일반 세금계산서 and 영세율 세금계산서. The first two digits of a type are its class, the last two its kind, which an
#: amendment keeps.
TYPE_CODE, ZERO_RATED_TYPE_CODE = "0101", "0102"
TYPE_CODES = (TYPE_CODE, ZERO_RATED_TYPE_CODE)
#: 수정세금계산서, the class of a document that amends another.
AMENDING_CLASS = "02"
#: 수정사유: 착오정정, 공급가액 변동, 환입, 계약의 해제, 내국신용장 사후개설, 이중발급.
ERROR, SUPPLY_CHANGED, RETURNED, CANCELLED, LETTER_OF_CREDIT, DUPLICATE = "01", "02", "03", "04", "05", "06"
AMENDMENT_CODES = (ERROR, SUPPLY_CHANGED, RETURNED, CANCELLED, LETTER_OF_CREDIT, DUPLICATE)
#: They only take back; the tax office refuses an amount above zero under them.
TAKING_BACK = (RETURNED, CANCELLED, DUPLICATE)
PURPOSE_CODES = ("01", "02")  # 영수 (paid), 청구 (to be paid)
BUSINESS, FOREIGN = "01", "03"  # BusinessTypeCode; 02, a private person's resident number, is never accepted here
FOREIGN_REGISTRATION_NO = "9999999999999"
MAX_LINES = 99
#: Providers refuse a tax further from ten percent than this.
TAX_TOLERANCE_KRW = 1_000

#: Longest texts of the national form; `tests` compare them with the field list.
WIDTHS = {
    "name": 70,
    "ceo_name": 30,
    "address": 150,
    "business_type": 40,
    "business_class": 40,
    "email": 40,
    "email2": 40,
    "item": 100,
    "remark": 150,
}
_AMOUNT_DIGITS = 18
_QUANTITY_DIGITS = 10  # twelve with two decimals
_KEY = re.compile(r"[A-Za-z0-9_-]{1,24}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class TaxDocumentError(ValueError):
    """The document would be refused. `field` is its path, such as "buyer.name"."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxParty:
    """공급자 or 공급받는자. `registration_no` is digits only: ten, or the thirteen nines of a foreign buyer."""

    registration_no: str
    name: str
    ceo_name: str
    address: str = ""
    business_type: str = ""
    business_class: str = ""
    email: str = ""
    email2: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxLine:
    """One line. No unit price: a token's price does not fit the form's two decimals."""

    item: str
    quantity: int
    supplied_on: date
    supply_krw: int
    tax_krw: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxDocument:
    """An electronic tax invoice with all mandatory fields. Amounts are whole won; `write_date_on` is the 작성일자.

    One that amends another is of class 02 and carries why as `amendment_code`; its amounts may be negative, all of one sign.
    Which one it amends, the provider is told beside it. Raises TaxDocumentError naming the first field that a provider or
    the tax office would refuse.
    """

    type_code: str
    purpose_code: str
    write_date_on: date
    supplier: TaxParty
    buyer: TaxParty
    buyer_type_code: str
    lines: tuple[TaxLine, ...]
    supply_krw: int
    tax_krw: int
    total_krw: int
    remark: str = ""
    amendment_code: str = ""

    @property
    def is_amendment(self) -> bool:
        """Whether it amends another document."""
        return self.type_code[:2] == AMENDING_CLASS

    def __post_init__(self) -> None:
        if self.type_code not in TYPE_CODES and self.type_code not in map(amending_type, TYPE_CODES):
            raise TaxDocumentError("type_code", f"{self.type_code!r} is none of those issued here")
        if self.amendment_code not in (AMENDMENT_CODES if self.is_amendment else ("",)):
            raise TaxDocumentError("amendment_code", "an amended tax invoice and no other says why, 01 to 06")
        if self.purpose_code not in PURPOSE_CODES:
            raise TaxDocumentError("purpose_code", f"{self.purpose_code!r} is none of {', '.join(PURPOSE_CODES)}")
        _require_party(self.supplier, "supplier")
        _require_party(self.buyer, "buyer")
        self._require_identities()
        _require_text(self.remark, "remark", WIDTHS["remark"])
        self._require_lines()
        self._require_totals()

    def _require_identities(self) -> None:
        _require_digits(self.supplier.registration_no, "supplier.registration_no", 10)
        if not self.buyer.email:
            raise TaxDocumentError("buyer.email", "the buyer's e-mail address is mandatory")
        if self.buyer_type_code == BUSINESS:
            _require_digits(self.buyer.registration_no, "buyer.registration_no", 10)
        elif self.buyer_type_code == FOREIGN:
            if self.buyer.registration_no != FOREIGN_REGISTRATION_NO:
                raise TaxDocumentError("buyer.registration_no", f"a foreign buyer stands as {FOREIGN_REGISTRATION_NO}")
            if not self.remark or self.remark == FOREIGN_REGISTRATION_NO:
                raise TaxDocumentError("remark", "a foreign buyer's registration or passport number belongs here")
        else:
            raise TaxDocumentError("buyer_type_code", f"{self.buyer_type_code!r} is neither {BUSINESS} nor {FOREIGN}")

    def _require_lines(self) -> None:
        if not 1 <= len(self.lines) <= MAX_LINES:
            raise TaxDocumentError("lines", f"1 to {MAX_LINES} lines fit, not {len(self.lines)}")
        for index, line in enumerate(self.lines):
            where = f"lines[{index}]"
            _require_text(line.item, f"{where}.item", WIDTHS["item"], mandatory=True)
            _require_integer(line.quantity, f"{where}.quantity", _QUANTITY_DIGITS)
            _require_won(line.supply_krw, f"{where}.supply_krw")
            _require_won(line.tax_krw, f"{where}.tax_krw")
            if line.supply_krw * line.tax_krw < 0:
                raise TaxDocumentError(f"{where}.tax_krw", "supply and tax have different signs")
            if (line.supplied_on.year, line.supplied_on.month) != (self.write_date_on.year, self.write_date_on.month):
                raise TaxDocumentError(f"{where}.supplied_on", "one document stays inside one calendar month")

    def _require_totals(self) -> None:
        for name in ("supply_krw", "tax_krw", "total_krw"):
            amount = getattr(self, name)
            _require_won(amount, name)
            if amount < 0 and not self.is_amendment:
                raise TaxDocumentError(name, "an ordinary tax invoice is never negative; that is a correction")
        if self.supply_krw * self.tax_krw < 0:
            raise TaxDocumentError("tax_krw", "supply and tax have different signs")
        if self.amendment_code in TAKING_BACK and self.supply_krw >= 0:
            raise TaxDocumentError("supply_krw", f"an amendment of code {self.amendment_code} only takes back")
        if self.supply_krw != sum(line.supply_krw for line in self.lines):
            raise TaxDocumentError("supply_krw", "the lines do not add up to the supply")
        if self.tax_krw != sum(line.tax_krw for line in self.lines):
            raise TaxDocumentError("tax_krw", "the lines do not add up to the tax")
        if self.total_krw != self.supply_krw + self.tax_krw:
            raise TaxDocumentError("total_krw", "supply and tax do not add up to the total")
        if self.type_code[2:] == ZERO_RATED_TYPE_CODE[2:]:
            if any(line.tax_krw for line in self.lines):
                raise TaxDocumentError("tax_krw", "a zero-rated tax invoice carries no tax")
        elif abs(10 * self.tax_krw - self.supply_krw) > 10 * TAX_TOLERANCE_KRW:
            raise TaxDocumentError(
                "tax_krw", f"more than {TAX_TOLERANCE_KRW:,} won away from ten percent of the supply"
            )


def amending_type(type_code: str) -> str:
    """The type of a document that amends one of that type: 0101 -> 0201."""
    return AMENDING_CLASS + type_code[2:]


def require_key(key: str) -> None:
    """Raises unless providers take it as a document key."""
    if not _KEY.fullmatch(key):
        raise TaxDocumentError("key", f"1 to 24 of A-Z a-z 0-9 _ -, not {key!r}")


def _require_party(party: TaxParty, where: str) -> None:
    for name in ("name", "ceo_name"):
        _require_text(getattr(party, name), f"{where}.{name}", WIDTHS[name], mandatory=True)
    for name in ("address", "business_type", "business_class", "email", "email2"):
        _require_text(getattr(party, name), f"{where}.{name}", WIDTHS[name])


def _require_text(text: str, field: str, width: int, *, mandatory: bool = False) -> None:
    if mandatory and not text.strip():
        raise TaxDocumentError(field, "must not be empty")
    if len(text) > width:
        raise TaxDocumentError(field, f"{width} characters fit, not {len(text)}")
    if _CONTROL.search(text):
        raise TaxDocumentError(field, "contains a control character")


def _require_digits(text: str, field: str, count: int) -> None:
    if not (len(text) == count and text.isascii() and text.isdigit()):
        raise TaxDocumentError(field, f"{count} digits expected, not {text!r}")


def _require_won(amount: object, field: str) -> None:
    _require_integer(amount, field, _AMOUNT_DIGITS)


def _require_integer(number: object, field: str, digits: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TaxDocumentError(field, f"a whole number is expected, not {number!r}")
    if abs(number) >= 10**digits:
        raise TaxDocumentError(field, f"{digits} digits fit")
