"""What an invoice says, complete and frozen: the PDF, the mail and the tax invoice are made of this and of nothing else.

The document is stored with the invoice as JSON. A customer's name, a price or a rate may change the next day; what was
issued still reads the same. The constructor is the last check before paper: a document that does not add up cannot exist.
"""

from .checks import LOCALES
from .exchange import DailyExchange, DollarAmounts, ExchangeEvidence
from .invoice import InvoiceDocument
from .lines import BASES, USAGE_KINDS, DocumentLine
from .parties import BankAccount, Party
from .terms import MinimumPart, ZeroRate
from .top_up import TopUpDocument

__all__ = [
    "BASES",
    "LOCALES",
    "USAGE_KINDS",
    "BankAccount",
    "DailyExchange",
    "DocumentLine",
    "DollarAmounts",
    "ExchangeEvidence",
    "InvoiceDocument",
    "MinimumPart",
    "Party",
    "TopUpDocument",
    "ZeroRate",
]
