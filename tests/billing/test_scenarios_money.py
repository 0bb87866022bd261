"""What broke other billing engines, restated in won: credit notes, credit, prepayments, deposits and taking them back.

The other half of `test_scenarios.py`, whose table says where each row of the reference is proven.
"""

from __future__ import annotations

from datetime import date

import pytest

from accounts.models import Customer
from billing.errors import InvoiceIsCredited, NotCreditable
from billing.models import CreditNote, Invoice, LedgerTransaction, Payment, Prepayment, SpendingAccount
from billing.selectors.balances import account_balances, balance_of, prepayment_outlook, usable_promotions_krw
from billing.services.allocating import allocate_payment
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from billing.services.granting import void_credit
from billing.services.paying import match_payment, refund_payment, reverse_payment
from billing.services.prepaying import refund_prepayment
from billing.services.topping_up import request_top_ups, set_top_up
from tests.billing.commands import run
from tests.billing.factories import ACTOR
from tests.billing.money import (
    amounts,
    billed,
    broken_checks,
    cut,
    deposit,
    grant,
    plain_house,
    prepay,
    remaining,
    spend,
)
from tests.billing.month import NOVEMBER, NOW, close
from tests.usage_api.asking import asked, key_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def credit(invoice: Invoice, amounts_krw: dict[int, int]) -> CreditNote:
    return issue_credit_note(
        invoice=invoice, amounts_krw=amounts_krw, amendment_code="01", reason="계량 오류", actor=ACTOR, now=NOW
    )


def won_on(*accounts: str) -> list[int]:
    """The house's balances of those accounts."""
    balances = account_balances()
    return [int(balances.get((account, "KRW"), 0)) for account in accounts]


def state(invoice: Invoice) -> tuple[str, int]:
    invoice.refresh_from_db()
    return invoice.status, invoice.due_krw


def free(payment: Payment) -> int:
    payment.refresh_from_db()
    return payment.unapplied_krw


@pytest.mark.parametrize(
    ("supply", "vat", "notes"),
    [
        # 2,000 of VAT; 667 that stay have 66.7: 67, so 1,933 come back, and then the 67.
        (20_000, 2_000, [(19_333, 1_933), (667, 67)]),
        # 1,600; 533 that stay have 53.3: 53.
        (16_000, 1_600, [(15_467, 1_547), (533, 53)]),
        # 299.9: 300; 428 that stay have 42.8: 43.
        (2_999, 300, [(2_571, 257), (428, 43)]),
        # 7,690; 4,214 that stay have 421.4: 421.
        (76_900, 7_690, [(72_686, 7_269), (4_214, 421)]),
        # 100.5: 101; then 67.0 and 33.5: 34. Each note rounded by itself would have given back 34 + 34 + 34 = 102.
        (1_005, 101, [(335, 34), (335, 33), (335, 34)]),
    ],
)
def test_notes_of_any_size_close_to_the_invoices_own_won(
    gaon: Customer, supply: int, vat: int, notes: list[tuple[int, int]]
) -> None:
    """Rows 5, 6: each credit note rounded its own tax, and together they gave back another total than was invoiced."""
    spend(gaon, supply)
    invoice = billed(gaon)
    assert amounts(invoice) == (supply, vat, supply + vat)
    for won, vat_of_note in notes:
        note = credit(invoice, {1: won})
        assert (note.vat_krw, note.total_krw) == (vat_of_note, won + vat_of_note)
    assert sum(won + tax for won, tax in notes) == invoice.total_krw
    assert state(invoice) == ("paid", 0)
    assert won_on("revenue", "vat_payable", "receivable") == [0, 0, 0]
    assert broken_checks() == {}


