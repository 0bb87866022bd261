"""The lines of an invoice, and what those that sell on the same terms come to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.frozen import DocumentError, later

from .checks import require_finite, require_member, require_month, require_share

USAGE_KINDS = ("usage", "supplementary")
#: In the order in which they stand on an invoice, which is the order in which they are reckoned.
LINE_KINDS = (*USAGE_KINDS, "discount", "minimum", "promotion")
#: What a line's margin is reckoned on (`billing.margins.Basis`).
BASES = ("catalog", "upstream", "higher")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLine:
    """One model's usage of one KST month.

    `cache_read_tokens` are inside `prompt_tokens`. `cost_usd` is exact, `amount_krw` this line's share of the supply.
    A supplementary line belongs to an earlier month: its events arrived after that month was closed. A discount or
    promotion line takes won off: `model_name` is the discount's or the credit's, `amount_krw` is negative, nothing was
    used. How much of it each usage line was reduced by is its `discount_krw` and `promotion_krw`. `base_krw` is what a
    discount was taken of, and `share` which share of that, None where it is so many won a month. A minimum line makes up for
    what the month is short of its minimum, which is its `base_krw`; it has no name.
    """

    position: int
    kind: str
    model_id: str
    model_name: str
    month: str
    requests: int
    prompt_tokens: int
    cache_read_tokens: int
    completion_tokens: int
    cost_usd: Decimal
    amount_krw: int
    #: Its own share of the selling price, where not all lines have the document's.
    margin: Decimal | None = later(None)  # noqa: RUF009 - a field, made once
    #: What the margin is reckoned on, and that in USD where it is not `cost_usd`.
    basis: str = later("catalog")
    basis_usd: Decimal | None = later(None)  # noqa: RUF009 - a field, made once
    #: Exact won before margin, where lines sell on different terms and days have rates of their own.
    before_margin_krw: Decimal | None = later(None)  # noqa: RUF009 - a field, made once
    promotion_krw: int = later(0)
    discount_krw: int = later(0)
    #: `amount_krw` in dollars, on an invoice that is read in them.
    amount_usd: Decimal | None = later(None)  # noqa: RUF009 - a field, made once
    share: Decimal | None = later(None)  # noqa: RUF009 - a field like those beside it
    base_krw: int = later(0)

    @property
    def sold_usd(self) -> Decimal:
        """The USD that are sold: what the margin is reckoned on."""
        return self.cost_usd if self.basis_usd is None else self.basis_usd

    def _require_terms(self) -> None:
        require_member(self.basis, BASES, "basis")
        if (self.basis == "catalog") != (self.basis_usd is None):
            raise DocumentError("basis_usd", "stands exactly where the margin is not reckoned on the list price")
        for value in (self.basis_usd, self.before_margin_krw):
            if value is not None:
                require_finite(value, "basis_usd")
        if self.margin is not None:
            require_share(self.margin)
        of_usage = (self.margin, self.basis_usd, self.before_margin_krw)
        if self.kind not in USAGE_KINDS and of_usage != (None, None, None):
            raise DocumentError("margin", "only usage is sold at a margin")

    def __post_init__(self) -> None:
        self._require_terms()
        require_member(self.kind, LINE_KINDS, "kind")
        require_month(self.month, "month")
        require_finite(self.cost_usd, "cost_usd")
        if self.is_usage:
            if min(self.promotion_krw, self.discount_krw) < 0:
                raise DocumentError("promotion_krw", "nothing is added to a line")
            if self.promotion_krw + self.discount_krw > max(self.amount_krw, 0):
                raise DocumentError("promotion_krw", "a line is relieved of no more than its own won")
        elif self.cost_usd or self.requests or self.promotion_krw or self.discount_krw:
            raise DocumentError("lines", f"a {self.kind} line has no usage")
        elif self.kind == "minimum":
            if not 0 < self.amount_krw <= self.base_krw:
                raise DocumentError("base_krw", "a minimum line makes up for what is short of the minimum")
        elif self.amount_krw >= 0:
            raise DocumentError("lines", f"a {self.kind} line takes won off")
        if self.kind == "discount":
            self._require_discount()

    @property
    def is_usage(self) -> bool:
        """Whether the line stands for usage."""
        return self.kind in USAGE_KINDS

    def _require_discount(self) -> None:
        """At most what its terms say: less only where a line had nothing left."""
        if self.share is None:
            if -self.amount_krw > self.base_krw:
                raise DocumentError("base_krw", "a discount takes off no more than there is")
        elif not 0 < self.share < 1 or -self.amount_krw >= Fraction(self.share) * self.base_krw + 1:
            raise DocumentError("share", "a discount takes off no more than its share")


@dataclass(frozen=True, slots=True)
class SoldShare:
    """The lines that sell on the same terms: `sold_usd` in dollars, `base_krw` in exact won before margin."""

    margin: Decimal
    basis: str
    lines: tuple[DocumentLine, ...]
    sold_usd: Fraction
    base_krw: Fraction

    @property
    def exact_krw(self) -> Fraction:
        """What they sell for, before rounding."""
        return self.base_krw / (1 - Fraction(self.margin))
