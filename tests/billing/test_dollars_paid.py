"""Dollars received: what they pay of invoices in dollars and in won, the difference their rate makes, and taking it back.

The house sells at 1,400 won a dollar and 15 %: USD 100 of usage is 164,706 + 16,471 = 181,177 won, on the invoice
117.65 + 11.77 = 129.42 dollars.
"""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from pypdf import PdfReader

from accounts.errors import InvalidInput
from accounts.models import Customer, Membership, User
from accounts.services import add_seller_profile
from billing.errors import AlreadyRecorded, NoExchangeRate, NotEnoughLeft, WrongCustomer
from billing.models import Allocation, AllocationReversal, Invoice, LedgerTransaction, Payment
from billing.selectors.balances import account_balances, balance_of, statement_rows
from billing.selectors.journal import journal_csv, journal_rows
from billing.services.allocating import allocate_payment, reverse_allocation, write_off_invoice
from billing.services.crediting import issue_credit_note, void_invoice
from billing.services.paying import match_payment, pay_invoice, record_payment, refund_payment, reverse_payment
from billing.services.prepaying import refund_prepayment, set_aside
from billing.services.printing import ensure_invoice_pdf
from tests.billing.factories import ACTOR, SELLER
from tests.billing.money import billed, broken_checks, deposit
from tests.billing.month import DOLLAR, NOVEMBER, NOW, open_house, publish, tenant, use
from tests.billing.test_books import damage
from tests.usage_api.asking import asked, get, key_of

pytestmark = pytest.mark.django_db

#: KST days of November, and what a dollar is on them.
CHEAP, DEAR = date(2026, 11, 3), date(2026, 11, 4)
#: The house's own rate still holds on it.
SECOND = date(2026, 11, 2)
_numbers = count(1)


@pytest.fixture
def gaon() -> Customer:
    open_house()
    publish(CHEAP, "1300")
    publish(DEAR, "1450")
    return tenant(invoice_currency="USD")


@pytest.fixture
def invoice(gaon: Customer) -> Invoice:
    use(gaon, 100 * DOLLAR)
    made = billed(gaon)
    assert (made.total_krw, made.total_usd) == (181_177, Decimal("129.42"))
    return made


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 3, tzinfo=UTC)


def dollars(
    amount: str, *, on: date = SECOND, customer: Customer | None = None, name: str = "", reference: str = ""
) -> Payment:
    """One line of the dollar account."""
    return record_payment(
        reference=reference or f"wire-{next(_numbers)}",
        received_at=noon(on),
        received_usd=Decimal(amount),
        depositor_name=name,
        customer=customer,
        actor=ACTOR,
        now=NOW,
    )


def pay(payment: Payment, invoice: Invoice, amount_usd: str | None = None) -> Allocation:
    usd = None if amount_usd is None else Decimal(amount_usd)
    return allocate_payment(payment=payment, invoice=invoice, amount_usd=usd, actor=ACTOR, now=NOW)


def state(invoice: Invoice) -> tuple[str, int, str]:
    invoice.refresh_from_db()
    return invoice.status, invoice.due_krw, str(invoice.due_usd)


def free(payment: Payment) -> tuple[int, str]:
    payment.refresh_from_db()
    return payment.unapplied_krw, str(payment.unapplied_usd)


def books() -> dict[str, int]:
    """The won accounts that money moves, those at zero left out."""
    names = ("receivable", "unapplied", "prepayments", "bank", "bank_usd", "exchange_difference", "write_offs")
    balances = account_balances()
    return {name: int(balances[name, "KRW"]) for name in names if balances.get((name, "KRW"))}


# -- Invoices in dollars -----------------------------------------------------------------------------------------------
def test_the_example_by_hand(gaon: Customer) -> None:
    """USD 1 of usage: 1,812 won, 1.30 dollars. They come at 1,300: 1,690 won, and 122 are our loss."""
    use(gaon, DOLLAR)
    invoice = billed(gaon)
    assert (invoice.total_krw, str(invoice.total_usd)) == (1_812, "1.30")
    payment = dollars("1.30", on=CHEAP, customer=gaon)
    assert (payment.amount_krw, payment.rate_krw_per_usd, payment.rate_on) == (1_690, 1300, CHEAP)
    assert books() == {"receivable": 1_812, "unapplied": -1_690, "bank_usd": 1_690}
    made = pay(payment, invoice)
    assert (made.amount_krw, made.allocated_usd, made.exchange_krw) == (1_812, Decimal("1.30"), -122)
    assert state(invoice) == ("paid", 0, "0.00")
    assert free(payment) == (0, "0.00")
    assert books() == {"bank_usd": 1_690, "exchange_difference": 122}
    assert balance_of(gaon).net_krw == 0
    assert broken_checks() == {}


