"""The public pages in a real Chromium: silent console, no sideways scrolling, and all of it without a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request
from pytest_django.live_server_helper import LiveServer

from catalog.models import Model
from tests.storefront.shop import ENTRIES, entry, open_shop, sync

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = (
    *("/", "/models", "/models?q=acme&feature=tools&input=image&provider=acme&sort=name", "/models?q=zzz"),
    *("/models/acme/plain", "/models/acme/tiered", "/models/acme/free", "/models/acme/router"),
    *("/models/acme/router?as=acme/plain&input=1000000M&output=1000000M", "/models/acme/lost", "/models/acme/odd"),
    *("/models/other/bare", "/models/other/old", "/models/acme/" + "w" * 100),
)
REFUSALS = {
    "/models?page=99": 404,
    "/models?sort=x&q=" + "w" * 300: 400,
    "/models/acme/" + "x" * 3000: 404,
    "/models/acme/plain?input=-1&output=%EF%BC%95": 400,
}


@pytest.fixture
def site(live_server: LiveServer) -> LiveServer:
    """The shop, served, with a price that changed and a model whose texts are as long as they may be."""
    open_shop()
    dearer = {**ENTRIES[0], "pricing": {**ENTRIES[0]["pricing"], "prompt": "0.0000012"}}
    long = entry(
        "acme/" + "w" * 100,
        name="W" * 300,
        description="D" * 3000 + " https://acme.example/" + "u" * 1000,
        supported_parameters=["p" * 300, "tools"],
        pricing={"overrides": [{"min_prompt_tokens": 10**12, "prompt": "0.1"}]},
    )
    sync([dearer, long, *ENTRIES[1:-1]], at=datetime(2026, 7, 1, tzinfo=UTC))
    return live_server


def failure(request: Request) -> list[str]:
    """What failed; the icon of a page that was left before it came did not."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"failed: {request.url} {request.failure}"]


@pytest.fixture
def visit(site: LiveServer, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page in a language and width; what the console says ends up in `noise`."""
    contexts: list[BrowserContext] = []

    def open_page(
        path: str = "/models",
        *,
        language: str = "ko",
        width: int = 1280,
        noise: list[str] | None = None,
        js: bool = True,
    ) -> Page:
        context = chromium.new_context(
            base_url=site.url,
            locale={"ko": "ko-KR", "en": "en-US"}[language],
            viewport={"width": width, "height": 800},
            java_script_enabled=js,
        )
        contexts.append(context)
        page = context.new_page()
        heard = noise if noise is not None else []
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("requestfailed", lambda request: heard.extend(failure(request)))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_fits_and_is_silent(language: str, width: int, visit: Callable[..., Page]) -> None:
    noise: list[str] = []
    page = visit(language=language, width=width, noise=noise)

    def check(path: str, status: int) -> None:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == status, path
        for opener in page.locator("summary, .narrow-label").all():
            if opener.is_visible():
                opener.click()
        inner, scroll = page.evaluate("[innerWidth, document.scrollingElement.scrollWidth]")
        assert scroll <= inner, f"{path} is {scroll} wide"
        assert page.evaluate("document.documentElement.lang") == language
        styled = page.evaluate("getComputedStyle(document.querySelector('header.site')).borderBottomStyle")
        assert styled == "solid", f"{path} has no style sheet"

    for path in PAGES:
        check(path, 200)
    assert noise == []
    for path, status in REFUSALS.items():
        check(path, status)
    # The browser itself notes these statuses; our own part stays silent.
    assert [line for line in noise if "the server responded with a status of 40" not in line] == []


def test_searching_and_calculating_without_a_script(visit: Callable[..., Page]) -> None:
    page = visit(js=False, width=360)
    page.get_by_label("검색", exact=True).fill("acme")
    assert not page.get_by_label("추론").is_visible()
    page.get_by_text("필터", exact=True).click()
    page.get_by_label("추론").check()
    page.get_by_label("정렬").select_option("pricing-low-to-high")
    page.get_by_role("button", name="검색").click()
    assert "feature=reasoning" in page.url
    assert page.locator(".item").count() == 1
    page.get_by_role("link", name="Acme: Plain").click()
    page.wait_for_url("**/models/acme/plain")
    page.get_by_label("월 입력 토큰").fill("1,000,000")
    page.get_by_label("월 출력 토큰").fill("0")
    page.get_by_role("button", name="계산").click()
    page.wait_for_url("**/models/acme/plain?input=1%2C000%2C000&output=0#estimate")
    # USD 1.20 x 1400 / 0.85
    assert page.locator("#estimate").locator("xpath=..").get_by_text("1,976원").is_visible()
    assert page.locator(".panel-python").is_visible()
    page.get_by_text("cURL", exact=True).click()
    assert page.locator(".panel-curl").is_visible()
    assert not page.locator(".panel-python").is_visible()
    assert page.get_by_role("button", name="복사").count() == 0


def test_the_tabs_by_keyboard_and_the_copy_button(site: LiveServer, visit: Callable[..., Page]) -> None:
    page = visit("/models/acme/plain")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    page.locator("#tab-python").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".panel-node").is_visible()
    outline = page.evaluate("getComputedStyle(document.querySelector('label[for=tab-node]')).outlineStyle")
    assert outline == "solid"
    page.locator(".panel-node").get_by_role("button", name="복사").click()
    page.locator(".panel-node").get_by_role("button", name="복사됨").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith('import OpenAI from "openai";\n')
    assert f'baseURL: "{site.url}/v1"' in copied
    assert 'model: "acme/plain"' in copied
    page.locator(".model-id").get_by_role("button", name="복사").click()
    page.locator(".model-id").get_by_role("button", name="복사됨").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "acme/plain"


def test_the_chart_is_drawn_and_its_numbers_are_in_a_table(visit: Callable[..., Page]) -> None:
    page = visit("/models/acme/plain")
    chart = page.get_by_role("img", name="2026-01-01부터")
    assert "가격 2건" in (chart.get_attribute("aria-label") or "")
    assert chart.locator("path.input").bounding_box()["width"] > 300
    page.get_by_text("표로 보기").click()
    assert page.get_by_role("cell", name="+20%").is_visible()


def test_a_router_lets_one_pick(visit: Callable[..., Page]) -> None:
    page = visit("/models/acme/router", language="en")
    assert page.get_by_text("₩").count() == 0
    page.get_by_label("Calculate with", exact=True).select_option("acme/tiered")
    page.get_by_role("button", name="Calculate").click()
    page.get_by_text("If acme/tiered answers every request:").wait_for()
    assert page.get_by_text("₩9,882").is_visible()
    page.get_by_role("link", name="Calculate with Acme: Plain").click()
    page.get_by_text("If acme/plain answers every request:").wait_for()


def test_the_language_stays_with_the_page_and_its_question(visit: Callable[..., Page]) -> None:
    page = visit("/models?q=acme&sort=name")
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Models and prices").wait_for()
    assert page.url.endswith("/models?q=acme&sort=name")
    assert Model.objects.filter(status="active").count() == 10