def test_a_note_on_a_discounted_line_takes_back_what_was_charged(gaon: Customer) -> None:
    """Row 7: fees of 57,800 with a coupon of 25,000; a note on 26,260 of them must not give the coupon's part back.

    26,260 / 57,800 x 25,000 = 11,358.13, 31,540 / 57,800 x 25,000 = 13,641.87: 11,358 and 13,642. Charged were 14,902 and
    17,898, VAT 3,280. The first line credited whole: 17,898 that stay have 1,789.8: 1,790, so 1,490 of VAT come back.
    """
    cut(gaon, won=25_000)
    spend(gaon, 26_260, model="acme/cent")
    spend(gaon, 31_540)
    invoice = billed(gaon)
    assert amounts(invoice) == (32_800, 3_280, 36_080)
    assert list(invoice.lines.values_list("amount_krw", "discount_krw")) == [
        (26_260, 11_358),
        (31_540, 13_642),
        (-25_000, 0),
    ]
    with pytest.raises(NotCreditable, match="1 to 14902 won"):
        credit(invoice, {1: 26_260})
    note = credit(invoice, {1: 14_902})
    assert (note.supply_krw, note.vat_krw, note.total_krw) == (14_902, 1_490, 16_392)
    assert state(invoice) == ("issued", 19_688)
    assert broken_checks() == {}


@pytest.mark.parametrize("amount", ["17.96999999", "22500.0", "23.000,00", "23,000", "2.3e4"])
def test_an_amount_that_is_no_whole_won_is_refused_and_not_rounded(gaon: Customer, amount: str) -> None:
    """Rows 13, 43: 17.96999999 was kept as 17.97, and `23.000,00` of a bank's file has to be 23,000 and not 23.

    Won have no fraction and our amounts no separators: whatever is not plainly whole is refused.
    """
    code, answer = run("record_payment", "line-1", amount, "--at", "2026-11-05T10:00:00+09:00")
    assert (code, answer["error"]["code"], answer["error"]["field"]) == (2, "invalid_input", "amount")
    assert not Payment.objects.exists()


def test_what_is_left_is_the_same_won_wherever_it_is_asked(gaon: Customer) -> None:
    """Row 14: of 100 credits 14.28444999 were voided; the wallet said 85.72 in money and 85.71556 in credits.

    14,284 of 100,000 paid ahead go back, and of 100,000 granted 14,284 are voided: 85,716 of each, for everybody.
    """
    credit_ = grant(gaon, 100_000, last=date(2026, 11, 30))
    prepay(gaon, 100_000)
    wallet = Prepayment.objects.get()
    refund_prepayment(prepayment=wallet, amount_krw=14_284, reference="out", refunded_at=NOW, reason="x", actor=ACTOR)
    void_credit(credit=credit_, amount_krw=14_284, reason="x", actor=ACTOR, now=NOW)
    wallet.refresh_from_db()
    spending = SpendingAccount.objects.get(customer=gaon)
    answer = asked(key_of(gaon)[0], "/billing/v1/balance")
    prepaid = [
        wallet.remaining_krw,
        balance_of(gaon).prepaid_krw,
        -won_on("prepayments")[0],
        prepayment_outlook(gaon, NOVEMBER, on=NOW.date()).available_krw,
        spending.prepaid_krw,
        int(answer["prepaid"]["amount"]),
    ]
    granted = [
        *remaining(credit_),
        usable_promotions_krw(gaon, on=NOW.date()),
        int(answer["promotional_credits"][0]["remaining"]["amount"]),
    ]
    assert prepaid == [85_716] * 6
    assert granted == [85_716] * 3
    # What the free credit lets calls spend is with the VAT that it saves: 94,287.6, cut.
    assert spending.promotional_krw == 94_287
    assert broken_checks() == {}


def test_what_is_available_counts_two_open_months_and_the_close_changes_nothing(gaon: Customer) -> None:
    """Row 15: a wallet of 10 with 6 in a draft and 3 used since: 1 is available, before the draft is final and after.

    October's 6,000 are 6,600 with VAT, November's 3,000 are 3,300: 100 of 10,000 are left. The close takes 6,600.
    """
    prepay(gaon, 10_000)
    spend(gaon, 5_000)
    spend(gaon, 1_000)
    spend(gaon, 3_000, at="2026-11-01T09:00:00+09:00")
    before = prepayment_outlook(gaon, NOVEMBER, on=NOW.date())
    assert (before.prepaid_krw, before.unbilled_krw, before.available_krw) == (10_000, 9_900, 100)
    close()
    after = prepayment_outlook(gaon, NOVEMBER, on=NOW.date())
    assert (after.prepaid_krw, after.unbilled_krw, after.available_krw) == (3_400, 3_300, 100)
    assert Invoice.objects.get().status == "paid"


