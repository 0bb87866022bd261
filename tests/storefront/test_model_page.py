"""The page of one model: its names, what it says of price and state, and what an upstream can't make it say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.services import create_customer
from catalog.models import Model, ModelAlias, Price
from catalog.services import sync_catalog
from tests.portal.factories import make_user
from tests.portal.test_security import INLINE, POLICY
from tests.shared import shared_data
from tests.storefront.shop import ABSURD, ENTRIES, SINCE, TIERS, WON, entry, sync, text_of


def page(name: str, **headers: str) -> str:
    answer = Client(headers=headers).get(f"/models/{name}")
    assert answer.status_code == 200
    return text_of(answer.content)


@pytest.mark.usefixtures("shop")
class TestNames:
    @pytest.mark.parametrize(
        "path", ["acme/plain", "acme%2Fplain", "acme/plain:free", "acme/plain%3Afree", "acm%65/plain"]
    )
    def test_the_page_itself(self, path: str) -> None:
        assert Client().get(f"/models/{path}").status_code == 200

    @pytest.mark.parametrize(
        ("path", "target"),
        [
            ("acme/plain/", "acme/plain"),
            ("acme/plain-2026", "acme/plain"),
            ("simple", "acme/plain"),
            ("ACME/Plain", "acme/plain"),
            ("Acme/PLAIN/", "acme/plain"),
            ("acme/plain:nitro", "acme/plain"),
            ("acme/plain:thinking", "acme/plain"),
            ("acme/plain:online", "acme/plain"),
            ("simple:floor", "acme/plain"),
            ("ACME/plain:FREE", "acme/plain:free"),
        ],
    )
    def test_other_names_lead_there(self, path: str, target: str) -> None:
        ModelAlias.objects.create(alias="simple", model=Model.objects.get(model_id="acme/plain"), created_by="test")
        answer = Client().get(f"/models/{path}?input=5")
        assert (answer.status_code, answer["Location"]) == (302, f"/models/{target}?input=5")

    @pytest.mark.parametrize(
        "path",
        [
            "acme",
            "acme/",
            "plain",
            "/acme/plain",
            "acme//plain",
            "acme/plain//",
            "acme/plain/x",
            "acme%252Fplain",
            "acme%5Cplain",
            "acme/plain%20",
            "%20acme/plain",
            "acme/plain%00",
            "%00",
            "acme/plain%0a",
            "acme/./plain",
            "acme/../acme/plain",
            "acme/plain:",
            "acme/plain::free",
            "acme/plain:free:free",
            "acme/plain:free:nitro",
            "acme/plain:nitro:nitro",
            "acme/plain:teleport",
            "acme/plain:NITRO",
            "acme/tiered:free",
            "acme/tiered:thinking",
            "acme/tiered:online",
            "%EF%BD%81cme/plain",
            "acme/pl%C4%B1n",
            "acme/%F0%9F%A4%96",
            "acme/%FF",
            "~acme/plain",
            "acme/plain%3Cscript%3E",
            "a" * 10_000,
            "a/" * 5_000,
            "acme/plain:" + "x" * 10_000,
        ],
    )
    def test_names_that_nobody_has(self, path: str) -> None:
        answer = Client().get(f"/models/{path}")
        assert answer.status_code == 404
        assert "<script" not in answer.content.decode()
        text = text_of(answer.content)
        assert "없는 모델입니다" in text or "페이지를 찾을 수 없습니다" in text

    def test_the_404_is_ours_in_both_languages(self) -> None:
        assert "“acme/nothing” 모델은 판매하지 않습니다." in text_of(Client().get("/models/acme/nothing").content)
        english = text_of(Client(headers={"Accept-Language": "en"}).get("/models/acme/nothing").content)
        assert "Nothing we sell is called “acme/nothing”." in english

    def test_only_reading(self) -> None:
        assert Client().post("/models/acme/plain").status_code == 405


def test_ids_of_odd_characters_have_a_page(db: None) -> None:
    names = ("a/50%", "a/x?y=1#z", "a/이름", "a/it's\"", "~a/latest", "solo", "a/b/c", "a/<b>", "a/{{x}}")
    sync([entry(one) for one in names], at=SINCE)
    for name in names:
        answer = Client().get(reverse("portal:model", args=[name]))
        assert answer.status_code == 200, name
        assert f"{name} 복사" in text_of(answer.content)


@pytest.mark.usefixtures("shop")
class TestWhatItSays:
    def test_of_a_plain_model(self) -> None:
        text = page("acme/plain")
        for words in (
            "모델·요금 / Acme Acme: Plain acme/plain 복사 이미지 도구 호출 추론 구조화된 출력",
            "원가 USD, 1M 토큰당, 부가세 별도 입력 $1.00 출력 $2.00",
            "컨텍스트 128,000 토큰 최대 출력 16,384 토큰 입력 형식 텍스트, 이미지 출력 형식 텍스트 등록일 2025-10-09",
            "종료 예정일 2027-03-01",
            "지원 파라미터 tools reasoning structured_outputs",
            "항목 단가 단위 입력 $1.00 1M 토큰 출력 $2.00 1M 토큰 캐시 읽기 $0.10 1M 토큰 웹 검색 $0.01 검색 1회",
            "처음 기록한 2026-01-01부터 바뀌지 않았습니다.",
            "Base URL http://testserver/v1",
            "로그인하고 API 키 만들기",
        ):
            assert words in text
        assert "조건별 단가" not in text
        assert not ABSURD.search(text)

    def test_in_english(self) -> None:
        text = page("acme/plain", **{"Accept-Language": "en"})
        for words in (
            "Image Tool calls Reasoning Structured outputs",
            "Cost price USD per 1M tokens, without VAT Input $1.00 Output $2.00",
            "Supply value ₩2,471 VAT (10%) ₩247 Amount to pay ₩2,718 Deductible as input tax ₩247",
            "Unchanged since 2026-01-01, when we recorded it first.",
            "Log in to make an API key",
        ):
            assert words in text

    def test_the_description_is_no_markup(self) -> None:
        body = Client().get("/models/acme/plain").content.decode()
        assert '<a href="/models/acme/tiered">Also</a>' in body
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
        assert INLINE.findall(body.replace("[run](javascript:alert(3))", "").replace("onerror=alert(2)", "")) == []
        assert body.count("<script") == 1

    def test_tiers_and_hours(self) -> None:
        text = page("acme/tiered")
        assert "긴 요청이나 시간대에 따라 단가가 다릅니다" in text
        assert (
            "조건별 단가 조건 입력 / 1M 토큰 출력 / 1M 토큰 "
            "입력 토큰이 200,000개를 넘는 요청 $4.00 그대로 매일 01:30–09:30 (KST) $0.50 $5.00" in text
        )
        # 0.5M + 0.5M at the dearest hours: USD 1 + 5
        assert "공급가액 9,882원 부가세(10%) 988원 결제 금액 10,870원 매입세액 공제 가능 988원" in text
        assert "짧은 요청을 기준으로 계산했습니다." in text
        assert "하루 중 가장 비싼 시간대의 단가로 계산했습니다." in text

    def test_a_free_model(self) -> None:
        text = page("acme/free")
        assert "Acme: Free 무료" in text
        assert "공급가액 0원 부가세(10%) 0원 결제 금액 0원" in text

    def test_a_listing_that_says_next_to_nothing(self) -> None:
        text = page("other/bare")
        assert "입력 $0.083333… 출력 $0.00000000001" in text
        assert "컨텍스트 알 수 없음" in text
        assert "입력 형식 텍스트 출력 형식 텍스트" in text
        assert "캐시 단가가 따로 없어" in text

    @pytest.mark.parametrize("name", ["acme/odd", "acme/draws"])
    def test_a_price_that_is_being_checked(self, name: str) -> None:
        unreadable = entry("acme/draws", pricing={"mystery_fee": "0.1"})
        sync([*(one for one in ENTRIES[:-1] if one["id"] != "acme/draws"), unreadable], at=timezone.now())
        text = page(name)
        assert f"Acme: {name[5:].title()} 가격 확인 중" in text
        assert "금액을 표시하거나 계산하지 않습니다." in text
        assert "가격 확인이 끝나면 다시 표시합니다." in text
        assert "$" not in text.replace("$JEONGSAN_API_KEY", "")
        assert not WON.search(text)
        assert "mystery" not in text

    def test_a_retired_model(self) -> None:
        text = page("other/old")
        assert "Acme: Old 판매 종료" in text
        assert "2026-06-01에 판매를 마친 모델입니다." in text
        assert not WON.search(text)
        assert "월 예상" not in text
        assert "API 사용법" not in text
        assert "other/old" not in text_of(Client().get("/models").content)

    def test_a_model_that_is_retired_while_somebody_looks(self) -> None:
        assert "월 예상" in page("acme/plain")
        sync([one for one in ENTRIES if one["id"] != "acme/plain"], at=timezone.now())
        text = page("acme/plain?input=1,000&output=1,000")
        assert "판매를 마친 모델입니다." in text
        assert not WON.search(text)
        router = page("acme/router")
        assert "Acme: Plain" not in router
        assert "Acme: Tiered" in router
        gone = Client().get("/models/acme/router?as=acme/plain&input=1&output=1")
        assert gone.status_code == 400
        assert "이 라우터가 연결하지 않는 모델입니다." in text_of(gone.content)

    def test_facts_that_are_no_facts(self) -> None:
        odd = entry(
            "acme/wild",
            architecture={"input_modalities": "image", "output_modalities": [1, None, "text", "smell"]},
            top_provider=["x"],
            supported_parameters={"tools": True},
            expiration_date="tomorrow<script>",
            context_length=-5,
            name="\u202eevil",
            description=None,
            created="x",
        )
        sync([*ENTRIES, odd], at=timezone.now())
        text = page("acme/wild")
        assert "컨텍스트 알 수 없음" in text
        assert "tomorrow" not in text
        assert "evil" in text
        assert Client().get("/models?q=acme/wild").status_code == 200


@pytest.mark.usefixtures("shop")
class TestAround:
    def test_headers(self) -> None:
        for path in ("/", "/models", "/models/acme/plain", "/models/acme/nothing"):
            answer = Client().get(path)
            assert "; ".join(sorted(answer["Content-Security-Policy"].split("; "))) == POLICY
            assert answer["X-Content-Type-Options"] == "nosniff"

    def test_the_way_to_a_key(self) -> None:
        customer = create_customer(slug="hanbit", name="한빛", actor="test")
        member, alone = make_user(email="a@b.example", customers=(customer,)), make_user(email="c@d.example")
        for user, target in ((None, "/login/"), (member, "/c/hanbit/keys/"), (alone, "/")):
            client = Client()
            if user:
                client.force_login(user)
            body = client.get("/models/acme/plain").content.decode()
            assert f'<a class="button primary" href="{target}">' in body

    def test_a_customer_sees_its_own_terms(self) -> None:
        customer = create_customer(
            slug="hanbit",
            name="한빛",
            actor="test",
            exchange_rule="fixed",
            fixed_rate_krw_per_usd=1000,
            rounding="down",
        )
        client = Client()
        client.force_login(make_user(email="a@b.example", customers=(customer,)))
        text = text_of(client.get("/models/acme/plain").content)
        # 1.5 x 1000 / 0.85 = 1764.7
        assert "공급가액 1,764원 부가세(10%) 176원 결제 금액 1,940원" in text
        assert "계약 환율 · 한빛 계약 조건" in text

    def test_the_address_of_the_api(self, settings: Settings) -> None:
        settings.ALLOWED_HOSTS = ["shop.example"]
        assert "https://shop.example/v1" in text_of(
            Client().get("/models/acme/plain", headers={"Host": "shop.example"}, secure=True).content
        )
        assert Client().get("/models/acme/plain", headers={"Host": "evil.example"}).status_code == 400
        settings.PUBLIC_BASE_URL = "https://api.example.com/llm"
        text = text_of(Client().get("/models/acme/plain", headers={"Host": "shop.example"}).content)
        assert 'base_url="https://api.example.com/llm/v1"' in text
        assert "https://api.example.com/llm/v1/chat/completions" in text
        assert "shop.example" not in text

    def test_queries_are_few(self, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
        for name, most in (("acme/plain", 14), ("acme/router", 9), ("acme/nothing", 4), ("other/old", 6)):
            with django_assert_max_num_queries(most):
                Client().get(f"/models/{name}")
        with django_assert_max_num_queries(16):
            Client().get("/models/acme/router?as=acme/plain")

    def test_history(self) -> None:
        dearer = {**ENTRIES[0], "pricing": {**ENTRIES[0]["pricing"], "prompt": "0.0000012"}}
        sync([dearer, *ENTRIES[1:-1]], at=datetime(2026, 7, 1, tzinfo=UTC))
        text = page("acme/plain")
        assert "2026-07-01 – $1.20 $2.00 +20% 2026-01-01 2026-07-01 $1.00 $2.00" in text
        assert "처음 기록한" not in text


def test_every_real_model_has_a_page_without_an_absurd_amount(db: None) -> None:
    body = shared_data("openrouter-models-2026-05-12.json").read_bytes()
    at = datetime(2026, 5, 12, tzinfo=UTC)
    sync_catalog(body=body, source="test", at=at, now=timezone.now(), actor="test")
    client = Client()
    for model_id in Model.objects.values_list("model_id", flat=True):
        answer = client.get(reverse("portal:model", args=[model_id]))
        assert answer.status_code == 200, model_id
        text = text_of(answer.content)
        assert not ABSURD.search(text), model_id
        assert not WON.search(text), model_id  # there is no rate here
        assert re.search("오늘 적용할 환율이 없어|가변 요금", text), model_id


def test_announced_prices_are_shown_as_such(shop: None) -> None:
    model = Model.objects.get(model_id="acme/tiered")
    begins = timezone.now() + timedelta(days=20)
    current = model.prices.get()
    Price.objects.filter(pk=current.pk).update(effective_to=begins)
    components = {"prompt": "0.000003", "completion": "0.00001"}
    Price.objects.create(
        model=model,
        kind="listed",
        effective_from=begins,
        components=components,
        overrides=TIERS,
        listed_pricing=components,
        source="test",
        created_by="test",
    )
    text = page("acme/tiered")
    assert "예정 – $3.00 $10.00 +50%" in text
    assert "원가 USD, 1M 토큰당, 부가세 별도 입력 $2.00" in text
    assert 'class="now"' in Client().get("/models/acme/tiered").content.decode()
