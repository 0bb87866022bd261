"""A test clock for whole years: five customers, 25 months, every won recomputed by somebody with a calculator.

January 2024 to January 2026 hold a leap February, two year ends, New Year's and Chuseok holidays and an election on the
tenth. Time is an argument everywhere, so the years pass in seconds.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from accounts.models import Customer
from accounts.services import add_seller_profile, add_tax_profile, create_customer
from billing.models import CreditNote, Delivery, Invoice, TaxInvoice
from billing.selectors.balances import balance_of
from billing.services.allocating import allocate_payment, write_off_invoice
from billing.services.closing import close_customers, finish_run
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from billing.services.delivering import issue_tax_invoice_late
from billing.services.exchange import set_rate
from billing.services.margins import set_margin
from billing.services.paying import record_payment, top_up
from billing.services.steps import approve_run, begin_steps, confirm_rates, draft_customers, request_drafts
from catalog.services import sync_catalog
from tests.billing.factories import ACTOR, CORPORATION, FOREIGN, SELLER
from tests.billing.money import broken_checks
from tests.billing.month import listing
from tests.billing.outbox import deliver
from tests.billing.providers import Watched
from tests.billing.years import Account, Bill, Event, Month, Years, after, at, last_day, month_of
from usage.periods import BillingMonth
from usage.services.ingesting import Status, ingest_events

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mail_dir")]

KIM, LEE = "kim@operator.example", "lee@operator.example"
FIRST: Month = (2024, 1)
MONTHS = [FIRST]
while len(MONTHS) < 25:
    MONTHS.append(after(MONTHS[-1]))

#: The last day on which a month's tax invoice may be issued, where it is not the tenth of the next month.
MOVED = {
    (2024, 1): date(2024, 2, 13),  # Seollal's substitute holiday
    (2024, 2): date(2024, 3, 11),
    (2024, 3): date(2024, 4, 11),  # the election
    (2024, 7): date(2024, 8, 12),
    (2024, 10): date(2024, 11, 11),
    (2025, 4): date(2025, 5, 12),
    (2025, 7): date(2025, 8, 11),
    (2025, 12): date(2026, 1, 12),
}
#: USD per token of acme/dollar, from these moments on: in the afternoon of a leap day, at a Korean midnight, at noon.
PRICES = {
    "2023-12-01T00:00:00+09:00": "0.000001",
    "2024-02-29T15:00:00+09:00": "0.0000012",
    "2025-01-01T00:00:00+09:00": "0.0000009",
    "2025-08-15T12:00:00+09:00": "0.00000153",
}
CENT = "0.00000001"
DOLLAR, CENT_NAME = "acme/dollar", "acme/cent"


def deadline(month: Month) -> date:
    return MOVED.get(month, date(*after(month), 10))


def terms() -> dict[str, tuple[Account, dict[str, Any], dict[str, str]]]:
    """Each customer: what the calculator knows, the contract, the identity."""
    months_end = {"exchange_rule": "month_end"}
    return {
        # Pays ahead; the rest by transfer when a prepayment was too small.
        "ahead": (Account("month_end", "half_up", [(FIRST, Fraction("0.15"))]), months_end, CORPORATION),
        # Pays two months late, at each day's rate.
        "late": (Account("daily", "half_up", [(FIRST, Fraction("0.2"))]), {"exchange_rule": "daily"}, CORPORATION),
        # Gets credit notes; a contract rate, won cut off.
        "noted": (
            Account("fixed", "down", [(FIRST, Fraction("0.12345"))], fixed=Fraction(1317)),
            {
                "exchange_rule": "fixed",
                "fixed_rate_krw_per_usd": Decimal(1317),
                "rounding": "down",
                "locale": "en",
            },
            CORPORATION,
        ),
        # From abroad; the bank keeps a fee, which is given up.
        "abroad": (Account("month_end", "half_up", [(FIRST, Fraction(0))]), {**months_end, "locale": "en"}, FOREIGN),
        # Its margin changes with the years; events come late; one invoice is taken back and issued anew.
        "odd": (
            Account("month_end", "half_up", [(FIRST, Fraction("0.15")), ((2025, 1), Fraction("0.07"))]),
            months_end,
            CORPORATION,
        ),
    }


class House:
    """The system under test and the calculator, told the same things."""

    def __init__(self) -> None:
        self.years = Years()
        self.customers: dict[str, Customer] = {}
        self.expected_tax: list[tuple[str, str, date, date | None, int, int]] = []
        self.provider = Watched()
        self._stated: dict[str, tuple[int, int]] = {}
        self._references = 0
        start = at(date(2023, 12, 1), 0)
        since = date(2023, 12, 1)
        add_seller_profile(valid_from=since, actor=ACTOR, **SELLER)
        set_margin(customer=None, margin=Decimal("0.5"), effective_from=since, actor=ACTOR)
        for name, (account, contract, identity) in terms().items():
            customer = create_customer(slug=name, name=name, actor=ACTOR, **contract)
            add_tax_profile(customer=customer, valid_from=since, actor=ACTOR, **identity)
            for month, margin in account.margins:
                share = Decimal(margin.numerator) / margin.denominator
                set_margin(customer=customer, margin=share, effective_from=date(*month, 1), actor=ACTOR)
            self.customers[name], self.years.accounts[name] = customer, account
        self.change_prices(start)
        self.publish(date(2023, 12, 28), "1289.4")

    def change_prices(self, until: datetime) -> None:
        """The listings that were read up to a moment."""
        for moment in [one for one in PRICES if datetime.fromisoformat(one) <= until]:
            since, price = datetime.fromisoformat(moment), PRICES[moment]
            if any(known == since for known, _ in self.years.prices[DOLLAR]):
                continue
            body = listing(dollar=price, cent=CENT)
            sync_catalog(body=body, source="test", at=since, now=since, actor=ACTOR)
            self.years.prices[DOLLAR].append((since, Fraction(price)))
            if not self.years.prices[CENT_NAME]:
                self.years.prices[CENT_NAME].append((since, Fraction(CENT)))

    def publish(self, day: date, rate: str) -> None:
        set_rate(rate_on=day, rate=Decimal(rate), source="test", reason="test", actor=ACTOR, now=at(day, 17))
        self.years.rates[day] = Fraction(rate)

    def use(self, name: str, events: list[Event], *, now: datetime) -> None:
        lines = []
        for event in events:
            self._references += 1
            body = {
                "id": f"event-{self._references}",
                "customer": name,
                "model": event.model,
                "occurred_at": event.moment.isoformat(),
                "dialect": "openai_chat",
                "usage": {"prompt_tokens": event.tokens, "completion_tokens": 0, "total_tokens": event.tokens},
            }
            lines.append(json.dumps(body).encode())
        assert {one.status for one in ingest_events(lines=lines, now=now, actor=ACTOR)} == {Status.ACCEPTED}
        self.years.accounts[name].events += events

    def close(self, month: Month, *, now: datetime) -> None:
        """In steps, by two people; every invoice to the won."""
        run = begin_steps(month=BillingMonth(*month), actor=KIM, now=now)
        run = confirm_rates(run=run, actor=KIM, reason="고시 확인", now=now)
        draft_customers(item_ids=request_drafts(run=run, actor=KIM, now=now), now=now)
        run = approve_run(run=run, actor=LEE, reason="전월 대비 확인", now=now)
        close_customers(item_ids=list(run.items.order_by("pk").values_list("pk", flat=True)), actor=LEE, now=now)
        finish_run(run=run, now=now)
        assert set(run.items.values_list("status", flat=True)) == {"done"}
        for name in self.customers:
            bill = self.years.bill(name, month)
            assert bill is not None
            self.compare(name, bill)
            self.expected_tax.append(("0101", "", last_day(month), deadline(month), bill.supply, bill.vat))

    def invoice(self, bill: Bill) -> Invoice:
        return Invoice.objects.select_related("customer", "period", "tax_invoice").get(number=bill.number)

    def compare(self, name: str, bill: Bill) -> None:
        invoice = self.invoice(bill)
        assert invoice.customer.slug == name
        assert (invoice.supply_krw, invoice.vat_krw, invoice.total_krw) == (bill.supply, bill.vat, bill.total)
        lines = {(month_of(line.month), line.model_name): line.amount_krw for line in invoice.lines.all()}
        assert lines == bill.lines
        kinds = {month_of(line.month): line.kind for line in invoice.lines.all()}
        assert kinds == {month: "usage" if month == bill.month else "supplementary" for month, _ in bill.lines}

    def deposit(self, name: str, bill: Bill, won: int, *, now: datetime) -> None:
        self._references += 1
        payment = record_payment(
            reference=f"bank-{self._references}", received_at=now, amount_krw=won, depositor_name=name,
            customer=self.customers[name], actor=ACTOR, now=now,
        )  # fmt: skip
        allocate_payment(payment=payment, invoice=self.invoice(bill), actor=ACTOR, now=now)
        self.years.accounts[name].pay(bill, won)

    def prepay(self, name: str, won: int, *, now: datetime) -> None:
        self._references += 1
        top_up(
            customer=self.customers[name], reference=f"bank-{self._references}", received_at=now, amount_krw=won,
            depositor_name=name, actor=ACTOR, now=now,
        )  # fmt: skip
        self.years.accounts[name].pay_ahead(won)

    def write_off(self, bill: Bill, *, now: datetime) -> None:
        write_off_invoice(invoice=self.invoice(bill), reason="송금 수수료", actor=ACTOR, now=now)
        bill.written_off += bill.due

    def credit(self, name: str, bill: Bill, code: str, *, now: datetime) -> None:
        """A tenth of the invoice's first line."""
        invoice = self.invoice(bill)
        line = invoice.lines.order_by("position")[0]
        note = issue_credit_note(
            invoice=invoice, amounts_krw={line.position: line.amount_krw // 10}, amendment_code=code,
            reason="계량 오류", actor=ACTOR, now=now,
        )  # fmt: skip
        supply, vat = self.years.accounts[name].credit(bill, line.amount_krw // 10)
        assert (note.supply_krw, note.vat_krw) == (supply, vat)
        original = last_day(bill.month)
        if code == "01":
            # What the original or the last correction of it stated; a change of code 02 stands beside it.
            stated = self._stated.get(bill.number, (bill.supply, bill.vat))
            anew = self._stated[bill.number] = stated[0] - supply, stated[1] - vat
            self.expected_tax.append(("0201", "01", original, None, -stated[0], -stated[1]))
            self.expected_tax.append(("0201", "01", original, None, *anew))
        else:
            day = now.date()
            self.expected_tax.append(("0201", code, day, deadline(month_of(day)), -supply, -vat))

    def void_and_issue_anew(self, name: str, bill: Bill, *, now: datetime) -> None:
        invoice = self.invoice(bill)
        void_invoice(invoice=invoice, reason="요율 오류", actor=ACTOR, now=now)
        self.years.accounts[name].void(bill)
        made = reissue_invoice(invoice=invoice, actor=ACTOR, now=now)
        anew = self.years.bill(name, bill.month)
        assert anew is not None
        assert made.number == anew.number
        self.compare(name, anew)
        original = last_day(bill.month)
        self.expected_tax.append(("0201", "01", original, None, -bill.supply, -bill.vat))
        self.expected_tax.append(("0201", "01", original, None, anew.supply, anew.vat))

    def balances_agree(self) -> None:
        for name, account in self.years.accounts.items():
            balance = balance_of(self.customers[name])
            said = (balance.receivable_krw, balance.unapplied_krw, balance.prepaid_krw)
            assert said == (account.receivable, account.unapplied, account.prepaid), name
            for bill in account.bills:
                invoice = Invoice.objects.get(number=bill.number)
                assert (invoice.due_krw, invoice.status == "void") == (bill.due, bill.is_void), bill.number

    def tax_office_was_told(self) -> None:
        rows = TaxInvoice.objects.order_by("pk").values_list(
            "type_code", "amendment_code", "write_date_on", "deadline_on", "supply_krw", "vat_krw"
        )
        assert sorted(rows, key=str) == sorted(self.expected_tax, key=str)
        assert set(TaxInvoice.objects.values_list("status", flat=True)) == {"issued"}


def usage_of(name: str, month: Month, index: int) -> list[Event]:
    """Events at the edges of the month and in it; tokens that leave fractions of a won."""
    first, last = date(*month, 1), last_day(month)
    size = 99_999_937 + 7_919_773 * index + 1_009_003 * (sum(name.encode()) % 97)
    moments = [at(first, 0), at(date(*month, 15), 11, 59, 59), at(date(*month, 15), 12), at(last, 14, 59, 59)]
    moments += [at(last, 15), at(last, 23, 59, 59)]
    events = [Event(DOLLAR, 3 * size + 13 * number, moment, month) for number, moment in enumerate(moments, start=1)]
    return [*events, Event(CENT_NAME, 41 * size, at(date(*month, 20), 9), month)]


def test_two_years_to_the_won() -> None:
    house = House()
    accounts = house.years.accounts
    for index, month in enumerate(MONTHS):
        # The month itself: rates on some days, prices when they change, usage, money paid ahead.
        for day in (4, 11, 18, 27):
            house.publish(date(*month, day), f"{1290 + (index * 31 + day * 7) % 180}.{(index * 3 + day) % 10}5")
        house.change_prices(at(last_day(month), 23, 59, 59))
        if index % 6 == 0:
            house.prepay("ahead", 20_000_000, now=at(date(*month, 5), 10))
        for name in accounts:
            house.use(name, usage_of(name, month, index), now=at(last_day(month), 23, 59, 59))

        # The next month: the close, on its second day, once so late that somebody has to answer for it.
        is_late = month == (2024, 8)
        closed_at = at(date(*after(month), 20 if is_late else 2), 10)
        house.close(month, now=closed_at)
        Delivery.objects.filter(kind__endswith="_email", status="pending").update(status="dead")
        last_moment = closed_at if is_late else at(deadline(month), 23, 59, 59)
        report = deliver(last_moment, house.provider)
        assert (report.done, report.dead) == ((0, 5) if is_late else (5, 0))
        if is_late:
            for row in Delivery.objects.filter(kind="tax_invoice", status="dead"):
                issue_tax_invoice_late(
                    delivery=row, actor=LEE, reason="마감 지연", now=closed_at, provider=house.provider
                )

        # Late usage of the closed month, on the invoice of this one: priced as then.
        if index % 5 == 3:
            late = Event(DOLLAR, 123_456_789, at(date(*month, 28), 13), after(month))
            house.use("odd", [late], now=at(date(*after(month), 21), 9))

        paid_at = at(date(*after(month), 22), 10)
        newest = {name: account.bills[-1] for name, account in accounts.items()}
        if newest["ahead"].due:
            house.deposit("ahead", newest["ahead"], newest["ahead"].due, now=paid_at)
        if index >= 2:
            house.deposit("late", accounts["late"].bills[-3], accounts["late"].bills[-3].due, now=paid_at)
        house.deposit("abroad", newest["abroad"], newest["abroad"].due - 1_000 - index, now=paid_at)
        house.write_off(newest["abroad"], now=paid_at)
        house.deposit("odd", newest["odd"], newest["odd"].due, now=paid_at)

        # Corrections: before the invoice is paid and after, by both codes, twice on one invoice; one taken back whole.
        if index % 4 == 1:
            house.credit("noted", newest["noted"], "01" if index % 8 == 1 else "02", now=paid_at)
        house.deposit("noted", newest["noted"], newest["noted"].due, now=paid_at + timedelta(hours=1))
        if index % 8 == 5:
            house.credit("noted", newest["noted"], "01", now=paid_at + timedelta(hours=2))
        if month == (2025, 2):
            set_margin(
                customer=house.customers["odd"], margin=Decimal("0.3"), effective_from=date(2025, 2, 1), actor=ACTOR
            )
            accounts["odd"].margins.append(((2025, 2), Fraction("0.3")))
            house.void_and_issue_anew("odd", newest["odd"], now=paid_at + timedelta(hours=3))
        Delivery.objects.filter(kind__endswith="_email", status="pending").update(status="dead")
        deliver(paid_at + timedelta(days=1), house.provider)

        house.balances_agree()
        assert broken_checks() == {}, month

    house.tax_office_was_told()
    bills = [bill for account in accounts.values() for bill in account.bills]
    assert len(bills) == 5 * 25 + 1 == Invoice.objects.count()
    assert CreditNote.objects.count() == sum(len(bill.notes) for bill in bills) == 9
    assert len({len(account.bills) for account in accounts.values()}) == 2
    leap = next(bill for bill in accounts["late"].bills if bill.month == (2024, 2))
    assert Invoice.objects.get(number=leap.number).period.end_at == datetime(2024, 2, 29, 15, tzinfo=UTC)
    # By hand: 1,718.81791 before and 1,031.2908396 after the price of 15:00 on the leap day, 58.72627415 of the other
    # model, at 1,330.05 of 27 February: 2,808.83502375 x 1,330.05 = 3,735,891.02..., and a tenth.
    by_hand = next(bill for bill in accounts["abroad"].bills if bill.month == (2024, 2))
    assert (by_hand.supply, by_hand.vat) == (3_735_891, 373_589)
