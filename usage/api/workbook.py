"""XLSX files that are sent while they are written.

A workbook is a ZIP of XML parts. Libraries build the whole of it before they hand out the first byte, which for a million
rows is longer than any proxy waits; here the rows go into the ZIP as they come, and what is compressed goes out.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape

#: A sheet holds 1,048,576 rows at most; what goes beyond stands on the next one.
SHEET_ROWS = 1_000_000
_FLUSH_ROWS = 2_000
_MAX_CELL_CHARS = 32_767
#: What XML 1.0 cannot carry, however it is written.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_DECLARED = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_SHEET_BEGINS = f'{_DECLARED}<worksheet xmlns="{_MAIN}"><sheetData>'
_SHEET_ENDS = "</sheetData></worksheet>"

Row = Sequence[str | int]


class _Outgoing(io.RawIOBase):
    """Takes what the ZIP writes and cannot go back in it; `taken` is what came since the last time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts = b"".join(self._parts)
        self._parts.clear()
        return parts


def workbook(head: Row, rows: Iterable[Row]) -> Iterator[bytes]:
    """The file in pieces. Numbers are numbers, and every text is a text: no cell is ever computed. Each sheet begins with
    the head; without rows there is one sheet of it alone.
    """
    outgoing = _Outgoing()
    sheets = 0
    waiting = iter(rows)
    with zipfile.ZipFile(outgoing, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as book:
        row = next(waiting, None)
        while sheets == 0 or row is not None:
            sheets += 1
            with book.open(f"xl/worksheets/sheet{sheets}.xml", "w", force_zip64=True) as sheet:
                lines = [_SHEET_BEGINS, _line(head)]
                count = 0
                while row is not None and count < SHEET_ROWS:
                    lines.append(_line(row))
                    count += 1
                    if count % _FLUSH_ROWS == 0:
                        sheet.write("".join(lines).encode())
                        lines.clear()
                        if piece := outgoing.taken():
                            yield piece
                    row = next(waiting, None)
                lines.append(_SHEET_ENDS)
                sheet.write("".join(lines).encode())
        for name, text in _parts(sheets).items():
            book.writestr(name, _DECLARED + text)
    yield outgoing.taken()


def _line(row: Row) -> str:
    return f"<row>{''.join(map(_cell, row))}</row>"


def _cell(value: str | int) -> str:
    if isinstance(value, int):
        return f"<c><v>{value}</v></c>"
    text = escape(_NO_XML.sub("\ufffd", value[:_MAX_CELL_CHARS]))
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _parts(sheets: int) -> dict[str, str]:
    """What says which sheets there are; written last, when that is known."""
    numbers = range(1, sheets + 1)
    listed = "".join(f'<sheet name="Sheet{n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    related = "".join(
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
    )
    typed = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>' for n in numbers
    )
    return {
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{related}</Relationships>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>{typed}</Types>',
    }