def test_a_dearer_dollar_is_a_gain(gaon: Customer, invoice: Invoice) -> None:
    """129.42 at 1,450 are 187,659 won."""
    made = pay(dollars("129.42", on=DEAR, customer=gaon), invoice)
    assert (made.amount_krw, made.exchange_krw) == (181_177, 6_482)
    assert state(invoice) == ("paid", 0, "0.00")
    assert books() == {"bank_usd": 187_659, "exchange_difference": -6_482}
    assert broken_checks() == {}


def test_the_same_rate_makes_no_difference_but_the_cents(gaon: Customer, invoice: Invoice) -> None:
    """129.42 at 1,400 are 181,188 won: the invoice's figures were rounded to the cent."""
    assert pay(dollars("129.42", on=SECOND, customer=gaon), invoice).exchange_krw == 11
    assert broken_checks() == {}


def test_two_parts_settle_their_shares(gaon: Customer, invoice: Invoice) -> None:
    """50 of 129.42 dollars are 69,995.75 of 181,177 won; they were worth 72,500. The other 79.42 were worth 103,246."""
    first = pay(dollars("50", on=DEAR, customer=gaon), invoice)
    assert (first.amount_krw, first.exchange_krw) == (69_996, 2_504)
    assert state(invoice) == ("issued", 111_181, "79.42")
    second = pay(dollars("79.42", on=CHEAP, customer=gaon), invoice)
    assert (second.amount_krw, second.exchange_krw) == (111_181, -7_935)
    assert state(invoice) == ("paid", 0, "0.00")
    assert books() == {"bank_usd": 175_746, "exchange_difference": 5_431}
    assert broken_checks() == {}


def test_a_payment_in_cents_leaves_nothing_on_either_side(gaon: Customer) -> None:
    """1.30 dollars a cent at a time: each reads exactly, the last one takes the last won of both."""
    use(gaon, DOLLAR)
    invoice = billed(gaon)
    payment = dollars("1.30", on=DEAR, customer=gaon)
    for cents in range(129, -1, -1):
        pay(payment, invoice, "0.01")
        left = str(Decimal(cents).scaleb(-2))
        assert (state(invoice)[2], free(payment)[1]) == (left, left)
    assert (state(invoice), free(payment)) == (("paid", 0, "0.00"), (0, "0.00"))
    assert books() == {"bank_usd": 1_885, "exchange_difference": -73}
    assert broken_checks() == {}


def test_too_many_dollars_are_left_in_won(gaon: Customer, invoice: Invoice) -> None:
    """150 at 1,450 are 217,500 won, of which 129.42 take 187,659; the rest is kept, then sent back."""
    payment = dollars("150", on=DEAR, customer=gaon)
    assert pay(payment, invoice).exchange_krw == 6_482
    assert free(payment) == (29_841, "20.58")
    refund_payment(payment=payment, amount_krw=9_841, reference="o-1", refunded_at=NOW, reason="x", actor=ACTOR)
    assert free(payment) == (20_000, "13.79")
    kept = set_aside(payment=payment, actor=ACTOR, now=NOW)
    assert (kept.amount_krw, free(payment)) == (20_000, (0, "0.00"))
    refund_prepayment(prepayment=kept, reference="o-2", refunded_at=NOW, reason="x", actor=ACTOR)
    assert books() == {"bank_usd": 187_659, "exchange_difference": -6_482}
    assert broken_checks() == {}


def test_won_and_dollars_pay_one_invoice(gaon: Customer, invoice: Invoice) -> None:
    """100,000 won leave 81,177, which read 57.99 dollars; these settle all of them."""
    allocate_payment(payment=deposit(100_000, customer=gaon), invoice=invoice, actor=ACTOR, now=NOW)
    assert state(invoice) == ("issued", 81_177, "57.99")
    made = pay(dollars("57.99", on=DEAR, customer=gaon), invoice)
    assert (made.amount_krw, made.exchange_krw) == (81_177, 84_086 - 81_177)
    assert state(invoice) == ("paid", 0, "0.00")
    assert broken_checks() == {}


