"""What billing refuses."""

from __future__ import annotations

from accounts.errors import DomainError, NotReady


class MonthNotEnded(NotReady):
    """A month is closed only after its last instant in Korea."""

    code = "month_not_ended"


class CannotBill(NotReady):
    """One customer's month can't be billed yet; `code` says which piece is missing. The customer is parked with it."""

    code = "cannot_bill"


class NoSellerProfile(CannotBill):
    code = "no_seller_profile"


class NoTaxProfile(CannotBill):
    code = "no_tax_profile"


class NoExchangeRate(CannotBill):
    code = "no_exchange_rate"


class NoMarginRule(CannotBill):
    code = "no_margin_rule"


class QuarantinedUsage(CannotBill):
    code = "quarantined_usage"


class UnknownModel(DomainError):
    code = "unknown_model"
    http_status = 404


class NoPrice(DomainError):
    """The model has no price of its own at that time; `code` says why: variable_price, quarantined_price, unpriced."""

    code = "unpriced"
