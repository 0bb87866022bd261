"""Korean registration numbers: 사업자등록번호 (business, 10 digits) and 법인등록번호 (corporation, 13 digits).

The check digit finds typing errors only: a number that passes need not exist. Whether a business exists and is still
open is for the tax office to say.
"""

BRN_LENGTH = 10
CORPORATE_NUMBER_LENGTH = 13
_BRN_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)
_FIRST_TAX_OFFICE = 101

# Constant sentences, so that forms can translate them.
REASONS = {
    "brn_characters": "A business registration number is written with digits and hyphens only.",
    "brn_length": "A business registration number has 10 digits.",
    "brn_component": "No business has this number: tax office, kind or serial part is out of range.",
    "brn_check_digit": "The check digit of the business registration number does not match: a digit is mistyped.",
    "corporate_number_characters": "A corporate registration number is written with digits and hyphens only.",
    "corporate_number_length": "A corporate registration number has 13 digits.",
    "corporate_number_check_digit": "The check digit of the corporate registration number does not match.",
}


class IdentifierError(ValueError):
    """A number that cannot be right; `code` is a key of REASONS and the message is its sentence."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


def normalize_brn(text: str) -> str:
    """The 10 digits of a business registration number; hyphens and spaces are dropped.

    Raises IdentifierError for other characters, a wrong length, a part that is never assigned (tax office below 101,
    kind 00, serial 0000) and a wrong check digit.
    """
    digits = _digits(text, BRN_LENGTH, "brn")
    if int(digits[:3]) < _FIRST_TAX_OFFICE or digits[3:5] == "00" or digits[5:9] == "0000":
        raise IdentifierError("brn_component")
    numbers = [int(digit) for digit in digits]
    total = sum(number * weight for number, weight in zip(numbers, _BRN_WEIGHTS, strict=False))
    total += numbers[8] * 5 // 10
    if (10 - total % 10) % 10 != numbers[9]:
        raise IdentifierError("brn_check_digit")
    return digits


def format_brn(brn: str) -> str:
    """The usual 3-2-5 notation of 10 digits: "1168200276" -> "116-82-00276". Checks nothing."""
    return f"{brn[:3]}-{brn[3:5]}-{brn[5:]}"


def normalize_corporate_number(text: str) -> str:
    """The 13 digits of a corporate registration number; hyphens and spaces are dropped. Raises IdentifierError."""
    digits = _digits(text, CORPORATE_NUMBER_LENGTH, "corporate_number")
    total = sum(int(digit) * (1 + position % 2) for position, digit in enumerate(digits[:12]))
    if (10 - total % 10) % 10 != int(digits[12]):
        raise IdentifierError("corporate_number_check_digit")
    return digits


def _digits(text: str, length: int, kind: str) -> str:
    digits = text.replace("-", "").replace(" ", "").strip()
    if not digits:
        raise IdentifierError(f"{kind}_length")
    if not (digits.isascii() and digits.isdigit()):
        raise IdentifierError(f"{kind}_characters")
    if len(digits) != length:
        raise IdentifierError(f"{kind}_length")
    return digits