def test_money_that_was_asked_for_is_none_until_it_arrives_and_none_when_it_goes_back(gaon: Customer) -> None:
    """Row 16: a top-up that is not paid yet is no balance and no invoice; paid it is; when the payment fails it is not."""
    set_top_up(customer=gaon, threshold_krw=20_000, amount_krw=15_000, actor=ACTOR, now=NOW)
    prepay(gaon, 10_000)
    booked = LedgerTransaction.objects.count()
    (request,) = request_top_ups(now=NOW)
    assert (request.amount_krw, balance_of(gaon).prepaid_krw, LedgerTransaction.objects.count()) == (
        *(15_000, 10_000, booked),
    )
    payment = deposit(15_000, name=request.deposit_code)
    match_payment(payment=payment, actor=ACTOR, now=NOW)
    assert balance_of(gaon).prepaid_krw == 25_000
    reverse_payment(payment=payment, reason="반환", actor=ACTOR, now=NOW)
    assert (balance_of(gaon).prepaid_krw, balance_of(gaon).net_krw) == (10_000, -10_000)
    assert not Invoice.objects.exists()
    assert broken_checks() == {}


def test_a_paid_invoice_is_given_back_whole_or_in_two_parts(gaon: Customer) -> None:
    """Row 20: 12.00 were paid; a void has to give 12.00 back, and after a partial credit and its refund only the rest.

    10,909 and VAT 1,091 are 12,000. Void: all of it is free, and pays the invoice that is issued anew. That one is credited
    by 5,000: 5,909 that stay have 591, so 500 of VAT. 5,500 go back; no void any more, but a note of 5,909 + 591 = 6,500.
    """
    spend(gaon, 10_909)
    invoice = billed(gaon)
    payment = deposit(12_000, customer=gaon)
    allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=NOW)
    void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=NOW)
    assert (free(payment), won_on("revenue", "vat_payable", "receivable")) == (12_000, [0, 0, 0])

    anew = reissue_invoice(invoice=invoice, actor=ACTOR, now=NOW)
    allocate_payment(payment=payment, invoice=anew, actor=ACTOR, now=NOW)
    for won, back, reference in ((5_000, 5_500, "out-1"), (5_909, 6_500, "out-2")):
        assert (credit(anew, {1: won}).total_krw, free(payment)) == (back, back)
        refund_payment(payment=payment, reference=reference, refunded_at=NOW, reason="환불", actor=ACTOR)
        with pytest.raises(InvoiceIsCredited):
            void_invoice(invoice=anew, reason="x", actor=ACTOR, now=NOW)
    assert state(anew) == ("paid", 0)
    assert won_on("bank", "revenue", "vat_payable", "receivable", "unapplied") == [0, 0, 0, 0, 0]
    assert broken_checks() == {}


def test_a_credit_note_gives_the_prepayment_back_with_its_vat(gaon: Customer) -> None:
    """Row 29: credit of 100 paid 29.95 and its tax; 10.00 taken off came back without theirs.

    29,950 + 2,995 = 32,945 of 100,000 leave 67,055. 19,950 that stay have 1,995: 10,000 + 1,000 come back, 78,055.
    """
    prepay(gaon, 100_000)
    spend(gaon, 29_950)
    invoice = billed(gaon)
    assert (invoice.total_krw, balance_of(gaon).prepaid_krw) == (32_945, 67_055)
    note = credit(invoice, {1: 10_000})
    assert (note.vat_krw, note.total_krw, balance_of(gaon).prepaid_krw) == (1_000, 11_000, 78_055)
    assert Prepayment.objects.get().remaining_krw == 78_055
    assert (state(invoice), balance_of(gaon).unapplied_krw) == (("paid", 0), 0)
    assert broken_checks() == {}


