"""The cells of a spreadsheet (XLSX) as text, and back."""

# The library is heavy: whoever has no spreadsheet does without it.
# ruff: noqa: PLC0415

import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from xml.etree.ElementTree import ParseError

_UNPACKED = 500_000_000
_ROWS, _COLUMNS = 200_000, 200


class BadSheet(ValueError):
    """What is wrong with the file, in a sentence."""


def read_cells(content: bytes) -> list[list[str]]:
    """The first sheet's rows; numbers without a needless `.0`, dates as 2026-05-01.

    Raises `BadSheet` for what is no spreadsheet, is empty, or is larger than any list of piles.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(part.file_size for part in packed.infolist()) > _UNPACKED:
                raise BadSheet("the spreadsheet is too large")
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        rows: list[list[str]] = []
        for row in book.worksheets[0].iter_rows(values_only=True, max_col=_COLUMNS):
            if len(rows) == _ROWS:
                raise BadSheet(f"more than {_ROWS} rows")
            rows.append([_text(cell) for cell in row])
    except BadSheet:
        raise
    except (
        zipfile.BadZipFile,
        InvalidFileException,
        ParseError,
        OSError,
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise BadSheet("not an XLSX spreadsheet") from error  # fmt: skip
    if not rows:
        raise BadSheet("the first sheet is empty")
    return rows


def sheet_of(rows: Iterable[Sequence[str]]) -> bytes:
    """A workbook of one sheet; every cell is text, so that a phone keeps its zero."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("registry")
    sheet.freeze_panes = "A2"
    for row in rows:
        sheet.append([_cell(sheet, text) for text in row])
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def _cell(sheet: Any, text: str) -> Any:
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, text or None)
    if text:
        cell.data_type = "s"  # also where it begins with "=": no formula
    return cell


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
