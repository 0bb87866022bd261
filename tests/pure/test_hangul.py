"""Won in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.hangul import amount_in_words
from tests.shared import shared_data

DIGITS = {digit: value for value, digit in enumerate("영일이삼사오육칠팔구")}
PLACES = {"십": 10, "백": 100, "천": 1000}
GROUPS = {"만": 10**4, "억": 10**8, "조": 10**12, "경": 10**16}


def read_back(words: str) -> int:
    """The number that the words say, by the rule of reading and not of writing them."""
    body = words.removeprefix("일금 ").removesuffix("원정")
    sign = -1 if body.startswith("마이너스 ") else 1
    total = group = digit = 0
    for letter in body.removeprefix("마이너스 "):
        if letter in DIGITS:
            digit = DIGITS[letter]
        elif letter in PLACES:
            group += digit * PLACES[letter]
            digit = 0
        else:
            total += (group + digit) * GROUPS[letter]
            group = digit = 0
    return sign * (total + group + digit)


def test_every_shared_vector() -> None:
    vectors = json.loads(shared_data("korea/hangul_amount_vectors.json").read_text(encoding="utf-8"))
    assert len(vectors) == 16
    for vector in vectors:
        assert amount_in_words(vector["amount"]) == vector["ilgeum"]


@pytest.mark.parametrize(
    ("won", "words"),
    [
        (1_001_000, "일금 일백만일천원정"),
        (1_811_764_706, "일금 일십팔억일천일백칠십육만사천칠백육원정"),
        (1_812, "일금 일천팔백일십이원정"),
        (100_000_000, "일금 일억원정"),
        (10_000_010_000, "일금 일백억일만원정"),
        (10**16, "일금 일경원정"),
        (-164_705_882, "일금 마이너스 일억육천사백칠십만오천팔백팔십이원정"),
    ],
)
def test_words(won: int, words: str) -> None:
    assert amount_in_words(won) == words


@given(st.integers(min_value=-(10**20) + 1, max_value=10**20 - 1))
def test_the_words_say_the_number(won: int) -> None:
    words = amount_in_words(won)
    assert read_back(words) == won
    assert words.startswith("일금 ")
    assert words.endswith("원정")


@pytest.mark.parametrize("won", [10**20, -(10**20)])
def test_beyond_the_words_is_refused(won: int) -> None:
    with pytest.raises(ValueError, match=r"^won: "):
        amount_in_words(won)
