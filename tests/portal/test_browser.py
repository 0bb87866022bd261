"""The pages in a real Chromium: silent console, no sideways scrolling, keyboard and clipboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from pytest_django.live_server_helper import LiveServer

from accounts.models import ApiKey
from tests.portal.factories import PASSWORD, Cast, make_cast, make_usage, this_month
from tests.portal.test_isolation import FILES, PAGES, address

pytestmark = pytest.mark.django_db(transaction=True)

WIDTHS = (360, 1280)
LONG_NAME = "아주아주 긴 이름의 고객사 한빛 주식회사 서울본사 영업지원센터 <b>&amp;</b> " + "W" * 60


@pytest.fixture
def site(live_server: LiveServer) -> tuple[Cast, LiveServer]:
    """A served cast whose texts are as long as they may be."""
    cast = make_cast()
    acme = cast.acme.customer
    acme.name = LONG_NAME
    acme.save(update_fields=["name"])
    ApiKey.objects.filter(pk=cast.acme.key.key.pk).update(name="키" * 100)
    make_usage(customer=acme, event_id="large", occurred_at=this_month().start_at, prompt=10**11, completion=9 * 10**11)
    return cast, live_server


@pytest.fixture
def visit(site: tuple[Cast, LiveServer], chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a logged-in page in a language and width; what the console says ends up in `noise`."""
    contexts: list[BrowserContext] = []

    def open_page(*, language: str = "ko", width: int = 1280, noise: list[str] | None = None) -> Page:
        _, server = site
        context = chromium.new_context(
            base_url=server.url,
            locale={"ko": "ko-KR", "en": "en-US"}[language],
            viewport={"width": width, "height": 800},
        )
        contexts.append(context)
        page = context.new_page()
        heard = noise if noise is not None else []
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("requestfailed", lambda request: heard.append(f"failed: {request.url}"))
        page.goto("/login/")
        page.get_by_label({"ko": "이메일", "en": "E-mail"}[language]).fill("owner@acme.example")
        page.get_by_label({"ko": "비밀번호", "en": "Password"}[language]).fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/c/acme/")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_is_silent(
    language: str, width: int, site: tuple[Cast, LiveServer], visit: Callable[..., Page]
) -> None:
    cast, _ = site
    noise: list[str] = []
    page = visit(language=language, width=width, noise=noise)

    def check(name: str) -> None:
        inner, scroll = page.evaluate("[innerWidth, document.scrollingElement.scrollWidth]")
        assert scroll <= inner, f"{name} is {scroll} wide"
        assert page.evaluate("document.documentElement.lang") == language
        styled = page.evaluate("getComputedStyle(document.querySelector('header.site')).borderBottomStyle")
        assert styled == "solid", f"{name} has no style sheet"

    for name in PAGES:
        if name not in FILES:
            answer = page.goto(address(name, cast.acme))
            assert answer is not None
            assert answer.status == 200
            for details in page.locator("summary").all():
                details.click()
            check(name)
    page.goto(address("keys", cast.acme))
    page.locator("#id_name").fill("ci")
    page.locator("form.row button").click()
    page.locator("#secret").wait_for()
    page.wait_for_load_state()
    check("key_created")
    page.goto("/c/acme/usage/?month=2026-01")
    check("empty usage")
    assert noise == []
    # The browser itself notes the status of these two; our own part stays silent.
    page.goto("/c/globex/")
    check("404")
    assert [line for line in noise if "status of 404" not in line] == []


def test_the_secret_can_be_copied_and_a_reload_does_not_show_it(
    site: tuple[Cast, LiveServer], visit: Callable[..., Page]
) -> None:
    _, server = site
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    page.goto("/c/acme/keys/")
    page.locator("#id_name").fill("copied")
    page.get_by_role("button", name="키 만들기").click()
    secret = page.locator("#secret").input_value()
    assert secret.startswith("sk-jeongsan-")
    assert len(secret) == 44
    page.get_by_role("button", name="복사").click()
    page.get_by_role("button", name="복사됨").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.reload()
    assert secret not in page.content()
    assert "이미 만든 키입니다." in page.content()
    page.go_back()
    assert secret not in page.content()
    assert ApiKey.objects.filter(name="copied").count() == 1


def test_a_key_can_be_revoked_by_keyboard_alone(site: tuple[Cast, LiveServer], visit: Callable[..., Page]) -> None:
    cast, _ = site
    page = visit()
    page.goto("/c/acme/keys/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("a.danger").focus()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")
    page.wait_for_url("**/revoke/")
    page.get_by_role("button", name="폐기").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/keys/")
    assert ApiKey.objects.get(pk=cast.acme.key.key.pk).revoked_at is not None
    assert outline == "solid"


def test_the_language_button_and_the_back_button_after_logging_out(
    site: tuple[Cast, LiveServer], visit: Callable[..., Page]
) -> None:
    page = visit()
    page.goto("/c/acme/usage/")
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="By model").wait_for()
    assert page.url.endswith("/c/acme/usage/")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login/")
    page.go_back()
    page.wait_for_url("**/login/?next=/c/acme/usage/")
    assert "By model" not in page.content()


def test_the_month_is_chosen_without_any_script(site: tuple[Cast, LiveServer], chromium: Browser) -> None:
    _, server = site
    context = chromium.new_context(base_url=server.url, locale="ko-KR", java_script_enabled=False)
    page = context.new_page()
    page.goto("/login/")
    page.locator("#id_username").fill("owner@acme.example")
    page.locator("#id_password").fill(PASSWORD)
    page.locator("main button").click()
    page.goto("/c/acme/usage/")
    last = str(this_month().previous())
    page.locator("#month").select_option(last)
    page.get_by_role("button", name="보기").click()
    page.wait_for_url(f"**/usage/?month={last}")
    assert page.locator("svg.plot rect").count() == 1
    context.close()
