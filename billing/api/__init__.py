"""The REST API under /billing/v1/: quotes and prices, and its description of itself."""

from billing.api.prices import Prices
from billing.api.quotes import Quotes
from billing.api.schema import ApiSchema

__all__ = ["ApiSchema", "Prices", "Quotes"]
