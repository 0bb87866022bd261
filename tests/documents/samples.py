"""Invoices to print: made-up companies with registration numbers whose check digits hold, real kinds of figures."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing import dollars
from billing.documents import (
    BankAccount,
    DailyExchange,
    DocumentLine,
    DollarAmounts,
    ExchangeEvidence,
    InvoiceDocument,
    Party,
)
from catalog.money import Rounding, exact_sum, round_won, share_out, vat_won

SELLER = Party(
    kind="corporation",
    registration_no="2018612345",
    name="주식회사 정산",
    ceo_name="한결",
    address="서울특별시 중구 세종대로 110, 7층 (태평로1가)",
    business_type="정보통신업",
    business_class="응용 소프트웨어 개발 및 공급업",
    email="billing@jeongsan.example",
)
DOLLAR_ACCOUNT = "한빛은행 국제금융센터 (SWIFT HNBKKRSE), 100-027-500123 (USD)"
BANK = BankAccount(bank="한빛은행", number="100-027-418265", holder="주식회사 정산")
CORPORATION = Party(
    kind="corporation",
    registration_no="2208704561",
    name="주식회사 가온로보틱스",
    ceo_name="윤서진",
    address="경기도 성남시 분당구 판교역로 235, A동 11층 1103호 (삼평동)",
    business_type="제조업",
    business_class="산업용 로봇 제조업",
    email="tax@gaonrobotics.example",
)
SOLE_TRADER = Party(
    kind="sole_trader",
    registration_no="2141108330",
    name="나무그늘 번역",
    ceo_name="오하늘",
    address="강원특별자치도 춘천시 중앙로 1",
    business_type="서비스업",
    business_class="번역 및 통역 서비스업",
    email="sky@namugeuneul.example",
)
FOREIGN = Party(
    kind="foreign",
    registration_no="DE 811 907 980",
    name="Nordlicht Sprachtechnik GmbH",
    ceo_name="Annika Brandt",
    address="Speicherstraße 14, 20457 Hamburg, Germany",
    business_type="",
    business_class="",
    email="accounts@nordlicht.example",
)

# name, id, requests, prompt, cache read, completion, cost in USD at list price
OCTOBER = (
    (
        "Anthropic: Claude Sonnet 4.5",
        "anthropic/claude-sonnet-4.5",
        18_204,
        96_412_880,
        41_203_200,
        7_310_455,
        "287.646741",
    ),
    ("OpenAI: GPT-5", "openai/gpt-5", 9_817, 52_008_114, 12_480_000, 4_902_377, "100.01091250"),
    ("Google: Gemini 2.5 Flash", "google/gemini-2.5-flash", 120_455, 310_774_209, 0, 22_018_650, "148.2788877"),
    ("DeepSeek: DeepSeek V3.1", "deepseek/deepseek-chat-v3.1", 4_310, 22_940_018, 0, 3_104_222, "7.97142980"),
    ("Qwen: Qwen3 235B A22B (free)", "qwen/qwen3-235b-a22b:free", 1_022, 3_120_400, 0, 410_200, "0"),
)
MONTH_END = ExchangeEvidence(
    rule="month_end", rate=Decimal("1432.60"), source="서울외국환중개", source_date=date(2026, 10, 30)
)


def line(
    position: int, row: Sequence[Any] = OCTOBER[0], *, month: str = "2026-10", kind: str = "usage"
) -> DocumentLine:
    """A line without its won, which `invoice` shares out."""
    name, model_id, requests, prompt, cache, completion, cost = row
    return DocumentLine(
        position=position,
        kind=kind,
        model_id=model_id,
        model_name=name,
        month=month,
        requests=requests,
        prompt_tokens=prompt,
        cache_read_tokens=cache,
        completion_tokens=completion,
        cost_usd=Decimal(cost),
        amount_krw=0,
    )


def lines_of(rows: Sequence[Sequence[Any]] = OCTOBER) -> tuple[DocumentLine, ...]:
    """The rows as usage lines of October 2026."""
    return tuple(line(position, row) for position, row in enumerate(rows, start=1))


def supplementary(position: int, row: Sequence[Any], month: str = "2026-09") -> DocumentLine:
    """A line of an earlier month."""
    return line(position, row, month=month, kind="supplementary")


def daily_exchange(cost: Decimal) -> ExchangeEvidence:
    """The cost spread over October, each day at its own rate; weekends carry Friday's."""
    days = []
    rest = cost
    for number in range(1, 32):
        day = date(2026, 10, number)
        share = rest if number == 31 else cost / 31
        share = share if number == 31 else Decimal(format(share, ".6f"))
        rest -= share
        published = day - timedelta(days=max(0, day.weekday() - 4))
        rate = Decimal("1428.10") + Decimal(published.toordinal() % 13) * Decimal("0.7")
        days.append(DailyExchange(used_on=day, cost_usd=share, rate=rate, source_date=published))
    return ExchangeEvidence(rule="daily", rate=None, source="서울외국환중개", source_date=None, daily=tuple(days))


