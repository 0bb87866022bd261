"""Business and corporate registration numbers."""

import json

import pytest

from accounts.identifiers import (
    REASONS,
    IdentifierError,
    format_brn,
    normalize_brn,
    normalize_corporate_number,
)
from tests.shared import shared_data


def test_every_business_number_of_the_shared_vectors() -> None:
    vectors = json.loads(shared_data("korea/brn_vectors.json").read_text(encoding="utf-8"))["brn"]
    assert len(vectors) == 29
    for vector in vectors:
        if vector["accept"]:
            assert normalize_brn(vector["input"]) == vector["input"].replace("-", ""), vector
        else:
            with pytest.raises(IdentifierError):
                normalize_brn(vector["input"])


def test_every_corporate_number_of_the_shared_vectors() -> None:
    vectors = json.loads(shared_data("korea/brn_vectors.json").read_text(encoding="utf-8"))["corp_reg"]
    assert len(vectors) == 7
    for vector in vectors:
        if vector["ok"]:
            assert normalize_corporate_number(vector["input"]) == vector["input"].replace("-", ""), vector
        else:
            with pytest.raises(IdentifierError):
                normalize_corporate_number(vector["input"])


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("124-81-00998", "1248100998"),
        (" 124 81 00998\n", "1248100998"),
        ("1248100998", "1248100998"),
        ("101-81-09147", "1018109147"),  # the lowest tax office
    ],
)
def test_hyphens_and_spaces_are_dropped(text: str, digits: str) -> None:
    assert normalize_brn(text) == digits
    assert normalize_brn(format_brn(digits)) == digits


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("124-81-00999", "brn_check_digit"),
        ("124-18-00998", "brn_check_digit"),
        ("124-81-0099", "brn_length"),
        ("124-81-009988", "brn_length"),
        ("", "brn_length"),
        ("---", "brn_length"),
        ("124-81-0099A", "brn_characters"),
        ("１２４-８１-００９９８", "brn_characters"),  # full width
        ("124٫81٫00998", "brn_characters"),
        ("²²²-²²-²²²²²", "brn_characters"),
        ("124-81-00998\x00", "brn_characters"),
        ("000-00-00000", "brn_component"),
        ("100-81-00003", "brn_component"),
        ("124-00-00999", "brn_component"),
        ("124-81-00000", "brn_component"),
    ],
)
def test_what_is_wrong_is_said(text: str, code: str) -> None:
    with pytest.raises(IdentifierError) as refused:
        normalize_brn(text)
    assert refused.value.code == code
    assert str(refused.value) == REASONS[code]


def test_every_single_typing_error_is_found() -> None:
    """One wrong digit never passes: the weights 1, 3, 7 and the two-step weight of the ninth have no common factor."""
    right = "2208162517"
    for position in range(10):
        for digit in "0123456789":
            typed = right[:position] + digit + right[position + 1 :]
            if typed != right:
                with pytest.raises(IdentifierError):
                    normalize_brn(typed)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("130111-0006247", "corporate_number_check_digit"),
        ("130111-000624", "corporate_number_length"),
        ("130111-000624O", "corporate_number_characters"),
    ],
)
def test_what_is_wrong_with_a_corporate_number_is_said(text: str, code: str) -> None:
    with pytest.raises(IdentifierError) as refused:
        normalize_corporate_number(text)
    assert refused.value.code == code
