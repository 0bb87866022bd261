"""The list of models: search, filters, order, pages, and what happens to addresses that somebody made up."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.http import urlencode
from pytest_django import DjangoAssertNumQueries

from catalog.models import Model, ModelAlias, Provider
from catalog.services import sync_catalog
from portal.selectors.storefront import ShelfQuery, models_on_shelf, shelf_items
from tests.shared import shared_data
from tests.storefront.shop import ABSURD, SINCE, WON, entry, sync, text_of

ON_SALE = {f"acme/{name}" for name in ("plain", "tiered", "free", "plain:free", "router", "lost", "odd", "draws")} | {
    "other/bare"
}


def ids(body: bytes) -> list[str]:
    return (
        re.findall(r'<a href="/models/([^"?]+)">', body.decode().split('class="items"')[-1])
        if b'"items"' in body
        else []
    )


def listed(**params: object) -> list[str]:
    answer = Client().get(f"/models?{urlencode(params, doseq=True)}")
    assert answer.status_code == 200
    return ids(answer.content)


@pytest.mark.usefixtures("shop")
class TestWhatIsListed:
    def test_everything_on_sale_newest_first(self) -> None:
        found = listed()
        assert found[0] == "acme/plain"
        assert set(found) == ON_SALE
        assert found[1:] == sorted(found[1:])  # of one age: by id

    def test_what_a_row_says(self) -> None:
        text = text_of(Client().get("/models?q=plain").content)
        assert (
            "Acme: Plain acme/plain 이미지 도구 호출 추론 구조화된 출력 컨텍스트 128,000 입력 $1.00 출력 $2.00" in text
        )
        assert "Acme: Plain:Free 무료 acme/plain:free 도구 호출 컨텍스트 128,000 입력 $0.00 출력 $0.00" in text
        text = text_of(Client().get("/models?q=other/bare").content)
        assert "컨텍스트 – 입력 $0.083333… 출력 $0.00000000001" in text

    def test_no_number_where_there_is_none(self) -> None:
        for name, words in (("router", "가변 요금"), ("lost", "가변 요금"), ("odd", "가격 확인 중")):
            text = text_of(Client().get(f"/models?q=acme/{name}").content).partition("모델 1개")[2]
            assert f"컨텍스트 128,000 단가 {words}" in text
            assert "$" not in text
            assert not WON.search(text)

    def test_in_english(self) -> None:
        text = text_of(Client(headers={"Accept-Language": "en"}).get("/models?q=router").content)
        assert "1 model " in text
        assert "Price Variable price" in text

    @pytest.mark.parametrize(
        ("params", "found"),
        [
            ({"q": "TIERED"}, {"acme/tiered"}),
            ({"q": "acme draws"}, {"acme/draws"}),
            ({"q": "draws   acme:"}, {"acme/draws"}),
            ({"q": "pläin"}, set()),
            ({"q": "%"}, set()),
            ({"q": "_"}, set()),
            ({"q": "'; DROP TABLE catalog_model; --"}, set()),
            ({"q": "🤖"}, set()),
            ({"input": "image"}, {"acme/plain"}),
            ({"output": "image"}, {"acme/draws"}),
            ({"output": "text"}, ON_SALE),
            ({"output": ["text", "image"]}, {"acme/draws"}),
            ({"output": "embeddings"}, set()),
            ({"feature": "reasoning"}, {"acme/plain"}),
            ({"feature": ["tools", "structured_outputs"], "input": "image"}, {"acme/plain"}),
            ({"feature": ["tools", "web_search_options"]}, set()),
            ({"provider": "other"}, {"other/bare"}),
            ({"provider": "", "sort": "", "q": "", "page": "1", "offset": 10**12, "limit": -1}, ON_SALE),
        ],
    )
    def test_filters(self, params: dict[str, object], found: set[str]) -> None:
        assert set(listed(**params)) == found

    def test_an_alias_finds_its_model_once(self) -> None:
        plain = Model.objects.get(model_id="acme/plain")
        for alias in ("simple", "einfach"):
            ModelAlias.objects.create(alias=alias, model=plain, created_by="test")
        assert listed(q="Simple") == ["acme/plain"]
        assert listed(q="acme/plain", input="image") == ["acme/plain"]

    def test_orders(self) -> None:
        cheap = listed(sort="pricing-low-to-high")
        assert cheap[:2] == ["acme/free", "acme/plain:free"]
        assert cheap[2:6] == ["other/bare", "acme/draws", "acme/plain", "acme/tiered"]
        assert set(cheap[6:]) == {"acme/router", "acme/lost", "acme/odd"}
        dear = listed(sort="pricing-high-to-low")
        assert dear[:2] == ["acme/tiered", "acme/draws"]
        assert set(dear[-3:]) == {"acme/router", "acme/lost", "acme/odd"}
        context = listed(sort="context-high-to-low")
        assert (context[0], context[-1]) == ("acme/tiered", "other/bare")
        assert listed(sort="name")[:2] == ["other/bare", "acme/draws"]  # Acme: Bare, Acme: Draws

    def test_the_state_stands_in_the_address_and_can_be_taken_back(self) -> None:
        address = "/models?q=acme&input=image&feature=tools&provider=acme&sort=name"
        body = Client().get(address).content.decode()
        for part in (
            'value="acme"',
            '<option value="name" selected>',
            '<option value="acme" selected>',
            'href="/models?input=image&amp;feature=tools&amp;provider=acme&amp;sort=name"',
            'href="/models?q=acme&amp;feature=tools&amp;provider=acme&amp;sort=name"',
            'href="/models?q=acme&amp;input=image&amp;provider=acme&amp;sort=name"',
            'href="/models?q=acme&amp;input=image&amp;feature=tools&amp;sort=name"',
        ):
            assert part in body
        assert re.search(r'name="input"\s+value="image"[^>]*checked', body)


@pytest.mark.usefixtures("shop")
class TestRefusals:
    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"feature": "teleport"}, "선택할 수 없는 값입니다."),
            ({"input": "smell"}, "선택할 수 없는 값입니다."),
            ({"output": "TEXT"}, "선택할 수 없는 값입니다."),
            ({"provider": "nobody"}, "선택할 수 없는 값입니다."),
            ({"provider": "other/"}, "선택할 수 없는 값입니다."),
            ({"sort": "cheapest"}, "선택할 수 없는 값입니다."),
            ({"sort": "x" * 10_000}, "선택할 수 없는 값입니다."),
            ({"q": "a" * 201}, "검색어는 200자까지 입력할 수 있습니다."),
            ({"q": "🤖" * 10_000}, "검색어는 200자까지 입력할 수 있습니다."),
            ({"q": "a\0b"}, "null 문자는 사용할 수 없습니다."),
        ],
    )
    def test_the_field_says_what_is_wrong(self, params: dict[str, str], words: str) -> None:
        answer = Client().get(f"/models?{urlencode(params)}")
        text = text_of(answer.content)
        assert answer.status_code == 400
        assert words in text
        assert "이 조건으로는 검색할 수 없습니다." in text
        assert ids(answer.content) == []
        assert "$" not in text

    @pytest.mark.parametrize(
        "page", ["0", "2", "-1", "1.5", "abc", "１", "1 ", "01", "", "999999", "1000000000000", "9" * 5000, "\0", "🤖"]
    )
    def test_pages_that_are_none(self, page: str) -> None:
        answer = Client().get(f"/models?{urlencode({'page': page, 'q': 'acme'})}")
        assert answer.status_code == 404
        assert "목록에 없는 쪽입니다." in text_of(answer.content)
        assert 'href="/models?q=acme"' in answer.content.decode()

    def test_nothing_found_says_so(self) -> None:
        text = text_of(Client().get("/models?q=zzz").content)
        assert "모델 0개" in text
        assert "조건에 맞는 모델이 없습니다." in text

    def test_text_of_a_visitor_stays_text(self) -> None:
        body = Client().get("/models?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%20onfocus=x").content.decode()
        assert "<script>alert" not in body
        assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot; onfocus=x" in body

    def test_only_reading(self) -> None:
        for method in ("post", "put", "patch", "delete"):
            assert getattr(Client(enforce_csrf_checks=False), method)("/models").status_code == 405

    def test_one_address(self) -> None:
        answer = Client().get("/models/?q=gpt&sort=name")
        assert (answer.status_code, answer["Location"]) == (301, "/models?q=gpt&sort=name")


def test_an_empty_shop(db: None) -> None:
    text = text_of(Client().get("/models").content)
    assert "조건에 맞는 모델이 없습니다." in text


def test_pages(db: None, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    sync([entry(f"acme/m{number:03}") for number in range(120)], at=SINCE)
    with django_assert_num_queries(3):
        first = Client().get("/models?q=acme").content
    assert ids(first) == [f"acme/m{number:03}" for number in range(50)]
    assert 'rel="prev"' not in first.decode()
    assert 'href="/models?q=acme&amp;page=2" rel="next"' in first.decode()
    last = Client().get("/models?q=acme&page=3").content.decode()
    assert ids(last.encode()) == [f"acme/m{number:03}" for number in range(100, 120)]
    assert 'rel="next"' not in last
    assert Client().get("/models?q=acme&page=4").status_code == 404


def test_the_real_catalog_costs_three_queries_a_page(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    body = shared_data("openrouter-models-2026-05-12.json").read_bytes()
    at = datetime(2026, 5, 12, tzinfo=UTC)
    sync_catalog(body=body, source="test", at=at, now=timezone.now(), actor="test")
    seen: list[str] = []
    for page in range(1, 9):
        with django_assert_num_queries(3):
            answer = Client().get(f"/models?page={page}&sort=pricing-low-to-high")
        assert answer.status_code == 200
        assert not ABSURD.search(text_of(answer.content))
        seen += ids(answer.content)
    assert (len(seen), len(set(seen))) == (356, 356)
    items = shelf_items(models_on_shelf(ShelfQuery(sort="pricing-low-to-high"), at=timezone.now()))
    totals = [item.price.prompt_usd + item.price.completion_usd for item in items if item.price.sheet]
    assert totals == sorted(totals)
    assert [item.price.kind for item in items[-3:]] == ["variable"] * 3
    assert len(listed(q="claude", feature=["tools", "reasoning"], input="image")) > 5


def test_the_longest_prices_are_sorted_without_being_rounded(db: None) -> None:
    tiny = "0." + "0" * 27
    sync([entry("a/x", tiny + "2", "0"), entry("a/y", tiny + "1", "0")], at=SINCE)
    assert listed(sort="pricing-low-to-high") == ["a/y", "a/x"]
    assert "$0.0000000000000000000001" in text_of(Client().get("/models").content)
    sync([entry("a/x", "9" * 20, "9" * 20), entry("a/y", "9" * 20, "9" * 19)], at=timezone.now())
    assert Client().get("/models?sort=pricing-high-to-low").status_code == 200


def test_a_price_that_begins_and_one_that_ended(db: None) -> None:
    sync([entry("a/x")], at=SINCE)
    later = datetime(2026, 3, 1, tzinfo=UTC)
    sync([entry("a/x", "0.000007")], at=later)
    model = Model.objects.get()
    for at, usd in ((SINCE, "0.000001"), (later, "0.000007")):
        [item] = shelf_items(models_on_shelf(ShelfQuery(), at=at))
        assert (item.model, item.price.prompt_usd) == (model, Decimal(usd))
    [before] = shelf_items(models_on_shelf(ShelfQuery(), at=datetime(2025, 1, 1, tzinfo=UTC)))
    assert before.price.kind == "unknown"


def test_names_of_providers_and_models_stay_text(db: None) -> None:
    sync([entry("acme/x", name="Acme: <b>\u202eevil</b>")], at=SINCE)
    Provider.objects.update(name="<i>Acme</i>")
    body = Client().get("/models").content.decode()
    assert "Acme: &lt;b&gt;evil&lt;/b&gt;" in body
    assert "<i>Acme" not in body
