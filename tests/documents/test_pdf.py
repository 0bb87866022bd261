"""The PDF as a reader gets it: its text, its fonts, its pages, and that the same invoice gives the same bytes."""

import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pypdf import PdfReader
from weasyprint import HTML
from weasyprint.urls import FatalURLFetchingError

from billing.documents import BankAccount, DocumentLine, ExchangeEvidence, InvoiceDocument
from billing.pdf import RenderingError, UnknownTemplate, render_invoice, require_printing
from billing.pdf.press import NothingFetched, print_html
from catalog.money import Rounding, exact_sum
from tests.documents.golden import assert_golden
from tests.documents.samples import (
    CORPORATION,
    DOLLAR_ACCOUNT,
    FOREIGN,
    MONTH_END,
    OCTOBER,
    SOLE_TRADER,
    daily_exchange,
    in_dollars,
    invoice,
    line,
    lines_of,
    supplementary,
)

REPOSITORY = Path(__file__).resolve().parents[2]
MOST_BYTES_PER_PAGE = 60_000

CASES: dict[str, InvoiceDocument] = {
    "invoice": invoice(),
    "invoice_supplementary": invoice(
        [*lines_of(), supplementary(6, OCTOBER[1]), supplementary(7, OCTOBER[3], month="2026-08")],
        buyer=SOLE_TRADER,
        rounding=Rounding.DOWN,
        seller_phone="",
    ),
    "invoice_daily": invoice(exchange=daily_exchange(exact_sum(one.cost_usd for one in lines_of()))),
    "invoice_foreign": invoice(
        lines_of(OCTOBER[2:3]),
        buyer=FOREIGN,
        exchange=ExchangeEvidence(rule="fixed", rate=Decimal("1400"), source="contract", source_date=None),
        margin=Decimal("0.125"),
    ),
    "invoice_dollars": in_dollars(invoice(prepaid_krw=500_000), bank_account=DOLLAR_ACCOUNT),
}


def many_lines(count: int) -> tuple[DocumentLine, ...]:
    """Lines whose names tell their place."""
    return lines_of(
        [
            (
                f"Vendor {n % 17}: Model {n:03d}",
                f"vendor-{n % 17}/model-{n:03d}",
                100 + n,
                1_000_000 + n,
                n % 3,
                n,
                f"{n}.25",
            )
            for n in range(1, count + 1)
        ]
    )


def read(pdf: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(pdf))


def pages_of(document: InvoiceDocument) -> list[str]:
    return [page.extract_text() for page in read(render_invoice(document)).pages]


def text_of(document: InvoiceDocument) -> str:
    return "\n".join(pages_of(document))


def squeezed(text: str) -> str:
    """Without the white space that line breaks leave inside long words."""
    return "".join(text.split())


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize("name", CASES)
def test_text_is_the_golden_text(name: str, locale: str) -> None:
    pages = pages_of(replace(CASES[name], locale=locale))
    assert_golden(f"{locale}/{name}.pdf.txt", "\n\f\n".join(pages) + "\n")


def test_same_document_gives_the_same_bytes_whatever_was_printed_between() -> None:
    first = hashlib.sha256(render_invoice(CASES["invoice"])).hexdigest()
    render_invoice(replace(CASES["invoice_daily"], locale="en"))
    assert hashlib.sha256(render_invoice(CASES["invoice"])).hexdigest() == first


def test_another_process_gives_the_same_bytes() -> None:
    program = (
        "import hashlib, tests.documents.samples as s; from billing.pdf import render_invoice;"
        "print(hashlib.sha256(render_invoice(s.invoice())).hexdigest())"
    )
    other = run_python(program)
    assert other.stdout.strip() == hashlib.sha256(render_invoice(invoice())).hexdigest()


def test_stored_document_prints_the_same_bytes() -> None:
    document = CASES["invoice_daily"]
    assert render_invoice(InvoiceDocument.from_json(document.to_json())) == render_invoice(document)


def test_threads_do_not_disturb_each_other() -> None:
    documents = [*CASES.values()]
    alone = [render_invoice(document) for document in documents]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(render_invoice, documents)) == alone


def test_fonts_are_embedded_subsets_of_nanum_gothic() -> None:
    fonts = read(render_invoice(invoice())).pages[0]["/Resources"]["/Font"]
    names = {}
    for reference in fonts.values():
        descendant = reference.get_object()["/DescendantFonts"][0].get_object()
        descriptor = descendant["/FontDescriptor"].get_object()
        embedded = descriptor.get("/FontFile2") or descriptor.get("/FontFile3")
        names[str(descendant["/BaseFont"]).partition("+")[2]] = len(embedded.get_object().get_data())
    assert set(names) == {"NanumGothic", "NanumGothic-Bold"}
    # The whole files have four megabytes each.
    assert max(names.values()) < 100_000


