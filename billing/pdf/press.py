"""HTML to PDF by WeasyPrint, with our style sheet, our font and nothing from anywhere else."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from weasyprint import CSS, HTML
from weasyprint.text.ffi import ffi, fontconfig
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import FatalURLFetchingError, URLFetcher

from billing.pdf.errors import MissingFont, RenderingError

_STYLE_SHEET = Path(__file__).resolve().parents[2] / "templates" / "invoices" / "invoice.css"
_FONTS = ("NanumGothic", "NanumGothicBold")

# WeasyPrint does not promise to be thread safe, Pango's font map is shared, and Celery runs us in a thread pool.
_PRINTING = threading.Lock()


class NothingFetched(URLFetcher):  # type: ignore[misc]  # WeasyPrint has no types
    """Refuses every address. The documents need no outside resource, so a request for one is an attack or a mistake."""

    def fetch(self, url: str, headers: Any = None) -> NoReturn:
        """Ends the rendering; an ordinary error would only be logged and the page go out with a hole."""
        raise FatalURLFetchingError(f"a document may not load anything: {url[:200]}")


@dataclass(frozen=True, slots=True)
class _Setup:
    """What every rendering shares; a font configuration for each would grow by a megabyte a document."""

    fonts: FontConfiguration
    css: CSS


def print_html(html: str) -> bytes:
    """The PDF of a page; one thread at a time. Raises `MissingFont`, or `RenderingError` if the page wants a resource."""
    with _PRINTING:
        setup = _setup()
        try:
            pdf = HTML(string=html, url_fetcher=NothingFetched()).write_pdf(
                font_config=setup.fonts,
                stylesheets=[setup.css],
                # The identifier is a digest of the content, not of the clock.
                pdf_identifier=True,
                presentational_hints=False,
            )
        except FatalURLFetchingError as error:
            raise RenderingError(str(error)) from error
    assert isinstance(pdf, bytes)
    return pdf


def require_fonts() -> None:
    """Raises `MissingFont` unless the faces that the documents are set in are installed."""
    with _PRINTING:
        _setup()


@lru_cache(maxsize=1)
def _setup() -> _Setup:
    fonts = FontConfiguration()
    if missing := [name for name in _FONTS if not _is_installed(name, fonts)]:
        raise MissingFont(
            f"{' and '.join(missing)} not found. Install NanumGothic (Debian, Ubuntu: apt-get install fonts-nanum), "
            "then start again."
        )
    css = CSS(
        string=_STYLE_SHEET.read_text("utf-8"),
        font_config=fonts,
        url_fetcher=NothingFetched(),
    )
    return _Setup(fonts, css)


def _is_installed(postscript_name: str, fonts: FontConfiguration) -> bool:
    """Whether fontconfig has the face itself; it answers with another one, or with nothing, where it has not.

    Asked before anything is drawn: without a single font Pango does not fail, it takes the whole process down.
    """
    wanted = postscript_name.encode()
    pattern = ffi.gc(fontconfig.FcPatternCreate(), fontconfig.FcPatternDestroy)
    fontconfig.FcPatternAddString(pattern, b"postscriptname", wanted)
    fontconfig.FcConfigSubstitute(fonts._config, pattern, fontconfig.FcMatchFont)
    fontconfig.FcDefaultSubstitute(pattern)
    match = fontconfig.FcFontMatch(fonts._config, pattern, ffi.new("FcResult *"))
    if match == ffi.NULL:
        return False
    match = ffi.gc(match, fontconfig.FcPatternDestroy)
    name = ffi.new("FcChar8 **")
    fontconfig.FcPatternGetString(match, b"postscriptname", 0, name)
    return name[0] != ffi.NULL and bool(ffi.string(name[0]) == wanted)
