"""Closing a month in steps: rates confirmed, drafts and what is odd about them, a second person's approval, issue.

`closing` issues. Each step can be repeated. What was issued stays issued; whatever is drafted anew has to be approved anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.errors import NoExchangeRate, SamePerson, StepNotPossible
from billing.models import BillingDraft, BillingRun, BillingRunItem
from billing.selectors.bills import compute_bill
from billing.selectors.drafts import Comparison, anomalies_of, bill_digest, load_comparison
from billing.selectors.exchange import rate_in_force
from billing.selectors.facts import MonthFacts, load_facts
from billing.selectors.previews import require_no_quarantine
from billing.services.closing import start_run
from billing.services.issuing import IssuingFacts, load_issuing_facts, plan_invoice
from billing.services.run_items import PARKED, PENDING, at_once_or_apart, month_of, note_items, parking, take_items
from catalog.money import ZERO, decimal_text, exact_sum
from usage.periods import BillingMonth


@transaction.atomic
def begin_steps(*, month: BillingMonth, actor: str, now: datetime) -> BillingRun:
    """The run of a month in steps, made or taken up again; parked customers become pending. Raises MonthNotEnded."""
    run = start_run(month=month, actor=actor, now=now)
    if not run.is_stepwise:
        run.is_stepwise = True
        run.save(update_fields=["is_stepwise"])
    return run


@transaction.atomic
def confirm_rates(*, run: BillingRun, actor: str, reason: str, now: datetime) -> BillingRun:
    """Confirm the exchange rate that the month will be billed at.

    Raises NoExchangeRate where a customer that is pending has a rule that needs a published rate and none is there.
    """
    run = _held(run)
    month = BillingMonth(run.month.year, run.month.month)
    rules = set(run.items.filter(status=PENDING).values_list("customer__exchange_rule", flat=True))
    rate = rate_in_force(on=month.last_on)
    if rate is None and rules - {Customer.ExchangeRule.FIXED}:
        raise NoExchangeRate(f"no exchange rate was published on or up to 14 days before {month.last_on}", field="rate")
    run.rates_confirmed_at, run.rates_confirmed_by = now, actor
    run.save(update_fields=["rates_confirmed_at", "rates_confirmed_by"])
    evidence = {} if rate is None else {"rate": decimal_text(rate.rate), "rate_on": rate.rate_on.isoformat()}
    record_audit(actor=actor, action="confirm_rates", subject=run, reason=reason, data=evidence)
    return run


@transaction.atomic
def request_drafts(*, run: BillingRun, actor: str, now: datetime) -> list[int]:
    """Ask for the drafts of every pending customer, old ones anew; an approval that was given is gone.

    Returns the ids of the items that `draft_customers` has to compute, by customer. Raises StepNotPossible before the
    rates are confirmed.
    """
    run = _held(run)
    if run.rates_confirmed_at is None:
        raise StepNotPossible("the exchange rate of this month was not confirmed yet", field="month")
    run.drafted_at, run.drafted_by, run.approved_at, run.approved_by = now, actor, None, ""
    run.save(update_fields=["drafted_at", "drafted_by", "approved_at", "approved_by"])
    items = list(run.items.filter(status=PENDING).order_by("customer_id").values_list("pk", flat=True))
    BillingDraft.objects.filter(item_id__in=items).delete()
    record_audit(actor=actor, action="request_drafts", subject=run, data={"customers": len(items)})
    return items


def draft_customers(*, item_ids: Sequence[int], now: datetime) -> list[BillingRunItem]:
    """Compute the drafts of these customers of one run, and return those that were drafted or parked here. Left out is
    whoever is not pending, has a draft, or is in the hands of another worker.

    As in `close_customers`, what is missing parks the customer that misses it, and no other.
    """
    return at_once_or_apart(lambda ids: _draft_batch(ids, now), item_ids, now=now)


def draft_customer(*, item_id: int, now: datetime) -> BillingRunItem | None:
    """Compute one customer's draft. None where it is not pending."""
    return next(iter(draft_customers(item_ids=[item_id], now=now)), None)


@transaction.atomic
def approve_run(*, run: BillingRun, actor: str, reason: str, now: datetime) -> BillingRun:
    """Approve the drafts, anomalies included; the reason says what was looked at.

    Raises StepNotPossible while a pending customer has no draft, SamePerson for who asked for the drafts.
    """
    if not reason.strip():
        raise InvalidInput("reason: say what was looked at", field="reason")
    run = _held(run)
    if run.drafted_at is None or run.items.filter(status=PENDING, draft=None).exists():
        raise StepNotPossible("not every customer has a draft yet", field="month")
    # E-mail addresses are compared without case.
    if actor.casefold() == run.drafted_by.casefold():
        raise SamePerson(f"{actor} asked for these drafts: somebody else has to approve them", field="actor")
    run.approved_at, run.approved_by = now, actor
    run.save(update_fields=["approved_at", "approved_by"])
    drafts = BillingDraft.objects.filter(item__run=run, item__status=PENDING)
    totals = drafts.values_list("total_krw", "anomalies")
    data = {"total_krw": sum(total for total, _ in totals), "anomalies": sum(bool(odd) for _, odd in totals)}
    record_audit(actor=actor, action="approve_run", subject=run, reason=reason, data=data)
    return run


def _held(run: BillingRun) -> BillingRun:
    """The run, locked until the transaction ends: steps of one month come one after the other."""
    return BillingRun.objects.select_for_update().get(pk=run.pk)


def _draft_batch(item_ids: Sequence[int], now: datetime) -> list[BillingRunItem]:
    items = take_items(BillingRunItem.objects.filter(pk__in=item_ids, draft=None))
    if not items:
        return []
    month, customers = month_of(items), [item.customer for item in items]
    facts, comparison = load_facts(customers, month), load_comparison(customers, month)
    issuing = load_issuing_facts(customers, month, now=now)
    drafts = []
    for item in items:
        with parking(item):
            drafts.append(_draft(item, facts, comparison, issuing, now=now))
    BillingDraft.objects.bulk_create(drafts)
    note_items([item for item in items if item.status == PARKED], now=now)
    return items


def _draft(
    item: BillingRunItem, facts: MonthFacts, comparison: Comparison, issuing: IssuingFacts, *, now: datetime
) -> BillingDraft:
    customer = item.customer
    require_no_quarantine(customer, facts)
    bill = compute_bill(customer, facts)
    if bill is not None and not bill.is_nothing:
        # What would refuse the invoice is known before somebody approves it.
        plan_invoice(customer=customer, bill=bill, facts=issuing, now=now)
    return BillingDraft(
        item=item,
        cost_usd=ZERO if bill is None else bill.cost_usd,
        upstream_cost_usd=exact_sum(line.total.upstream_cost_usd for line in facts.sums[customer.pk]),
        supply_krw=0 if bill is None else bill.totals.supply_krw,
        vat_krw=0 if bill is None else bill.totals.vat_krw,
        total_krw=0 if bill is None else bill.totals.total_krw,
        line_count=0 if bill is None else len(bill.lines),
        previous_supply_krw=comparison.previous_supply_krw.get(customer.pk),
        anomalies=anomalies_of(customer, bill, comparison),
        digest=bill_digest(bill),
        computed_at=now,
    )