def test_a_few_won_below_half_a_cent_are_paid_in_won(gaon: Customer, invoice: Invoice) -> None:
    allocate_payment(payment=deposit(181_171, customer=gaon), invoice=invoice, actor=ACTOR, now=NOW)
    assert state(invoice) == ("issued", 6, "0.00")
    payment = dollars("1", on=CHEAP, customer=gaon)
    with pytest.raises(InvalidInput, match="amount_usd"):
        pay(payment, invoice, "0.01")
    made = pay(payment, invoice)
    assert (made.amount_krw, made.allocated_usd, made.exchange_krw) == (6, None, 0)
    assert (state(invoice), free(payment)) == (("paid", 0, "0.00"), (1_294, "1.00"))
    assert broken_checks() == {}


def test_more_dollars_than_either_has_are_refused(gaon: Customer, invoice: Invoice) -> None:
    payment = dollars("150", customer=gaon)
    for refused, error in (
        ("129.43", NotEnoughLeft),
        ("0", InvalidInput),
        ("-1", InvalidInput),
        ("0.001", InvalidInput),
        ("1000000000000.01", InvalidInput),
        ("9" * 30 + ".99", InvalidInput),
    ):
        with pytest.raises(error) as raised:
            pay(payment, invoice, refused)
        assert raised.value.field == "amount_usd"
    with pytest.raises(InvalidInput) as raised:
        allocate_payment(payment=payment, invoice=invoice, amount_krw=1_000, actor=ACTOR, now=NOW)
    assert raised.value.field == "amount_krw"
    with pytest.raises(WrongCustomer):
        pay(dollars("1", customer=tenant("other")), invoice)
    pay(payment, invoice)
    with pytest.raises(NotEnoughLeft):
        pay(payment, invoice)
    assert state(invoice) == ("paid", 0, "0.00")


def test_a_payment_for_a_named_invoice_is_recorded_and_given_to_it_once(gaon: Customer, invoice: Invoice) -> None:
    line = {"reference": "wire-x", "received_at": noon(DEAR), "depositor_name": "GAON", "actor": ACTOR, "now": NOW}
    for _ in range(2):
        payment = pay_invoice(invoice=invoice, received_usd=Decimal("130"), **line)
    assert (payment.customer, free(payment)) == (gaon, (841, "0.58"))
    assert Allocation.objects.count() == 1
    reverse_allocation(allocation=Allocation.objects.get(), reason="다른 청구서", actor=ACTOR, now=NOW)
    pay_invoice(invoice=invoice, received_usd=Decimal("130.00"), **line)
    assert state(invoice) == ("issued", 181_177, "129.42")


# -- Invoices in won, and deposits that name nothing -------------------------------------------------------------------
def test_dollars_pay_an_invoice_in_won_by_their_won(gaon: Customer) -> None:
    other = tenant("other")
    use(other, 100 * DOLLAR)
    invoice = billed(other)
    payment = dollars("129.42", on=DEAR, customer=other)
    with pytest.raises(InvalidInput) as raised:
        pay(payment, invoice, "10")
    assert raised.value.field == "amount_usd"
    made = pay(payment, invoice)
    assert (made.amount_krw, made.allocated_usd, made.exchange_krw) == (181_177, None, 0)
    assert free(payment) == (6_482, "4.47")
    assert books() == {"bank_usd": 187_659, "unapplied": -6_482}
    assert broken_checks() == {}


def test_dollars_are_matched_by_nobody(gaon: Customer, invoice: Invoice) -> None:
    code = (invoice.document or {})["deposit_code"]
    payment = dollars("129.42", customer=gaon, name=code)
    assert match_payment(payment=payment, actor=ACTOR, now=NOW) == []
    assert free(payment) == (181_188, "129.42")
    assert balance_of(gaon).unapplied_krw == 181_188


