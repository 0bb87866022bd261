"""Refusals of the catalog.

InvalidListing         400  the body is no model listing; `code` is the parser's (html, truncated, duplicate_key, ...)
UnreadableListing      400  listing_unreadable   the file, address or stream can't be read
AddressRefused         422  address_refused      an address that must not be asked
ShrunkenListing        422  shrunken_listing     more than half of the models on sale would be retired
FutureListing          422  effective_in_future  prices that begin later than now
HistoryConflict        409  history_conflict     a price that was in force would be rewritten
PriceNotQuarantined    409  price_not_quarantined
PriceChangeDecided     409  price_change_decided   it waits no longer
PriceChangeOutdated    409  price_change_outdated  it was compared with a price that is no longer in force
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from accounts.errors import Conflict, DomainError, InvalidInput


class InvalidListing(InvalidInput):
    """The body is no model listing. `code` says what it is instead; nothing was changed."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class UnreadableListing(InvalidInput):
    """The listing's bytes can't be had: no such file, no answer, too large."""

    code = "listing_unreadable"


class AddressRefused(DomainError):
    """A URL that we do not ask: another scheme than https, or a host inside our own network."""

    code = "address_refused"


class ShrunkenListing(DomainError):
    """A listing that lost more than half of the models on sale; it was probably cut off upstream."""

    code = "shrunken_listing"


class FutureListing(DomainError):
    """Prices that would begin in the future."""

    code = "effective_in_future"


class HistoryConflict(Conflict):
    """The listing contradicts a price that was in force and may have been charged."""

    code = "history_conflict"


class PriceNotQuarantined(Conflict):
    """Only a quarantined price waits for somebody's decision."""

    code = "price_not_quarantined"
    title = gettext_lazy("This price was decided before")


class PriceChangeDecided(Conflict):
    """Only a change that awaits approval can be approved or rejected, once."""

    code = "price_change_decided"
    title = gettext_lazy("This price change was decided before")


class PriceChangeOutdated(Conflict):
    """Another price came into force since this change was compared with the old one."""

    code = "price_change_outdated"
    title = gettext_lazy("The price changed since")
