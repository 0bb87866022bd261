"""Terms of a contract as commands take and print them: margins, discounts, monthly minimums, evidence for zero-rated VAT,
promotional credit.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import Customer
from billing.formatting import percent_text
from billing.models import Discount, MarginRule, MonthlyMinimum, PromotionalCredit, ZeroRating
from billing.selectors.terms import billed_before
from catalog.money import decimal_text


def add_term_arguments(parser: ArgumentParser, *, first: str, end: str) -> None:
    """What every new term needs: whose it is, its days, and why; `first` and `end` say which days these are."""
    parser.add_argument("customer", metavar="SLUG", help="the customer's slug")
    parser.add_argument("--from", dest="first_on", required=True, metavar="DATE", help=f"YYYY-MM-DD, {first}")
    parser.add_argument("--to", dest="end_on", metavar="DATE", help=f"YYYY-MM-DD, {end}; otherwise until it is ended")
    parser.add_argument("--reason", required=True, help="why; the audit trail keeps it")


def add_end_arguments(parser: ArgumentParser, *, end: str) -> None:
    """What ending a term needs: which one, from when, and why."""
    parser.add_argument("term", type=int, metavar="ID", help="as contract_terms prints it")
    parser.add_argument("--to", dest="end_on", required=True, metavar="DATE", help=f"YYYY-MM-DD, {end}")
    parser.add_argument("--reason", required=True, help="why; the audit trail keeps it")


def tell_billed_before(
    tell: Callable[[str], None], customer: Customer, *, first_on: date, last_on: date | None
) -> None:
    """Say which invoices a new term of those days comes too late for."""
    for invoice in billed_before(customer, first_on=first_on, last_on=last_on):
        tell(
            f"{invoice.number} of {invoice.month:%Y-%m} was issued before and stays as it is: "
            "if this is to hold for it, void it and issue it anew, or credit the difference"
        )


def tell_late_term(
    tell: Callable[[str], None], customer: Customer, row: Discount | MarginRule | MonthlyMinimum | ZeroRating
) -> None:
    """The same of a term that holds before another day."""
    last_on = None if row.effective_to is None else row.effective_to - timedelta(days=1)
    tell_billed_before(tell, customer, first_on=row.effective_from, last_on=last_on)


def margin_dict(row: MarginRule) -> dict[str, Any]:
    """A customer's own margin rule as JSON; the margin is decimal text."""
    return {
        "id": row.pk,
        "margin": decimal_text(row.margin),
        "basis": row.basis,
        "provider": row.provider.slug if row.provider else None,
        "family": row.family or None,
        "model": row.model.model_id if row.model else None,
        "effective_from": row.effective_from.isoformat(),
        "effective_to": row.effective_to.isoformat() if row.effective_to else None,
    }


def credit_dict(row: PromotionalCredit) -> dict[str, Any]:
    """Promotional credit as JSON, with what is left of it."""
    return {
        "id": row.pk,
        "name": row.name,
        "amount_krw": row.amount_krw,
        "remaining_krw": row.remaining_krw,
        "models": row.models_covered,
        "priority": row.priority,
        "valid_from": row.valid_from.isoformat(),
        "expires_on": row.expires_on.isoformat(),
    }


def margin_line(said: dict[str, Any], customer: str) -> str:
    """A margin rule's dict in one line."""
    about = said["provider"] or said["family"] or said["model"] or "every model"
    return f"margin {said['id']}: {customer}, {said['margin']} on {said['basis']}, {about}, {_days_text(said)}"


def credit_line(said: dict[str, Any], customer: str) -> str:
    """The dict of promotional credit in one line."""
    return (
        f"credit {said['id']}: {customer}, {said['name']}, {said['remaining_krw']:,} of {said['amount_krw']:,} won left, "
        f"usage of {said['valid_from']} to {said['expires_on']}, {', '.join(said['models'] or ['every model'])}"
    )


def discount_dict(row: Discount) -> dict[str, Any]:
    """A discount as JSON; the share is decimal text."""
    return {
        "id": row.pk,
        "customer": row.customer.slug,
        "name": row.name,
        "share": None if row.share is None else decimal_text(row.share),
        "amount_krw": row.amount_krw,
        "provider": row.provider.slug if row.provider else None,
        "models": row.models_covered,
        **_days_dict(row),
    }


def minimum_dict(row: MonthlyMinimum) -> dict[str, Any]:
    """A monthly minimum as JSON."""
    return {
        "id": row.pk,
        "customer": row.customer.slug,
        "amount_krw": row.amount_krw,
        "applies_without_usage": row.applies_without_usage,
        **_days_dict(row),
    }


def zero_rating_dict(row: ZeroRating) -> dict[str, Any]:
    """Evidence for zero-rated VAT as JSON."""
    return {
        "id": row.pk,
        "customer": row.customer.slug,
        "article": row.article,
        "clause": row.clause,
        "reference": row.reference,
        "sha256": row.sha256,
        "accepted_by": row.accepted_by,
        **_days_dict(row),
    }


def discount_line(said: dict[str, Any]) -> str:
    """A discount's dict in one line."""
    share = said["share"]
    size = f"{said['amount_krw']:,} won a month" if share is None else f"{percent_text(Decimal(share))} %"
    about = said["provider"] or ", ".join(said["models"] or ["every model"])
    return f"discount {said['id']}: {said['customer']}, {said['name']}, {size} off {about}, {_days_text(said)}"


def minimum_line(said: dict[str, Any]) -> str:
    """A monthly minimum's dict in one line."""
    usage = "" if said["applies_without_usage"] else " in months with usage"
    return f"minimum {said['id']}: {said['customer']}, {said['amount_krw']:,} won a month{usage}, {_days_text(said)}"


def zero_rating_line(said: dict[str, Any]) -> str:
    """The dict of evidence in one line."""
    law = f"{said['article']} {said['clause']}".strip()
    return (
        f"zero rating {said['id']}: {said['customer']}, {law}, {said['reference']} (SHA-256 {said['sha256'][:12]}), "
        f"accepted by {said['accepted_by']}, {_days_text(said)}"
    )


def _days_dict(row: Discount | MonthlyMinimum | ZeroRating) -> dict[str, Any]:
    return {
        "effective_from": row.effective_from.isoformat(),
        "effective_to": row.effective_to.isoformat() if row.effective_to else None,
        "reason": row.reason,
    }


def _days_text(said: dict[str, Any]) -> str:
    first, end = said["effective_from"], said["effective_to"]
    if end is None:
        return f"from {first} until it is ended"
    return "taken back before it began" if end == first else f"from {first}, not from {end} on"