def test_hangul_and_won_sign_can_be_copied_out() -> None:
    text = text_of(invoice())
    assert "일금 일백만팔천삼백팔십원정" in text
    assert "\u20a91,008,380" in text


def test_metadata_names_the_invoice_and_no_clock() -> None:
    document = read(render_invoice(invoice()))
    assert dict(document.metadata or {}) == {
        "/Producer": "WeasyPrint 70.0",
        "/Title": "청구서 INV-202610-0001 (2026년 10월)",
        "/Author": "주식회사 정산",
        "/Subject": "주식회사 가온로보틱스 · 2026년 10월 AI API 이용요금 · 합계 ₩1,008,380",
        "/Creator": "Jeongsan",
        "/CreationDate": "D:20261102",
        "/ModDate": "D:20261102",
    }
    assert document.trailer["/Root"]["/Lang"] == "ko"
    box = document.pages[0].mediabox
    assert (round(float(box.width)), round(float(box.height))) == (595, 842)


@pytest.mark.parametrize("name", CASES)
def test_every_page_is_small(name: str) -> None:
    pdf = render_invoice(CASES[name])
    assert len(pdf) < MOST_BYTES_PER_PAGE * len(read(pdf).pages)


def test_three_hundred_lines() -> None:
    pdf = render_invoice(invoice(many_lines(300)))
    pages = [page.extract_text() for page in read(pdf).pages]
    text = "\n".join(pages)
    assert all(f"vendor-{n % 17}/model-{n:03d}" in text for n in range(1, 301))
    assert len(pages) == 12
    assert [page.rstrip().splitlines()[-1].endswith(f"{n} / 12") for n, page in enumerate(pages, 1)] == [True] * 12
    assert all("입력 토큰" in page for page in pages)
    assert all("청구서 INV-202610-0001 · 2026년 10월 AI API 이용요금" in page for page in pages[1:])
    assert len(pdf) < 120_000


@pytest.mark.parametrize("count", range(9, 16))
def test_total_is_never_alone_on_a_page(count: int) -> None:
    pages = pages_of(invoice(many_lines(count)))
    [page] = [page for page in pages if f"합계 {sum(range(1, count + 1)) + count // 4}" in page.replace(",", "")]
    assert f"model-{count:03d}" in page
    assert f"model-{count - 1:03d}" in page


@pytest.mark.parametrize("count", range(7, 14))
def test_heading_of_supplementary_lines_stays_with_its_first_line(count: int) -> None:
    usage = many_lines(count)
    late = [supplementary(count + n, (f"Late {n}", f"late-{n}", 1, 2, 0, 3, "1")) for n in range(1, 7)]
    pages = pages_of(invoice([*usage, *late]))
    [page] = [page for page in pages if "추가 정산 (전월분, 2026년 9월)" in page]
    assert "late-1" in page


def test_earlier_months_follow_this_month_in_whatever_order_the_lines_stand() -> None:
    lines = [supplementary(1, OCTOBER[1], month="2026-08"), supplementary(2, OCTOBER[3]), line(3)]
    text = text_of(invoice(lines))
    headings = ["2026년 10월 소계", "추가 정산 (전월분, 2026년 9월)", "추가 정산 (2026년 8월)", "2026년 8월 소계"]
    assert sorted(headings, key=text.index) == headings


def test_largest_amounts_stay_on_one_line() -> None:
    row = ("M", "m", 99_999_999, 999_999_999_999, 1, 999_999_999_999, "539387987999.123456")
    document = invoice([line(1, row)])
    assert document.total_krw == 999_999_946_786_234
    text = text_of(document)
    assert "₩999,999,946,786,234" in text
    assert "99,999,999 999,999,999,999 1 999,999,999,999 539,387,987,999.123456 909,090,860,714,758" in text
    assert "구백구십구조구천구백구십구억" in squeezed(text)


def test_long_names_are_printed_whole() -> None:
    company, address, model = "주식회사 " + "긴이름" * 20, "다" * 3000, "vendor/" + "x" * 300
    pages = pages_of(
        invoice(
            [line(1, ("모" * 200, model, 1, 2, 3, 4, "1.5"))],
            buyer=replace(CORPORATION, name=company, address=address, email="a" * 60 + "@example.com"),
        )
    )
    text = squeezed("".join(pages))
    assert squeezed(company) in text
    assert text.count("다") >= 3000
    assert model in text
    assert "a" * 60 + "@example.com" in text


