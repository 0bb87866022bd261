"""The REST API under /billing/v1/: usage, quotes and prices, and its description of itself."""

from billing.api.prices import Prices
from billing.api.quotes import Quotes
from billing.api.schema import ApiSchema
from billing.api.usage import Usage

__all__ = ["ApiSchema", "Prices", "Quotes", "Usage"]
