"""The exchange rates of the Export-Import Bank of Korea (한국수출입은행, `exchangeJSON`).

One call answers for one day: a list with a row a currency, `[]` where nothing was published (weekend, holiday, today before
about 11:00), nothing at all for a malformed date. Numbers are texts with commas. Refusals are rows too, told apart by
`result`. A thousand calls a day are free; keys end after two unused years.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from accounts.errors import DomainError
from billing.errors import RatesUnavailable
from catalog.adapters import fetch_listing
from catalog.money import parse_decimal

#: 매매기준율: the rate that contracts and the tax office mean.
RATE_MEMBER = "deal_bas_r"

_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_REFUSALS = {
    "2": "it does not know the kind of data we ask for",
    "3": "it does not accept EXIMBANK_AUTH_KEY",
    "4": "today's allowance of calls is used up",
}


class EximbankClient:
    """Asks for one day after the other. A `RatePublisher`."""

    name = "한국수출입은행 매매기준율"

    def __init__(self, *, auth_key: str, url: str) -> None:
        self._auth_key = auth_key
        self._url = url

    @classmethod
    def from_settings(cls) -> EximbankClient:
        """Raises RatesUnavailable without a key: it is given out by the bank, free of charge."""
        if not settings.EXIMBANK_AUTH_KEY:
            raise RatesUnavailable("set EXIMBANK_AUTH_KEY to the bank's API key, or enter rates with set_rate")
        return cls(auth_key=settings.EXIMBANK_AUTH_KEY, url=settings.EXIMBANK_URL)

    def usd_rates(self, days: Sequence[date]) -> Iterator[tuple[date, Decimal | None]]:
        """Won per USD for each day, None where nothing was published. Raises RatesUnavailable."""
        for day in days:
            yield day, _usd_rate(self._ask(day), day)

    def _ask(self, day: date) -> bytes:
        query = urlencode({"authkey": self._auth_key, "searchdate": f"{day:%Y%m%d}", "data": "AP01"})
        try:
            return fetch_listing(f"{self._url}?{query}")
        except DomainError as error:
            # The address holds the key, and some network errors repeat the address.
            reason = error.message.removeprefix("from: ").replace(self._auth_key, "***")
            raise RatesUnavailable(f"the Export-Import Bank can't be asked for {day}: {reason}") from None


def parse_grouped(text: str, *, field: str) -> Decimal:
    """A number as Korean publishers write it, "1,443.20" or "1443.2"; ValueError naming the field otherwise."""
    return parse_decimal(text.replace(",", "") if _GROUPED.fullmatch(text) else text, field=field)


def _usd_rate(body: bytes, day: date) -> Decimal | None:
    rows = _rows(body, day)
    if not rows:
        return None
    for row in rows:
        result = str(row.get("result"))
        if result != "1":
            raise RatesUnavailable(f"the Export-Import Bank refuses {day}: {_REFUSALS.get(result, f'result {result}')}")
    dollars = [row for row in rows if row.get("cur_unit") == "USD"]
    if len(dollars) != 1:
        raise RatesUnavailable(f"the Export-Import Bank's answer for {day} has {len(dollars)} rows for USD")
    text = dollars[0].get(RATE_MEMBER)
    if not isinstance(text, str):
        raise RatesUnavailable(f"the Export-Import Bank's answer for {day} has no {RATE_MEMBER} as text")
    try:
        return parse_grouped(text, field=RATE_MEMBER)
    except ValueError as error:
        raise RatesUnavailable(f"the Export-Import Bank's answer for {day} can't be read: {error}") from None


def _rows(body: bytes, day: date) -> list[dict[str, Any]]:
    if not body.strip():
        raise RatesUnavailable(f"the Export-Import Bank answered nothing for {day}")
    try:
        answer = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise RatesUnavailable(f"the Export-Import Bank's answer for {day} is not JSON") from None
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        raise RatesUnavailable(f"the Export-Import Bank's answer for {day} is not a list of rows")
    return answer
