"""What a depositor's name says: the codes that our documents ask for as 입금자명."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from accounts.errors import NotFound
from billing.models import Invoice, TopUpRequest

#: JS, year and month, ordinal: `billing.services.issuing.deposit_code`. JT, ordinal: a request for a top-up.
_INVOICE_CODE = re.compile(r"JS([0-9]{4})([0-9]{4,})")
_TOP_UP_CODE = re.compile(r"JT([0-9]{6,8})")
_ORDINAL_DIGITS = 4


@dataclass(frozen=True)
class Named:
    """What a depositor's name names: issued invoices and requests for a top-up."""

    invoices: tuple[Invoice, ...]
    top_ups: tuple[TopUpRequest, ...]


def named_in(depositor_name: str) -> Named:
    """The invoices and top-up requests whose codes stand in the text, whatever spaces, case or width they are typed in."""
    text = re.sub(r"[^A-Z0-9]", " ", unicodedata.normalize("NFKC", depositor_name).upper())
    joined = text.replace(" ", "")
    numbers = {number for source in (joined, text) for number in _numbers(source)}
    invoices = Invoice.objects.filter(number__in=numbers).exclude(status=Invoice.Status.VOID)
    codes = {f"JT{digits}" for source in (joined, text) for digits in _TOP_UP_CODE.findall(source)}
    return Named(
        invoices=tuple(invoices.select_related("customer").order_by("number")),
        top_ups=tuple(TopUpRequest.objects.filter(deposit_code__in=codes).select_related("customer")),
    )


def invoice_numbered(number: str) -> Invoice:
    """The invoice which somebody says that money is for; NotFound without one of that number."""
    found = Invoice.objects.filter(number=number.strip()).select_related("customer").first()
    if found is None:
        raise NotFound(f"there is no invoice {number}", field="invoice")
    return found


def _numbers(text: str) -> Iterator[str]:
    """Invoice numbers that codes in the text may mean. Digits behind a code may belong to something else."""
    for month, ordinal in _INVOICE_CODE.findall(text):
        for digits in {ordinal, ordinal[:_ORDINAL_DIGITS]}:
            yield f"INV-20{month}-{digits}"