def test_payments_refunds_and_a_returned_transfer_end_where_they_began(gaon: Customer) -> None:
    """Row 30: 249.95, 10 paid, refunds of 10, 1 and 10, a chargeback and its reversal: each must move the balance once.

    227,227 and VAT 22,722.7: 22,723 are 249,950. 10,000 leave 239,950. A transfer of 260,950 pays them; of the 21,000 too
    many nothing was sent back yet when the bank returns it: 239,950 are due again, and paid by the transfer that replaces
    it, of which 10,000, 1,000 and 10,000 go back.
    """
    spend(gaon, 227_227)
    invoice = billed(gaon)
    assert amounts(invoice) == (227_227, 22_723, 249_950)
    code = (invoice.document or {})["deposit_code"]
    for won, due in ((10_000, 239_950), (260_950, 0)):
        payment = deposit(won, name=code)
        match_payment(payment=payment, actor=ACTOR, now=NOW)
        assert state(invoice)[1] == due
    reverse_payment(payment=payment, reason="반환", actor=ACTOR, now=NOW)
    assert (state(invoice), won_on("bank", "unapplied")) == (("issued", 239_950), [10_000, 0])
    again = deposit(260_950, name=code)
    match_payment(payment=again, actor=ACTOR, now=NOW)
    assert (state(invoice), free(again)) == (("paid", 0), 21_000)
    for number, (won, left) in enumerate(((10_000, 11_000), (1_000, 10_000), (10_000, 0))):
        refund_payment(
            payment=again, amount_krw=won, reference=f"out-{number}", refunded_at=NOW, reason="x", actor=ACTOR
        )
        assert free(again) == left
    assert won_on("bank", "unapplied", "receivable") == [249_950, 0, 0]
    assert (state(invoice), balance_of(gaon).net_krw) == (("paid", 0), 0)
    assert broken_checks() == {}


def test_a_bill_that_shrank_gives_back_the_credit_used_last(gaon: Customer) -> None:
    """Row 36: of grants of 5 and 5, 8 were used; when the usage shrinks to 4, what opens first is what was used last.

    The invoice comes to nothing, and can be voided all the same. Issued anew at half the price, 4,000 are taken from the
    first grant: 1,000 of it and all of the second are left.
    """
    first, second = grant(gaon, 5_000), grant(gaon, 5_000)
    spend(gaon, 8_000)
    invoice = billed(gaon)
    assert (amounts(invoice), invoice.status, remaining(first, second)) == ((0, 0, 0), "paid", [0, 2_000])
    void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=NOW)
    assert remaining(first, second) == [5_000, 5_000]
    cut(gaon, share="0.5")
    assert amounts(reissue_invoice(invoice=invoice, actor=ACTOR, now=NOW)) == (0, 0, 0)
    assert remaining(first, second) == [1_000, 5_000]
    assert broken_checks() == {}


def test_a_deposit_for_a_void_invoice_pays_nothing(gaon: Customer) -> None:
    """Row 43: money for an order that was cancelled must neither revive it nor pay another one by itself.

    It waits as nobody's until somebody decides; the code of the invoice that was issued instead does pay.
    """
    spend(gaon, 20_000)
    invoice = billed(gaon)
    void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=NOW)
    anew = reissue_invoice(invoice=invoice, actor=ACTOR, now=NOW)
    codes = [(one.document or {})["deposit_code"] for one in (invoice, anew)]
    assert codes == ["JS26100001", "JS26100002"]
    lost, right = (deposit(22_000, name=code) for code in codes)
    assert match_payment(payment=lost, actor=ACTOR, now=NOW) == []
    assert (state(invoice), state(anew)) == (("void", 0), ("issued", 22_000))
    assert (free(lost), lost.customer) == (22_000, None)
    (made,) = match_payment(payment=right, actor=ACTOR, now=NOW)
    assert (made.invoice, state(anew)) == (anew, ("paid", 0))
    assert broken_checks() == {}