def test_the_same_line_is_one_payment_whatever_the_rate_is_now(gaon: Customer) -> None:
    first = dollars("100", on=DEAR, reference="wire-1")
    publish(DEAR, "1460")
    assert dollars("100.00", on=DEAR, reference="wire-1") == first
    assert (first.amount_krw, Payment.objects.count(), LedgerTransaction.objects.count()) == (145_000, 1, 1)
    with pytest.raises(AlreadyRecorded):
        dollars("100.01", on=DEAR, reference="wire-1")
    with pytest.raises(AlreadyRecorded):
        deposit(145_000, reference="wire-1", at=noon(DEAR))


def test_a_day_without_a_rate_takes_the_last_one_published(gaon: Customer) -> None:
    """7 November 2026 is a Saturday; 14 days after the last rate there is none to believe."""
    payment = dollars("10", on=date(2026, 11, 7))
    assert (payment.rate_on, payment.rate_krw_per_usd, payment.rate_source) == (DEAR, 1450, "test")
    with pytest.raises(NoExchangeRate) as raised:
        dollars("10", on=date(2026, 11, 19))
    assert raised.value.field == "received_at"


@pytest.mark.parametrize(
    ("amount", "field"),
    [
        ({"received_usd": Decimal("0")}, "received_usd"),
        ({"received_usd": Decimal("0.005")}, "received_usd"),
        ({"received_usd": Decimal("NaN")}, "received_usd"),
        ({"received_usd": Decimal(10**12 + 1)}, "received_usd"),
        ({"amount_krw": 10**15 + 1}, "amount_krw"),
        ({"received_usd": Decimal("1"), "amount_krw": 1_400}, "received_usd"),
        ({}, "amount_krw"),
    ],
)
def test_an_amount_is_of_one_currency(gaon: Customer, amount: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        record_payment(reference="x", received_at=NOW, depositor_name="", actor=ACTOR, now=NOW, **amount)  # type: ignore[arg-type]
    assert raised.value.field == field
    assert not Payment.objects.exists()


# -- Taking back -------------------------------------------------------------------------------------------------------
def test_an_allocation_taken_back_takes_its_difference_back(gaon: Customer, invoice: Invoice) -> None:
    payment = dollars("100", on=DEAR, customer=gaon)
    made = pay(payment, invoice, "60.01")
    reverse_allocation(allocation=made, reason="x", actor=ACTOR, now=NOW)
    assert (state(invoice), free(payment)) == (("issued", 181_177, "129.42"), (145_000, "100.00"))
    assert books() == {"receivable": 181_177, "unapplied": -145_000, "bank_usd": 145_000}
    assert broken_checks() == {}


def test_a_returned_wire_takes_everything_with_it(gaon: Customer, invoice: Invoice) -> None:
    payment = dollars("129.42", on=CHEAP, customer=gaon)
    pay(payment, invoice, "29.42")
    pay(payment, invoice)
    reverse_payment(payment=payment, reason="반환", actor=ACTOR, now=NOW)
    assert state(invoice) == ("issued", 181_177, "129.42")
    assert books() == {"receivable": 181_177}
    assert broken_checks() == {}


def test_a_credit_note_frees_dollars(gaon: Customer, invoice: Invoice) -> None:
    """64,706 of supply off an invoice that 129.42 dollars paid: 110,000 are left, 78.58 dollars; 50.84 are free again."""
    payment = dollars("129.42", on=DEAR, customer=gaon)
    pay(payment, invoice)
    issue_credit_note(invoice=invoice, amounts_krw={1: 64_706}, amendment_code="02", reason="x", actor=ACTOR, now=NOW)
    assert state(invoice) == ("paid", 0, "0.00")
    standing = Allocation.objects.get(source="payment", reversal__isnull=True)
    assert (standing.amount_krw, standing.allocated_usd) == (110_000, Decimal("78.58"))
    assert free(payment) == (187_659 - 110_000 - standing.exchange_krw, "50.84")
    assert books()["exchange_difference"] == -standing.exchange_krw == -3_941
    assert broken_checks() == {}


def test_a_void_frees_them_all(gaon: Customer, invoice: Invoice) -> None:
    payment = dollars("129.42", on=DEAR, customer=gaon)
    pay(payment, invoice)
    void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=NOW)
    assert free(payment) == (187_659, "129.42")
    assert books() == {"unapplied": -187_659, "bank_usd": 187_659}