HOSTILE = (
    '<script>alert(1)</script> {{7*7}} {% now "Y" %} <link rel=attachment href=file:///etc/passwd> '
    "<img src=http://127.0.0.1:9/x> <style>*{display:none}</style> "
    "\u202egpj.exe \U0001f600 \r\nBcc: a@b.example \x00 & \"q\" 's' &lt;"
)
INERT = (
    '<script>alert(1)</script> {{7*7}} {% now "Y" %} <link rel=attachment href=file:///etc/passwd> '
    "<img src=http://127.0.0.1:9/x> <style>*{display:none}</style> "
    "gpj.exe \U0001f600 Bcc: a@b.example & \"q\" 's' &lt;"
)


@pytest.mark.parametrize("locale", ["ko", "en"])
def test_hostile_text_is_printed_as_text(locale: str) -> None:
    party = replace(
        FOREIGN,
        **dict.fromkeys(
            ("registration_no", "name", "ceo_name", "address", "business_type", "business_class", "email"), HOSTILE
        ),
    )
    document = invoice(
        [line(1, (HOSTILE, HOSTILE[::-1], 1, 2, 3, 4, "1.5"))],
        locale=locale,
        number=HOSTILE,
        seller=party,
        seller_phone=HOSTILE,
        buyer=party,
        bank=BankAccount(bank=HOSTILE, number=HOSTILE, holder=HOSTILE),
        deposit_code=HOSTILE,
        exchange=replace(MONTH_END, source=HOSTILE),
    )
    pdf = read(render_invoice(document))
    text = squeezed("".join(page.extract_text() for page in pdf.pages))
    # 7 members of two parties, number, three of the bank, deposit code, model, source; imprint and page head besides.
    assert text.count(squeezed(INERT)) >= 21
    assert (pdf.metadata or {})["/Author"] == INERT
    assert pdf.attachments == {}
    assert "/Names" not in pdf.trailer["/Root"]
    assert all("/Annots" not in page for page in pdf.pages)


@pytest.mark.parametrize(
    "html",
    [
        "<link rel=attachment href=file:///etc/passwd>",
        "<img src=http://127.0.0.1:9/x>",
        "<img src='data:image/png;base64,AAAA'>",
        "<link rel=stylesheet href=https://127.0.0.1:9/x.css>",
        "<style>@import url(file:///etc/passwd)</style>",
        "<style>@font-face{font-family:x;src:url(file:///etc/passwd)}</style>",
        "<p style='background:url(file:///etc/passwd)'>x</p>",
    ],
)
def test_nothing_is_ever_fetched(html: str) -> None:
    with pytest.raises(FatalURLFetchingError, match="may not load anything"):
        HTML(string=html, url_fetcher=NothingFetched()).write_pdf()


def test_another_template_version_is_refused() -> None:
    with pytest.raises(UnknownTemplate, match="INV-202610-0001: no template of version 2"):
        render_invoice(replace(invoice(), template_version=2))


def test_page_that_wants_a_resource_is_not_printed() -> None:
    with pytest.raises(RenderingError, match="may not load anything: file:///etc/passwd"):
        print_html("<link rel=attachment href=file:///etc/passwd>")


def test_this_machine_can_print() -> None:
    require_printing()


NO_FONT = "<fontconfig><dir>{0}</dir><cachedir>{0}</cachedir></fontconfig>"
ONLY_REGULAR = """<fontconfig><dir>/usr/share/fonts</dir><cachedir>{0}</cachedir><selectfont><rejectfont><pattern>
<patelt name="postscriptname"><string>NanumGothicBold</string></patelt></pattern></rejectfont></selectfont></fontconfig>"""


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh process, which has not loaded WeasyPrint yet."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("configuration", "missing"), [(NO_FONT, "NanumGothic and NanumGothicBold"), (ONLY_REGULAR, "NanumGothicBold")]
)
def test_missing_font_is_an_error_that_says_what_to_install(configuration: str, missing: str, tmp_path: Path) -> None:
    (tmp_path / "fonts.conf").write_text(configuration.format(tmp_path))
    program = "from billing.pdf import require_printing; require_printing()"
    run = run_python(program, FONTCONFIG_FILE=str(tmp_path / "fonts.conf"))
    assert run.returncode == 1
    assert f"MissingFont: {missing} not found." in run.stderr
    assert "apt-get install fonts-nanum" in run.stderr


def test_missing_pango_is_an_error_that_says_what_to_install() -> None:
    program = (
        "import cffi\n"
        "def not_there(self, name, flags=0): raise OSError(f'cannot load library {name!r}')\n"
        "cffi.FFI.dlopen = not_there\n"
        "from billing.pdf import require_printing\n"
        "require_printing()"
    )
    run = run_python(program)
    assert run.returncode == 1
    assert "MissingLibrary: Pango could not be loaded." in run.stderr
    assert "apt-get install libpangoft2-1.0-0" in run.stderr


def test_printing_library_is_not_loaded_before_something_is_printed() -> None:
    run = run_python("import sys, billing.pdf; print('weasyprint' in sys.modules)")
    assert run.stdout == "False\n"
