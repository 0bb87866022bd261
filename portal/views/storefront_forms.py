"""What visitors may ask of the public pages; all of it stands in the address."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from catalog.models import Provider
from portal.formatting import FEATURES, MODALITIES
from portal.selectors.storefront import ShelfQuery

DEFAULT_TOKENS = 500_000
#: A million million tokens a month: far above any customer, far below what `monthly_estimate` refuses.
MAX_TOKENS = 10**12

_MAX_TEXT = 40
_WHOLE = re.compile(r"[0-9]+|[0-9]{1,3}(,[0-9]{3})+")
_MILLIONS = re.compile(r"(?P<whole>[0-9]+)(\.(?P<part>[0-9]{1,6}))?[Mm]")
_NEGATIVE = re.compile(r"[-−–－]\s*[0-9.,]+[Mm]?")
_FRACTION = re.compile(r"[0-9,]*[.][0-9]+|[0-9]+[.]|[0-9]*[.][0-9]+[Mm]")
_OUTPUTS = ("text", "image", "audio", "embeddings")
_INPUTS = ("image", "file", "audio", "video")
#: Orders by the names that the API has for them.
SORTS = {
    "newest": _("Newest first"),
    "pricing-low-to-high": _("Price, low to high"),
    "pricing-high-to-low": _("Price, high to low"),
    "context-high-to-low": _("Context, large to small"),
    "name": _("Name"),
}
_NO_SUCH_CHOICE = {"invalid_choice": _("There is no such choice."), "invalid_list": _("There is no such choice.")}


class TokenCountField(forms.Field):
    """A number of tokens: 500000, 500,000 or 0.5M in ASCII. Anything else is refused with a sentence, never guessed."""

    widget = forms.TextInput(attrs={"autocomplete": "off", "maxlength": _MAX_TEXT, "size": 14})
    default_error_messages = {
        "required": _("Enter a number of tokens; it may be 0."),
        "negative": _("A number of tokens can't be negative."),
        "fraction": _("Tokens are whole numbers: there is no fraction of one."),
        "digits": _("Use the ordinary digits 0 to 9."),
        "huge": _("More than can be calculated here: at most 1,000,000,000,000 tokens a month."),
        "invalid": _("Enter a whole number such as 500,000 or 0.5M."),
    }

    def clean(self, value: Any) -> int:
        """The count; ValidationError with the code that says what is wrong."""
        text = str(value or "").strip()
        if not text:
            raise self._refusal("required")
        if len(text) <= _MAX_TEXT and _WHOLE.fullmatch(text):
            count = int(text.replace(",", ""))
        elif len(text) <= _MAX_TEXT and (millions := _MILLIONS.fullmatch(text)):
            count = int(millions["whole"] + (millions["part"] or "").ljust(6, "0"))
        else:
            raise self._refusal(_fault(text))
        if count > MAX_TOKENS:
            raise self._refusal("huge")
        return count

    def _refusal(self, code: str) -> forms.ValidationError:
        return forms.ValidationError(self.error_messages[code], code=code)


def _fault(text: str) -> str:
    """What is wrong with a text that is no number of tokens."""
    if text.isascii() and text.replace(",", "").isdigit() and "," not in (text[0], text[-1]):
        return "huge" if len(text) > _MAX_TEXT else "invalid"
    if _NEGATIVE.fullmatch(text):
        return "negative"
    if _FRACTION.fullmatch(text):
        return "fraction"
    if any(character.isnumeric() and not character.isascii() for character in text):
        return "digits"
    return "invalid"


class EstimateForm(forms.Form):
    """Tokens a month, and for a router the model to calculate with."""

    input = TokenCountField(label=_("Input tokens a month"), initial=f"{DEFAULT_TOKENS:,}")
    output = TokenCountField(label=_("Output tokens a month"), initial=f"{DEFAULT_TOKENS:,}")

    def __init__(self, data: Any, *, routed_ids: Iterable[str] = ()) -> None:
        """What the address leaves out has its default; `routed_ids` are the models a router leads to."""
        given = {name: data[name] for name in ("input", "output", "as") if name in data}
        super().__init__({"input": f"{DEFAULT_TOKENS:,}", "output": f"{DEFAULT_TOKENS:,}", **given})
        ids = list(routed_ids)
        if ids:
            self.fields["as"] = forms.ChoiceField(
                label=_("Calculate with"),
                choices=[("", _("Choose a model")), *((model_id, model_id) for model_id in ids)],
                required=False,
                error_messages={"invalid_choice": _("This router does not lead to that model.")},
            )


class ShelfForm(forms.Form):
    """Search, filters and order of the list."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "gpt-5, claude, …"}),
        error_messages={"max_length": _("A search has at most 200 characters.")},
    )
    input = forms.MultipleChoiceField(
        label=_("Reads"),
        required=False,
        choices=[(name, MODALITIES[name]) for name in _INPUTS],
        widget=forms.CheckboxSelectMultiple,
        error_messages=_NO_SUCH_CHOICE,
    )
    output = forms.MultipleChoiceField(
        label=_("Makes"),
        required=False,
        choices=[(name, MODALITIES[name]) for name in _OUTPUTS],
        widget=forms.CheckboxSelectMultiple,
        error_messages=_NO_SUCH_CHOICE,
    )
    feature = forms.MultipleChoiceField(
        label=_("Can do"),
        required=False,
        choices=list(FEATURES.items()),
        widget=forms.CheckboxSelectMultiple,
        error_messages=_NO_SUCH_CHOICE,
    )
    provider = forms.ChoiceField(label=_("Provider"), required=False, error_messages=_NO_SUCH_CHOICE)
    sort = forms.ChoiceField(
        label=_("Order"), required=False, choices=list(SORTS.items()), error_messages=_NO_SUCH_CHOICE
    )

    def __init__(self, data: Any, *, providers: Iterable[Provider]) -> None:
        super().__init__(data)
        provider = self.fields["provider"]
        assert isinstance(provider, forms.ChoiceField)
        provider.choices = [("", _("All providers")), *((one.slug, one.name) for one in providers)]

    def query(self) -> ShelfQuery:
        """What a valid form asks for."""
        asked = self.cleaned_data
        return ShelfQuery(
            words=asked["q"].split(),
            inputs=asked["input"],
            outputs=asked["output"],
            parameters=asked["feature"],
            provider=asked["provider"],
            sort=asked["sort"] or "newest",
        )
