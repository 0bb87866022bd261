"""Descriptions: nothing of them becomes markup but paragraphs, code and links that we can vouch for."""

from __future__ import annotations

import re

import pytest

from portal.prose import MAX_CHARS, mentioned_model_ids, prose
from tests.storefront.shop import HOSTILE

KNOWN = {"acme/plain", "acme/tiered"}
REL = ' rel="nofollow noopener noreferrer external"'


def page(model_id: str) -> str | None:
    return f"/models/{model_id}" if model_id in KNOWN else None


def shown(text: str) -> str:
    return str(prose(text, model_url=page))


def test_a_hostile_description_whole() -> None:
    assert shown(HOSTILE) == (
        "<p>&lt;script&gt;alert(1)&lt;/script&gt; &lt;img src=x onerror=alert(2)&gt; [run](javascript:alert(3)) data "
        "quote twin odd "
        '<a href="/models/acme/plain">Plain</a> <a href="/models/acme/tiered">Also</a> Docs Gone '
        f'<a href="https://acme.example/a?b=1&amp;c=2"{REL}>Site</a> '
        f'see <a href="https://acme.example/bare"{REL}>https://acme.example/bare</a>. '
        "<code>code &lt;b&gt;</code> **bold** turned</p>\n<p>Second paragraph.</p>"
    )


def test_which_models_a_description_may_mean() -> None:
    assert mentioned_model_ids(HOSTILE) == {"acme/plain", "acme/tiered", "docs/guides", "acme/nothing"}
    assert mentioned_model_ids(
        "[a](~acme/x-latest) [b](acme/x:free) [c](https://acme.example/x) [d](/x) [e](../a/b)"
    ) == {
        "~acme/x-latest",
        "acme/x:free",
    }


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert`1`",
        "java\tscript:alert",
        "vbscript:x",
        "data:text/html;base64,PHNjcmlwdD4=",
        "//evil.example/",
        "\\\\evil.example",
        "https:evil.example",
        "https:///evil.example",
        "https://user:pass@evil.example/",
        "https://good.example@evil.example",
        "https://evil.example\\@good.example",
        "https://[::1]/",
        "https://evil.example:99999/",
        "https://xn--/",
        "https://ｅvil.example/",
        "https://localhost/",
        "ftp://evil.example/x",
        "file:///etc/passwd",
        "mailto:x@evil.example",
        "#top",
        "?q=1",
        "/",
        "https://evil.example/'onmouseover='x",
        'https://evil.example/"><script>',
        "https://evil.example/" + "a" * 3000,
    ],
)
def test_no_link_for_what_is_no_plain_web_address(target: str) -> None:
    assert "<a" not in shown(f"[label]({target})")
    assert re.findall(r"<(?!/?p>)", shown(f"[label]({target})")) == []


def test_a_label_is_only_text() -> None:
    assert shown("[<b>x</b> & `y`](https://acme.example/)") == (
        f'<p><a href="https://acme.example/"{REL}>&lt;b&gt;x&lt;/b&gt; &amp; `y`</a></p>'
    )


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u202e", "\x00"])
def test_nothing_to_say(text: str) -> None:
    assert shown(text) in {"", "<p></p>"}


@pytest.mark.parametrize("unit", ["[", "[a](", "`", "[a](b", "https://", "x\n\n", "<", "[[]()", "&"])
def test_long_texts_are_cut(unit: str) -> None:
    """A reader that goes back over and over would not end before the time limit of the test run."""
    assert 0 < len(shown(unit * 1_000_000).replace("&lt;", "<").replace("&amp;", "&")) < MAX_CHARS * 4


def test_marks_that_turn_text_around_are_gone_before_it_is_read() -> None:
    assert shown("[a](https://acme.example/\u202egpj.exe) b\u2067c") == (
        f'<p><a href="https://acme.example/gpj.exe"{REL}>a</a> bc</p>'
    )
