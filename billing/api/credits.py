"""`/credits` as OpenRouter's clients read it: what was used ever, and what may still be used, in USD."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from django.http import HttpRequest, HttpResponseBase

from billing.models import SpendingAccount
from billing.selectors.spending import available_krw
from catalog.api.answers import read_only
from catalog.money import ZERO, round_down
from usage.api.openrouter import answer, calling_customer, plain_number
from usage.selectors.groups import UsageScope, scope_total

#: Decimals of what is left: enough for any call, and never more than there is.
_DECIMALS = 6


@read_only
def credits_of_customer(request: HttpRequest) -> HttpResponseBase:
    """`total_usage` is all usage ever at list price. Clients take it from `total_credits` to see what is left: what the
    prepaid balance, free credit and credit limit still pay for at today's rate and the customer's general margin. Of one
    that pays afterwards without a limit nothing was bought ahead and nothing is left: both are the same.
    """
    customer = calling_customer(request)
    used = scope_total(customer, UsageScope()).cost_usd
    account = SpendingAccount.objects.filter(customer=customer).first()
    left = ZERO if account is None else _left_usd(account)
    return answer(request, {"total_credits": plain_number(used + left), "total_usage": plain_number(used)})


def _left_usd(account: SpendingAccount) -> Decimal:
    left_krw = available_krw(account)
    if left_krw is None or left_krw <= 0 or account.factor_krw_per_usd is None:
        return ZERO
    return round_down(Fraction(left_krw) / Fraction(account.factor_krw_per_usd), decimals=_DECIMALS)