def test_what_was_given_up_leaves_the_rest_to_dollars(gaon: Customer, invoice: Invoice) -> None:
    write_off_invoice(invoice=invoice, amount_krw=81_177, reason="x", actor=ACTOR, now=NOW)
    assert state(invoice) == ("issued", 100_000, "71.43")
    pay(dollars("71.43", on=CHEAP, customer=gaon), invoice)
    assert state(invoice) == ("paid", 0, "0.00")
    assert broken_checks() == {}


# -- What people read --------------------------------------------------------------------------------------------------
def test_the_statement_names_dollars_and_their_difference(gaon: Customer, invoice: Invoice) -> None:
    """150 dollars at 1,450 are 217,500 won; 129.42 of them, 187,659 won, paid 181,177, and then did not."""
    payment = dollars("150", on=DEAR, customer=gaon)
    made = allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=noon(DEAR))
    reverse_allocation(allocation=made, reason="x", actor=ACTOR, now=noon(date(2026, 11, 5)))
    rows = list(statement_rows(gaon, first_on=date(2026, 10, 1), last_on=date(2026, 11, 30)))
    assert [
        (row.kind, row.charged_krw, row.paid_krw, row.amount_usd and str(row.amount_usd), row.exchange_krw)
        for row in rows
    ] == [
        ("invoice_issued", 181_177, 0, None, 0),
        ("payment_received", 0, 217_500, "150.00", 0),
        ("payment_allocated", 6_482, 0, "129.42", 6_482),
        ("reversal", 0, 6_482, "129.42", -6_482),
    ]
    assert [row.balance.net_krw for row in rows] == [181_177, -36_323, -29_841, -36_323]
    assert rows[-1].balance == balance_of(gaon)
    secret, _ = key_of(gaon)
    shown = asked(secret, "/billing/v1/statement", **{"from": "2026-11-01", "to": "2026-11-30"})["rows"][1]
    assert (shown["dollars"], shown["exchange_difference"]) == (
        {"amount": "129.42", "currency": "USD"},
        {"amount": "6482", "currency": "KRW"},
    )
    [due] = asked(secret, "/billing/v1/balance")["due_invoices"]
    assert (due["due"]["amount"], due["due_usd"]) == ("181177", {"amount": "129.42", "currency": "USD"})
    file = get(secret, "/billing/v1/statement/csv", **{"from": "2026-11-01", "to": "2026-11-30"})
    cells = [line.split(",")[-2:] for line in file.content.decode("utf-8-sig").splitlines()]
    assert cells == [["amount_usd", "exchange_krw"], ["150.00", "0"], ["129.42", "6482"], ["129.42", "-6482"]]


def test_the_journal_has_dollars_in_its_memos(gaon: Customer, invoice: Invoice) -> None:
    payment = dollars("129.42", on=DEAR, customer=gaon, reference="wire-7")
    made = allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=noon(DEAR))
    reverse_allocation(allocation=made, reason="반환", actor=ACTOR, now=noon(date(2026, 11, 5)))
    rows = [(row.account_name, row.debit_krw, row.credit_krw, row.memo) for row in journal_rows(NOVEMBER)]
    came = "gaon wire-7 USD 129.42 x 1450"
    paid, back = "gaon 2026-10 USD 129.42 INV-202610-0001", "gaon 반환 INV-202610-0001"
    assert rows == [
        ("외화예금", 187_659, 0, came),
        ("가수금", 0, 187_659, came),
        ("가수금", 187_659, 0, paid),
        ("외환차익", 0, 6_482, paid),
        ("외상매출금", 0, 181_177, paid),
        ("외상매출금", 181_177, 0, back),
        ("외환차익", 6_482, 0, back),
        ("가수금", 0, 187_659, back),
    ]


# -- What the database refuses -----------------------------------------------------------------------------------------
def row(invoice: Invoice, payment: Payment, **wanted: object) -> dict[str, object]:
    posted = LedgerTransaction.objects.create(kind="payment_allocated", occurred_on=NOW.date(), memo="x")
    facts = {"invoice": invoice, "source": "payment", "payment": payment, "allocated_at": NOW, "actor": "x"}
    return {**facts, "ledger_transaction": posted, **wanted}


