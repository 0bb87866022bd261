"""The monthly calculator: the engine's quote or a sentence, whatever somebody types."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import override

from billing.selectors.quotes import MAX_MONTHLY_TOKENS, monthly_estimate
from billing.services.margins import set_margin
from catalog.selectors import price_in_force
from portal.selectors.storefront import ShelfItem
from portal.views.storefront_forms import MAX_TOKENS, EstimateForm
from portal.views.storefront_model import _estimate
from tests.portal.factories import ACTOR, make_rate, today
from tests.storefront.shop import ABSURD, ENTRIES, SINCE, WON, entry, model, open_shop, sync, text_of

NEGATIVE = "토큰 수는 음수일 수 없습니다."
FRACTION = "토큰 수는 정수로 입력해 주세요. 소수는 쓸 수 없습니다."
DIGITS = "숫자는 반각 0–9로 입력해 주세요."
HUGE = "계산할 수 있는 범위를 넘었습니다. 한 달에 1,000,000,000,000토큰까지 입력할 수 있습니다."
INVALID = "500,000 또는 0.5M처럼 입력해 주세요."
BLANK = "토큰 수를 입력해 주세요. 0도 됩니다."

REFUSED = [
    *((text, NEGATIVE) for text in ("-1", "-500,000", "-0", "−5", "- 5", "-0.5M", "–7", "－5")),
    *((text, FRACTION) for text in ("1.5", "0.5", ".5", "5.", "1,000.5", "0.1234567M", "500.000")),
    *((text, DIGITS) for text in ("５００", "５００，０００", "٥٠٠", "1２3", "½", "²")),
    *((text, HUGE) for text in ("1000000000001", "1,000,000,000,001", "1000001M", "9" * 20, "9" * 10_000, "0" * 41)),
    *(
        (text, INVALID)
        for text in (
            *("abc", "1e6", "1E6", "0x10", "1_000", "1,00", "1,0000", ",100", "100,", "1,,000", "1 000", "+5", "5-"),
            *("NaN", "Infinity", "inf", "null", "5원", "50만", "0.5K", "0.5MM", "M", ".M", "$5", "5;DROP", "<script>"),
            *("500,000 토큰", "1.000.000", "0.5 M", "🤖", "x" * 10_000, "1\x002", "--5"),
        )
    ),
    *((text, BLANK) for text in ("", " ", "\t\n")),
]
ACCEPTED = {
    "0": 0,
    "1": 1,
    "500000": 500_000,
    "500,000": 500_000,
    " 1,234,567 ": 1_234_567,
    "0.5M": 500_000,
    "0.5m": 500_000,
    "0.000001M": 1,
    "2M": 2_000_000,
    "007": 7,
    "1,000,000,000,000": 10**12,
    "1000000M": 10**12,
}


def ask(name: str = "acme/plain", **params: str) -> tuple[int, str]:
    answer = Client().get(f"/models/{name}?{urlencode(params)}")
    return answer.status_code, text_of(answer.content)


@pytest.mark.parametrize(("text", "count"), ACCEPTED.items())
def test_numbers_as_people_write_them(text: str, count: int) -> None:
    form = EstimateForm({"input": text})
    assert form.is_valid()
    assert form.cleaned_data == {"input": count, "output": 500_000}


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_anything_else_is_told_why(text: str, sentence: str) -> None:
    with override("ko"):
        form = EstimateForm({"output": text})
        assert dict(form.errors) == {"output": [sentence]}


def test_the_form_never_asks_more_than_the_engine_answers() -> None:
    assert MAX_TOKENS <= MAX_MONTHLY_TOKENS


@pytest.mark.usefixtures("shop")
class TestOnThePage:
    def test_a_month_without_asking(self) -> None:
        status, text = ask()
        assert status == 200
        assert "월 예상 확정 아님 (예상) 월 입력 토큰 월 출력 토큰 계산 공급가액 2,471원" in text
        # USD 0.5 + 1 = 1.5; x 1400 / 0.85 = 2470.588; 247.1
        assert "공급가액 2,471원 부가세(10%) 247원 결제 금액 2,718원 매입세액 공제 가능 247원" in text
        assert f"$1.50 × 1,400.00원 ÷ (1 − 수수료율 15%) · 환율: 한국수출입은행 {today() - timedelta(days=1)}" in text
        assert "청구서에는 사용한 달의 환율을 적용합니다." in text

    def test_it_is_the_engines_quote(self) -> None:
        for input_text, output_text in (("1", "0"), ("0", "1"), ("123,456,789", "0.000007M"), ("1000000M", "1000000M")):
            status, text = ask(input=input_text, output=output_text)
            quote = monthly_estimate(
                model="acme/plain",
                input_tokens=ACCEPTED.get(input_text, 123_456_789),
                output_tokens=ACCEPTED.get(output_text, 7),
                at=timezone.now(),
            )
            totals = quote.totals
            assert status == 200
            assert (
                f"공급가액 {totals.supply_krw:,}원 부가세(10%) {totals.vat_krw:,}원 결제 금액 {totals.total_krw:,}원"
                in text
            )
            assert not ABSURD.search(text)

    def test_nothing_costs_nothing(self) -> None:
        assert "공급가액 0원 부가세(10%) 0원 결제 금액 0원" in ask(input="0", output="0")[1]

    @pytest.mark.parametrize(("typed", "sentence"), REFUSED)
    def test_a_refusal_shows_no_amount(self, typed: str, sentence: str) -> None:
        status, text = ask(input=typed)
        assert status == 400
        assert f"월 입력 토큰 {sentence}" in text
        assert "계산하지 않았습니다. 입력란 아래의 안내를 확인해 주세요." in text
        assert not WON.search(text)
        assert not ABSURD.search(text)

    def test_a_refusal_in_english(self) -> None:
        answer = Client(headers={"Accept-Language": "en"}).get("/models/acme/plain?output=-5")
        assert answer.status_code == 400
        assert "Output tokens a month A number of tokens can't be negative." in text_of(answer.content)

    def test_what_was_typed_stays_text(self) -> None:
        body = Client().get('/models/acme/plain?input="><script>alert(1)</script>').content.decode()
        assert 'value="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in body
        assert body.count("<script") == 1

    def test_the_last_of_several_values_counts(self) -> None:
        answer = Client().get("/models/acme/plain?input=-1&input=1,000,000&output=0&as=acme/tiered")
        # USD 1 of acme/plain: only a router's page asks for another model
        assert "공급가액 1,647원 부가세(10%) 165원 결제 금액 1,812원" in text_of(answer.content)


class TestMissingTerms:
    def test_without_a_rate(self, db: None) -> None:
        open_shop(terms=False)
        set_margin(customer=None, margin=Decimal(0), effective_from=date(2026, 1, 1), actor=ACTOR)
        make_rate(rate_on=today() - timedelta(days=15))  # too old to be anybody's
        status, text = ask()
        assert status == 200
        assert "오늘 적용할 환율이 없어 원화 금액을 계산하지 않았습니다." in text
        assert "입력 $1.00 출력 $2.00" in text
        assert not WON.search(text)
        make_rate(rate_on=today() - timedelta(days=14))
        assert "공급가액 2,100원" in ask()[1]

    def test_without_a_fee_rate(self, db: None) -> None:
        open_shop(terms=False)
        make_rate(rate_on=today())
        status, text = ask()
        assert status == 200
        assert "오늘 적용할 수수료율이 없어 원화 금액을 계산하지 않았습니다." in text
        assert not WON.search(text)


@pytest.mark.usefixtures("shop")
class TestRouters:
    def test_no_number_of_its_own(self) -> None:
        status, text = ask("acme/router")
        assert status == 200
        assert "Acme: Router 가변 요금" in text
        assert "입력 $1.00 – $2.00 출력 $2.00 – $10.00" in text
        assert "연결되는 모델 2개의 기본 단가 범위입니다." in text
        assert "가변 요금은 정해진 금액이 없습니다. 계산할 모델을 골라 주세요." in text
        assert "2026-01-01부터 가변 요금입니다." in text
        assert not WON.search(text)
        assert not ABSURD.search(text)

    def test_the_visitor_picks_a_model(self) -> None:
        status, text = ask("acme/router", **{"as": "acme/plain"})
        assert status == 200
        assert "모든 요청에 acme/plain 모델이 응답할 때 공급가액 2,471원" in text
        body = Client().get("/models/acme/router?input=7&output=2M").content.decode()
        assert 'href="?as=acme%2Fplain&amp;input=7&amp;output=2M#estimate"' in body
        assert '<option value="acme/tiered">acme/tiered</option>' in body

    @pytest.mark.parametrize(
        "other",
        ["acme/router", "acme/odd", "acme/free", "other/old", "acme/nothing", "ACME/plain", "x" * 10_000, "a\0b"],
    )
    def test_only_models_that_it_leads_to_and_that_have_a_price(self, other: str) -> None:
        status, text = ask("acme/router", **{"as": other})
        assert status == 400
        assert "이 라우터가 연결하지 않는 모델입니다." in text
        assert not WON.search(text)

    def test_bad_amounts_keep_out_of_the_links(self) -> None:
        status, text = ask("acme/router", **{"as": "acme/plain", "input": "-1"})
        body = Client().get("/models/acme/router?input=-1&output=3").content.decode()
        assert (status, NEGATIVE in text) == (400, True)
        assert 'href="?as=acme%2Fplain&amp;output=3#estimate"' in body

    def test_a_router_that_leads_nowhere_known(self) -> None:
        status, text = ask("acme/lost", **{"as": "acme/plain"})
        assert status == 200
        assert "연결되는 모델이 등록되어 있지 않아 범위를 표시할 수 없습니다." in text
        assert "월 예상" not in text
        assert not WON.search(text)
        assert "$" not in text.replace("$JEONGSAN_API_KEY", "")

    def test_the_minus_one_of_the_listing_is_on_no_page(self) -> None:
        for name in ("acme/router", "acme/lost"):
            for params in ({}, {"input": "1", "output": "1"}, {"as": "acme/plain"}, {"as": ""}):
                text = ask(name, **params)[1]
                assert not re.search(r"(?<!\d)(?<!\d\d)-1", text)
                assert "1,647,058,824" not in text


@pytest.mark.usefixtures("shop")
class TestChangesMeanwhile:
    """A price or a model that goes between the moment a page reads it and the moment it asks for the quote."""

    @pytest.mark.parametrize("kind", ["variable", "checked", "gone"])
    def test_a_sentence_and_no_amount(self, kind: str) -> None:
        now = timezone.now()
        sold = model("acme/free")
        item = ShelfItem.of(sold, price_in_force(sold, at=now))
        assert item.price.sheet is not None
        if kind == "gone":
            now = SINCE - timedelta(days=1)
        else:
            new = entry("acme/free", "-1") if kind == "variable" else entry("acme/free", pricing={"mystery": "1"})
            sync([one for one in ENTRIES[:-1] if one["id"] != "acme/free"] + [new], at=now)
        form = EstimateForm(RequestFactory().get("/").GET)
        assert form.is_valid()
        with override("ko"):
            estimate = _estimate(form, item, None, now + timedelta(seconds=1) if kind != "gone" else now)
        assert estimate is not None
        assert estimate.quote is None
        assert estimate.problem == "지금 이 모델의 가격이 바뀌고 있습니다. 페이지를 다시 열어 주세요."
