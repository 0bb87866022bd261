"""CSV files that spreadsheets open as what they are: UTF-8 with BOM, and no cell that is computed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

#: So that Excel reads UTF-8 as UTF-8.
BOM = "\ufeff"
#: Spreadsheets take a cell that begins with one of these for a formula, full-width forms included.
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")


def guarded(text: str) -> str:
    """A cell of a CSV that no spreadsheet computes."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def csv_text(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """A whole file as text, BOM included; texts are guarded, numbers stand as they are."""
    buffer = io.StringIO()
    buffer.write(BOM)
    writer = csv.writer(buffer)
    writer.writerow(head)
    for row in rows:
        writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in row])
    return buffer.getvalue()
