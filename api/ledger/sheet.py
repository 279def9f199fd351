"""The ledger as a sheet: CSV that Excel opens, and XLSX, with the columns that communities hand in.

A text that a spreadsheet would take for a formula stays text, and what looks like a resident's
number, address or plate is withheld.
"""

import csv
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from io import BytesIO, TextIOWrapper
from typing import IO, Any
from zoneinfo import ZoneInfo

from openpyxl import Workbook
from openpyxl.cell import Cell as SheetCell
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from api.ledger.words import Words

Cell = str | int | Decimal | datetime | None
Line = dict[str, Any]
_WIDTHS: dict[str, int] = {
    **{"number": 7, "raised": 17, "source": 10, "place": 22, "site": 20, "pile": 18, "text": 36},
    **{"kind": 16, "severity": 10, "company": 18, "owner": 10, "deadline": 17, "cause": 24},
    **{"remedy": 30, "settled": 17, "proof": 14, "state": 10, "late": 9, "paused": 16},
    **{"reopened": 9, "cost": 11, "satisfied": 9},
}
"""The columns in order, and how wide each is, in characters."""
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PERSONAL = re.compile(
    r"(?<!\d)\d{17}[\dXx](?!\d)"  # an identity card
    r"|(?<!\d)(?:\+?86[- ]?)?1[3-9]\d(?:[- ]?\d{4}){2}(?!\d)"  # a mobile phone
    r"|(?<!\d)0\d{2,3}[- ]?\d{7,8}(?!\d)"  # a telephone
    r"|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
    rf"|[{_PROVINCES}][A-Z][·• ]?[A-Z0-9]{{5,6}}(?![A-Z0-9])"  # a number plate
)


def withheld(text: str, words: Words) -> str:
    """The text without what tells who a resident is."""
    return _PERSONAL.sub(words("hidden"), text)


def headers(words: Words) -> list[str]:
    """What stands above the columns."""
    return [words(f"column.{column}") for column in _WIDTHS]


def cells(line: Line, number: int, words: Words) -> list[Cell]:
    """One line of the sheet, its times local; `number` counts the lines of this sheet."""
    zone = ZoneInfo(line["timezone"])
    pile = [line["charger"] and f"{line['label']}（{line['charger']}）", line["gateway"]]
    if line["connector"] is not None:
        pile.append(words("port", number=line["connector"]))
    proof = line["proof"] or ("answer" if line["matter"] and line["settled_at"] else "none")
    satisfied = {True: "yes", False: "no", None: "none"}[line["satisfied"]]
    found: dict[str, Cell] = {
        "number": number,
        "raised": _local(line["raised_at"], zone),
        "source": words(f"source.{line['source']}"),
        "place": line["grid_name"],
        "site": line["site_name"],
        "pile": " ".join(part for part in pile if part),
        "text": line["text"],
        "kind": words.kind(line["kind"]),
        "severity": words(f"severity.{line['severity']}") if line["severity"] else None,
        "company": _sides(words, line, "company_name"),
        "owner": _sides(words, line, "owner_name"),
        "deadline": _local(line["deadline_at"], zone),
        "cause": _with_code(words, "cause", line["cause_code"], line["cause"]),
        "remedy": _with_code(words, "remedy", line["remedy_code"], line["remedy"]),
        "settled": _local(line["settled_at"], zone),
        "proof": words(f"proof.{proof}"),
        "state": words.state(line["state"]),
        "late": words("yes" if line["overdue"] else "no"),
        "paused": Decimal(round(line["paused_s"] / 360)) / 10,
        "reopened": line["reopened"],
        "cost": Decimal(line["cost_fen"]) / 100,
        "satisfied": words(f"satisfied.{satisfied}"),
    }
    free = {"text", "cause", "remedy"}
    return [
        withheld(value, words) if name in free and isinstance(value, str) else value
        for name, value in ((name, found[name]) for name in _WIDTHS)
    ]


def _sides(words: Words, line: Line, key: str) -> str | None:
    """Who answers for it, and beside it each side that has a work order."""
    told = [f"{words('duty.' + one['duty'])}：{one[key]}" for one in line["shared"] if one[key]]
    return "；".join(part for part in (line[key], *dict.fromkeys(told)) if part) or None


def _with_code(words: Words, family: str, code: str | None, text: str | None) -> str | None:
    parts = [words(f"{family}.{code}") if code else None, text]
    return "：".join(part for part in parts if part) or None


def _local(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    return None if moment is None else moment.astimezone(zone).replace(tzinfo=None)


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might run it."""
    return text.lstrip().startswith(_FORMULA) or text.startswith(("\t", "\r"))


def write_csv(lines: Iterable[Line], words: Words, file: IO[bytes]) -> None:
    """UTF-8 with the mark by which Excel knows it; a formula gets an apostrophe before it."""
    text = TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    sheet = csv.writer(text)
    sheet.writerow(headers(words))
    for number, line in enumerate(lines, 1):
        sheet.writerow([_plain(cell) for cell in cells(line, number, words)])
    text.flush()
    text.detach()


def _plain(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M}"
    if not isinstance(cell, str):
        return str(cell)
    text = _CONTROLS.sub("", cell)
    return f"'{text}" if is_formula(text) else text


def write_xlsx(lines: Iterable[Line], words: Words, file: IO[bytes]) -> None:
    """The same as a workbook, row by row: its size does not fill the memory."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(words("ledger.title"))
    sheet.freeze_panes = "C2"
    for at, width in enumerate(_WIDTHS.values(), 1):
        sheet.column_dimensions[get_column_letter(at)].width = width
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(_WIDTHS))}1"
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.print_title_rows = "1:1"
    make = _maker(sheet)
    try:
        sheet.append([_head(sheet, text) for text in headers(words)])
        for number, line in enumerate(lines, 1):
            row = zip(cells(line, number, words), _WIDTHS.values(), strict=True)
            sheet.append([make(cell, width) for cell, width in row])
    except BaseException:
        book.save(BytesIO())  # only so does it give its temporary file up
        raise
    book.save(file)


def _head(sheet: WriteOnlyWorksheet, text: str) -> SheetCell:
    cell = WriteOnlyCell(sheet, text)
    cell.font = Font(bold=True)
    cell.fill = PatternFill("solid", fgColor="E8EEF4")
    cell.alignment = Alignment(vertical="center", wrap_text=True)
    return cell


def _maker(sheet: WriteOnlyWorksheet) -> Callable[[Cell, int], Any]:
    """What a value is written as. A cell of its own costs ten times a bare value: only what would
    be taken for a formula, or is wider than its column, gets one."""
    wrapped = Alignment(vertical="top", wrap_text=True)

    def make(value: Cell, width: int) -> Any:
        if not isinstance(value, str):
            return value
        text = _CONTROLS.sub("", value)
        formula = is_formula(text)
        if not formula and len(text) * 2 <= width:
            return text
        cell = WriteOnlyCell(sheet, text)
        cell.data_type = "s"
        if formula:
            cell.quotePrefix = True
        cell.alignment = wrapped
        return cell

    return make
