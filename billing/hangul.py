"""Won amounts in Korean words, as they stand on an invoice beside the figure: 일금 …원정."""

_DIGITS = "영일이삼사오육칠팔구"
_PLACES = ("", "십", "백", "천")
_GROUPS = ("", "만", "억", "조", "경")  # every four digits
_LIMIT = 10 ** (4 * len(_GROUPS))


def amount_in_words(won: int) -> str:
    """1001000 -> "일금 일백만일천원정": every 일 is written, nothing is separated, minus is 마이너스.

    Raises ValueError from 10^20 won on, where the words end.
    """
    if abs(won) >= _LIMIT:
        raise ValueError(f"won: must be below {_LIMIT}")
    sign = "마이너스 " if won < 0 else ""
    return f"일금 {sign}{_words(abs(won))}원정"


def _words(number: int) -> str:
    if number == 0:
        return _DIGITS[0]
    words = ""
    for group in _GROUPS:
        number, four_digits = divmod(number, 10_000)
        if four_digits:
            words = _four_digits(four_digits) + group + words
    return words


def _four_digits(number: int) -> str:
    words = ""
    for place in _PLACES:
        number, digit = divmod(number, 10)
        if digit:
            words = _DIGITS[digit] + place + words
    return words