@pytest.mark.parametrize(
    ("won", "usd", "exchange"),
    [
        (181_177, "50", -108_677),  # settles all with a part
        (69_996, "50", -69_995),  # uses up no won
        (69_996, "50", 117_504),  # uses up all won
        (69_996, "50", 0),
        (69_980, "50", 2_520),  # a cent less than its dollars are
        (181_177, "129.43", 6_496),  # more than is due
        (181_177, "200.01", 108_837),  # more than came
        (69_996, None, 2_504),
    ],
)
def test_an_allocation_of_other_won_than_its_dollars_is_refused(
    gaon: Customer, invoice: Invoice, won: int, usd: str | None, exchange: int
) -> None:
    payment = dollars("200", on=DEAR, customer=gaon)
    allocated = None if usd is None else Decimal(usd)
    with pytest.raises(IntegrityError), transaction.atomic():
        Allocation.objects.create(
            **row(invoice, payment, amount_krw=won, allocated_usd=allocated, exchange_krw=exchange)
        )
    Allocation.objects.create(
        **row(invoice, payment, amount_krw=69_996, allocated_usd=Decimal("50"), exchange_krw=2_504)
    )
    assert free(payment) == (217_500, "150.00")


def test_won_are_no_dollars_to_the_database(gaon: Customer, invoice: Invoice) -> None:
    other = tenant("other")
    use(other, 100 * DOLLAR)
    in_won = billed(other)
    for payment, of in ((deposit(72_500, customer=gaon), invoice), (dollars("50", on=DEAR, customer=other), in_won)):
        with pytest.raises(IntegrityError), transaction.atomic():
            wanted = {"amount_krw": 69_996, "allocated_usd": Decimal("50"), "exchange_krw": 2_504}
            Allocation.objects.create(**row(of, payment, **wanted))
    with pytest.raises(IntegrityError), transaction.atomic():
        Allocation.objects.create(
            invoice=invoice,
            source="write_off",
            amount_krw=69_996,
            allocated_usd=Decimal("50"),
            allocated_at=NOW,
            actor="x",
            ledger_transaction=LedgerTransaction.objects.create(kind="written_off", occurred_on=NOW.date(), memo="x"),
        )


@pytest.mark.parametrize(
    "change",
    [
        {"received_usd": Decimal("101")},
        {"rate_krw_per_usd": Decimal("1451")},
        {"allocated_usd": Decimal("1")},
        {"amount_krw": 145_001},
        {"currency": "KRW"},
    ],
)
def test_dollars_stay_as_they_were_received(gaon: Customer, change: dict[str, object]) -> None:
    payment = dollars("100", on=DEAR)
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.filter(pk=payment.pk).update(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"amount_krw": 145_001},
        {"amount_krw": 144_999},
        {"received_usd": None},
        {"rate_krw_per_usd": None},
        {"currency": "KRW"},
        {"allocated_usd": Decimal("100.01")},
    ],
)
def test_a_payment_of_other_won_than_its_dollars_is_refused(gaon: Customer, change: dict[str, object]) -> None:
    posted = LedgerTransaction.objects.create(kind="payment_received", occurred_on=NOW.date(), memo="x")
    facts = {
        "reference": "raw",
        "received_at": NOW,
        "currency": "USD",
        "received_usd": Decimal("100"),
        "rate_krw_per_usd": Decimal("1450"),
        "rate_on": DEAR,
        "rate_source": "test",
        "amount_krw": 145_000,
        "actor": "x",
        "ledger_transaction": posted,
    }
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.create(**(facts | change))
    Payment.objects.create(**facts)