def invoice(
    lines: Sequence[DocumentLine] | None = None,
    *,
    exchange: ExchangeEvidence = MONTH_END,
    margin: Decimal = Decimal("0.15"),
    rounding: Rounding = Rounding.HALF_UP,
    **changes: Any,
) -> InvoiceDocument:
    """A document whose figures follow from its lines; every other member can be given."""
    lines = lines_of() if lines is None else tuple(lines)
    cost = exact_sum(line.cost_usd for line in lines)
    if exchange.rate is not None:
        bases = [Fraction(line.cost_usd) * Fraction(exchange.rate) for line in lines]
    else:
        base = sum((day.base_krw for day in exchange.daily), Fraction(0))
        bases = [base * Fraction(line.cost_usd) / Fraction(cost) for line in lines]
    shares = [base / (1 - Fraction(margin)) for base in bases]
    supply = round_won(sum(shares, Fraction(0)), rounding)
    vat = vat_won(supply, rounding)
    members: dict[str, Any] = {
        "number": "INV-202610-0001",
        "locale": "ko",
        "month": "2026-10",
        "period_start_on": date(2026, 10, 1),
        "period_end_on": date(2026, 10, 31),
        "issued_on": date(2026, 11, 2),
        "due_on": date(2026, 11, 16),
        "seller": SELLER,
        "seller_phone": "02-6000-1234",
        "bank": BANK,
        "deposit_code": "JS26100001",
        "buyer": CORPORATION,
        "lines": tuple(
            replace(line, amount_krw=won) for line, won in zip(lines, share_out(supply, shares), strict=True)
        ),
        "cost_usd": cost,
        "margin": margin,
        "exchange": exchange,
        "rounding": rounding.value,
        "supply_krw": supply,
        "vat_krw": vat,
        "total_krw": supply + vat,
        "tax_invoice_deadline_on": date(2026, 11, 10),
        "template_version": 1,
    }
    return InvoiceDocument(**members | changes)


def in_dollars(document: InvoiceDocument, *, bank_account: str = "") -> InvoiceDocument:
    """The same invoice, read in US dollars."""
    rate = document.exchange.rate
    assert rate is not None
    amounts = dollars.in_dollars(supply_krw=document.supply_krw, vat_krw=document.vat_krw, rate_krw_per_usd=rate)
    cells = dollars.line_dollars(
        [line.amount_krw for line in document.lines], rate_krw_per_usd=rate, supply_usd=amounts.supply_usd
    )
    return replace(
        document,
        lines=tuple(replace(line, amount_usd=usd) for line, usd in zip(document.lines, cells, strict=True)),
        dollars=DollarAmounts(
            supply_usd=amounts.supply_usd,
            vat_usd=amounts.vat_usd,
            total_usd=amounts.total_usd,
            bank_account=bank_account,
        ),
    )
