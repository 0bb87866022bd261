"""Spending accounts against what they are projections of. Read it while nothing is written, as all of `check_books`."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone

from accounts.models import Customer
from billing.models import SpendingAccount
from billing.selectors.spending import recount


def spending_agrees() -> Iterator[str | None]:
    """Prepaid, owed and unbilled amounts equal a recount; every customer has an account. Free credit ends with its day, so
    it may lag until the next recount and is not compared.
    """
    ids = list(Customer.objects.order_by("pk").values_list("pk", flat=True))
    counted = recount(ids, at=timezone.now())
    accounts = SpendingAccount.objects.in_bulk(ids)
    for pk in ids:
        account = accounts.get(pk)
        if account is None:
            yield f"customer {pk} has no spending account"
            continue
        kept = (account.prepaid_krw, account.receivable_krw, account.unbilled_usd)
        found = (counted[pk].prepaid_krw, counted[pk].receivable_krw, counted[pk].unbilled_usd)
        yield None if kept == found else f"customer {pk}: prepaid, owed, unbilled are {kept}, a recount gives {found}"