def test_a_reversal_twice_gives_dollars_back_once(gaon: Customer, invoice: Invoice) -> None:
    payment = dollars("100", on=DEAR, customer=gaon)
    made = pay(payment, invoice)
    reverse_allocation(allocation=made, reason="x", actor=ACTOR, now=NOW)
    posted = LedgerTransaction.objects.create(kind="payment_allocated", occurred_on=NOW.date(), memo="x")
    with pytest.raises(IntegrityError), transaction.atomic():
        AllocationReversal.objects.create(
            allocation=made, reason="x", actor="x", reversed_at=NOW, ledger_transaction=posted
        )
    assert free(payment) == (145_000, "100.00")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE billing_payment SET allocated_usd = allocated_usd - 1", {"payments_add_up"}),
        ("UPDATE billing_allocation SET allocated_usd = allocated_usd + 0.01", {"payments_add_up"}),
        ("UPDATE billing_allocation SET exchange_krw = exchange_krw + 1", {"payments_add_up", "balances_agree"}),
        (
            "UPDATE billing_allocation SET amount_krw = amount_krw - 20, exchange_krw = exchange_krw + 20",
            {"payments_add_up", "balances_agree"},
        ),
        ("UPDATE billing_ledgerentry SET account = 'bank' WHERE account = 'bank_usd'", {"balances_agree"}),
        (
            "UPDATE billing_ledgerentry SET amount = amount + 1 WHERE account = 'exchange_difference'",
            {"ledger_balances", "balances_agree"},
        ),
    ],
)
def test_damage_behind_the_guards_is_found(
    gaon: Customer, invoice: Invoice, statement: str, expected: set[str]
) -> None:
    payment = dollars("200", on=DEAR, customer=gaon)
    pay(payment, invoice, "50")
    refund_payment(payment=payment, amount_krw=1, reference="o-1", refunded_at=NOW, reason="x", actor=ACTOR)
    assert broken_checks() == {}
    damage(statement)
    assert set(broken_checks()) == expected


# -- The whole way -----------------------------------------------------------------------------------------------------
def test_from_the_contract_to_the_last_cent(client: Client) -> None:
    """A contract in dollars, a month closed, the PDF, the API and the page in dollars, paid a week later at another rate."""
    open_house()
    publish(CHEAP, "1300")
    account = "국민은행 SWIFT CZNBKRSE 123456-56-001234"
    add_seller_profile(valid_from=date(2026, 2, 1), actor=ACTOR, **SELLER, bank_account_usd=account)
    dasan = tenant("dasan", invoice_currency="USD")
    owner = User.objects.create_user("owner@dasan.example", "x")
    Membership.objects.create(user=owner, customer=dasan, role=Membership.Role.OWNER)
    client.force_login(owner)
    use(dasan, DOLLAR)
    invoice = billed(dasan)
    number = invoice.number or ""
    assert (invoice.total_krw, str(invoice.total_usd), invoice.tax_invoice.total_krw) == (1_812, "1.30", 1_812)
    printed = ensure_invoice_pdf(invoice=invoice, now=NOW).content
    text = "".join("".join(page.extract_text() for page in PdfReader(io.BytesIO(printed)).pages).split())
    assert ("1.30" in text, "1,812" in text, "CZNBKRSE" in text) == (True, True, True)
    secret, _ = key_of(dasan)
    shown = asked(secret, f"/billing/v1/invoices/{number}")
    assert (shown["status"], shown["currency"], shown["dollars"]["due"]["amount"]) == ("issued", "USD", "1.30")
    assert "US$1.30" in client.get(f"/c/dasan/invoices/{number}/").content.decode()
    assert "US$1.30" in client.get("/c/dasan/balance/").content.decode()

    due = Decimal(shown["dollars"]["due"]["amount"])
    payment = pay_invoice(
        invoice=invoice,
        reference="FT26110300001",
        received_at=noon(CHEAP),
        received_usd=due,
        depositor_name="DASAN CO LTD",
        actor=ACTOR,
        now=noon(CHEAP),
    )
    assert free(payment) == (0, "0.00")
    assert state(invoice) == ("paid", 0, "0.00")
    assert books() == {"bank_usd": 1_690, "exchange_difference": 122}
    shown = asked(secret, f"/billing/v1/invoices/{number}")
    assert (shown["status"], shown["due"]["amount"], shown["dollars"]["due"]["amount"]) == ("paid", "0", "0.00")
    assert asked(secret, "/billing/v1/balance")["net"]["amount"] == "0"
    page = client.get("/c/dasan/balance/?month=2026-11").content.decode()
    assert page.count("US$1.30") == 2  # received, and given to the invoice
    assert "환율 차액" in page
    paid = "dasan 2026-10 USD 1.30 INV-202610-0001"
    assert journal_csv(NOVEMBER).splitlines()[-3:] == [
        f"2026-11-03,가수금,1690,,{paid}",
        f"2026-11-03,외환차손,122,,{paid}",
        f"2026-11-03,외상매출금,,1812,{paid}",
    ]
    assert broken_checks() == {}
