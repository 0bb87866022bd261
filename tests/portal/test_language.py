"""Korean first, English beside it: the switch, and a catalogue without holes."""

from __future__ import annotations

import re

import pytest
from babel.messages.pofile import read_po
from django.test import Client

from tests.portal.conftest import LOCALE
from tests.portal.factories import Cast
from tests.portal.messages import all_messages, messages_in_template

PLACEHOLDER = re.compile(r"%\([a-z_]+\)[sd]|%[sd]|\{[a-z_]*\}")


def test_every_text_has_its_korean() -> None:
    with (LOCALE / "django.po").open("rb") as source:
        catalogue = read_po(source, locale="ko")
    korean = {
        (entry.context, entry.id if isinstance(entry.id, str) else entry.id[0]): entry
        for entry in catalogue
        if entry.id
    }
    wanted = all_messages()
    assert len(wanted) > 300
    missing = {}
    for message, path in wanted.items():
        entry = korean.get(message)
        text = entry.string if entry and isinstance(entry.string, str) else (entry.string[0] if entry else "")
        if not text or "fuzzy" in entry.flags:
            missing[message[1]] = path
    assert missing == {}, "run `make messages` and write the Korean into locale/ko/LC_MESSAGES/django.po"
    assert set(korean) - set(wanted) == set(), "texts that nothing uses any more"


def test_no_translation_loses_a_value() -> None:
    with (LOCALE / "django.po").open("rb") as source:
        for entry in read_po(source, locale="ko"):
            if entry.id:
                ids = (entry.id,) if isinstance(entry.id, str) else entry.id
                strings = (entry.string,) if isinstance(entry.string, str) else entry.string
                wanted = {frozenset(PLACEHOLDER.findall(text)) for text in ids}
                assert {frozenset(PLACEHOLDER.findall(text)) for text in strings} == wanted, entry.id


def test_the_reader_finds_all_kinds_of_texts_in_templates() -> None:
    source = """
    <h1 class="x">{% translate "One" %}</h1> it's {{ name|default:"no" }}
    {% blocktranslate count n=n with a=b|c trimmed %}
        {{ a }} thing
    {% plural %}
        {{ a }} things
    {% endblocktranslate %}
    <a title="{% translate 'Two' context 'ctx' %}">{# nothing #}</a>
    """
    assert set(messages_in_template(source)) == {(None, "One"), (None, "%(a)s thing"), ("ctx", "Two")}


@pytest.mark.django_db
class TestSwitch:
    def test_korean_is_the_default(self) -> None:
        body = Client().get("/login/").content.decode()
        assert '<html lang="ko">' in body
        assert "비밀번호" in body

    def test_a_browser_in_english_is_met_in_english(self) -> None:
        answer = Client().get("/login/", headers={"Accept-Language": "en-US,en;q=0.9"})
        assert '<html lang="en">' in answer.content.decode()

    def test_a_browser_in_a_third_language_is_met_in_korean(self) -> None:
        assert '<html lang="ko">' in Client().get("/login/", headers={"Accept-Language": "fr"}).content.decode()

    def test_the_button_changes_the_language_and_stays_on_the_page(self, cast: Cast, acme: Client) -> None:
        page = acme.get("/c/acme/usage/?month=2026-01").content.decode()
        assert '<input type="hidden" name="next" value="/c/acme/usage/?month=2026-01">' in page
        assert 'name="language" value="en"' in " ".join(page.split())
        answer = acme.post("/language/", {"language": "en", "next": "/c/acme/usage/?month=2026-01"}, follow=True)
        assert answer.redirect_chain == [("/c/acme/usage/?month=2026-01", 302)]
        english = answer.content.decode()
        assert '<html lang="en">' in english
        assert "Nothing was used in January 2026." in english
        assert "한국어" in english
        back = acme.post("/language/", {"language": "ko", "next": "/c/acme/"}, follow=True).content.decode()
        assert '<html lang="ko">' in back

    def test_the_switch_leads_to_no_other_site(self) -> None:
        answer = Client().post("/language/", {"language": "en", "next": "https://evil.example/"})
        assert (answer.status_code, answer["Location"]) == (302, "/")

    def test_the_choice_wins_over_the_browser(self) -> None:
        client = Client(headers={"Accept-Language": "en"})
        client.post("/language/", {"language": "ko"})
        assert '<html lang="ko">' in client.get("/login/").content.decode()
