"""The ledger through the API and the command: lists within one's rights, sheets, reports."""

import csv
import re
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from api.ledger.report import Asked, shown
from api.ledger.sheet import cells, headers, is_formula, withheld
from api.ledger.words import Words
from deploy.command import main
from pilewatch import paper
from pilewatch.workflow.desk import Actor, act
from pilewatch.workflow.figures import Line, Month, figures
from pilewatch.workflow.tickets import Accept, Claim, Comment, Verify
from tests.api.conftest import World
from tests.workflow.test_figures import BY_HAND, MAY
from tests.workflow.test_ledger import EVERYTHING, opened

NOW = datetime.now(UTC)
ZH = Words("zh")


def step(world: World, ticket: int, *actions: Any) -> None:
    """These steps by the grid worker."""
    actor = Actor("person", world.community.worker)
    with world.db.transaction():
        for action in actions:
            act(world.db, world.community.policy, NOW, ticket, action, actor)


def tickets(world: World, query: str = "", role: str = "operator") -> list[int]:
    """The tickets of the ledger's lines."""
    answer = world.ask(role, "GET", f"/ledger{query}")
    assert answer.status_code == 200, answer.text
    return [line["ticket"] for line in answer.json()["items"]]


def test_the_list_is_filtered_searched_and_paged(world: World) -> None:
    c = world.community
    made = [opened(c, n, note=f"第{n}个口充不进电", at=NOW - timedelta(hours=n)) for n in range(6)]
    assert tickets(world) == made
    assert tickets(world, "?text=第3个口 充不进") == [made[3]]
    assert tickets(world, "?text=does not charge&source=page&site=s") == made
    assert tickets(world, "?kind=blocked") == []
    since = (NOW - timedelta(minutes=90)).isoformat().replace("+", "%2B")
    assert tickets(world, f"?from_at={since}&severity=2") == made[:2]
    seen, cursor = [], ""
    while True:
        page = world.ask("operator", "GET", f"/ledger?limit=4{cursor}").json()
        seen += [line["ticket"] for line in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == made
    for wrong in ("text=-", "cursor=zzz", "cursor=WzEsMl0=", "state=nonsense", "text=%00"):
        assert world.ask("operator", "GET", f"/ledger?{wrong}").status_code == 422, wrong
    for odd in (
        "from_at=0001-01-01T00:00:00%2B14:00", "to_at=9999-12-31T23:59:59-14:00",
        "text=%ED%A0%80", "text=%5C%27%20%3A*%26|!()%5B", "text=***%3Aa", "text=a%00b",
        "text=" + "%EF%B7%BA" * 20, "text=%E2%80%AE", "site=%27%3B--", "cursor=W10=",
        "cursor=WyI5OTk5LTEyLTMxVDIzOjU5OjU5LTE0OjAwIiwxXQ==",
    ):  # fmt: skip
        assert world.ask("operator", "GET", f"/ledger?{odd}").status_code in (200, 422), odd


def test_each_role_sees_its_own_in_list_sheet_and_figures(world: World) -> None:
    ticket = opened(world.community, at=NOW)
    month = f"{NOW.astimezone(MAY.zone):%Y-%m}"

    def sees(role: str) -> list[bool]:
        figure = world.ask(role, "GET", f"/ledger/figures/{month}").json()["raised"]
        sheet = world.ask(role, "GET", "/ledger/export.csv").content.decode("utf-8-sig")
        return [bool(tickets(world, role=role)), figure > 0, len(sheet.splitlines()) > 1]

    for role in ("admin", "operator", "repairer", "grid_worker"):
        assert sees(role) == [True] * 3, role
    world.db.execute("UPDATE ticket SET company_id = NULL")
    assert sees("repairer") == [False] * 3
    world.db.execute(
        "UPDATE ticket SET assignee_id = (SELECT id FROM person WHERE login = 'repairer')"
    )
    assert sees("repairer") == [True] * 3 and tickets(world, role="repairer") == [ticket]
    world.db.execute(
        "WITH other AS (INSERT INTO grid (area_id, code, name) SELECT id, 'h', 'H' FROM area "
        "RETURNING id) UPDATE person_grid SET grid_id = other.id FROM person p, other "
        "WHERE p.id = person_id AND p.login = 'grid_worker'"
    )
    assert sees("grid_worker") == [False] * 3
    for path in ("/ledger", "/ledger/export.xlsx", f"/ledger/report.pdf?month={month}"):
        assert world.ask(None, "GET", path).status_code == 401


def sheet_world(world: World) -> int:
    """One line with everything that is to be guarded."""
    ticket = opened(world.community, 0, note='=HYPERLINK("http://x") 电话13812345678，豫S·A1234')
    said = Claim("@SUM(A1)", "更换插座\x07 a@b.example", "socket", None, "worn", "part-replaced")
    step(world, ticket, Accept(), said, Comment("x"), Verify({"kind": "session"}))
    world.db.execute("UPDATE company SET name = '+信充'")
    return ticket


def test_csv_is_what_excel_opens_and_nothing_in_it_runs(world: World) -> None:
    sheet_world(world)
    answer = world.ask("operator", "GET", "/ledger/export.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "filename*=UTF-8''%E9%97%AE%E9%A2%98" in answer.headers["content-disposition"]
    assert answer.content.startswith(b"\xef\xbb\xbf")
    head, row = csv.reader(StringIO(answer.content.decode("utf-8-sig")))
    told = dict(zip(head, row, strict=True))
    assert list(told) == headers(ZH)[:22] and head[:3] == ["序号", "反映时间", "来源"]
    assert told["问题描述"] == '\'=HYPERLINK("http://x") 电话［已隐去］，［已隐去］'
    assert told["原因"] == "磨损老化：@SUM(A1)" and told["责任单位"] == "'+信充"
    assert told["处理措施"] == "更换部件：更换插座 ［已隐去］"
    assert (told["核实方式"], told["状态"], told["满意度"]) == ("充电成功记录", "已核实", "未评价")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d", told["反映时间"])
    assert not any(is_formula(cell) for cell in row)


def test_xlsx_has_real_times_and_text_that_stays_text(world: World) -> None:
    sheet_world(world)
    answer = world.ask("operator", "GET", "/ledger/export.xlsx?lang=en")
    book = openpyxl.load_workbook(BytesIO(answer.content))
    sheet = book.worksheets[0]
    assert [cell.value for cell in sheet[1]] == headers(Words("en"))
    row = dict(zip(headers(ZH), sheet[2], strict=True))
    assert isinstance(row["反映时间"].value, datetime) and row["费用（元）"].value == 0
    for name in ("问题描述", "责任单位"):
        assert (row[name].data_type, row[name].quotePrefix) == ("s", True), name
    assert row["问题描述"].value.startswith("=HYPERLINK")
    assert "\x07" not in row["处理措施"].value
    assert sheet.freeze_panes == "C2"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("打13812345678找我", "打［已隐去］找我"),
        ("+86 138-1234-5678", "［已隐去］"),
        ("身份证41150019900101123X", "身份证［已隐去］"),
        ("0376-5550101转8", "［已隐去］转8"),
        ("li.wang@mail.example.cn收", "［已隐去］收"),
        ("京A·12345占位", "［已隐去］占位"),
        ("京A12345占位", "［已隐去］占位"),
        ("3号桩20260501第12口，订单2026050112345678", "3号桩20260501第12口，订单2026050112345678"),
    ],
)
def test_what_tells_who_a_resident_is_is_withheld(text: str, left: str) -> None:
    assert withheld(text, ZH) == left


def test_a_sheet_with_too_many_lines_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        opened(world.community, n)
    monkeypatch.setattr("api.ledger.routes._MOST", 2)
    refused = world.ask("operator", "GET", "/ledger/export.xlsx")
    assert refused.status_code == 422 and "more than 2 lines" in refused.json()["detail"]
    assert world.ask("operator", "GET", "/ledger/export.xlsx?text=-").status_code == 422


def test_the_report_is_a_document_of_the_months_own_figures(world: World) -> None:
    opened(world.community, at=NOW)
    month = f"{NOW.astimezone(MAY.zone):%Y-%m}"
    for lang in ("zh", "en"):
        made = world.ask("admin", "GET", f"/ledger/report.pdf?month={month}&area=a&lang={lang}")
        assert (made.headers["content-type"], made.content[:5]) == ("application/pdf", b"%PDF-")
    told = world.ask("admin", "GET", f"/ledger/figures/{month}?area=a").json()
    assert (told["raised"], told["after"], told["by_kind"][0]["name"]) == (1, 1, "no-output")
    assert world.ask("admin", "GET", "/ledger/figures/2020-01").json()["raised"] == 0
    assert world.ask("admin", "GET", f"/ledger/report.pdf?month={month}&area=x").status_code == 404
    for wrong in ("2026-13", "2026-1", "1999-01"):
        assert world.ask("admin", "GET", f"/ledger/report.pdf?month={wrong}").status_code == 422


@pytest.mark.parametrize("lines", [[], BY_HAND], ids=["nothing", "by hand"])
def test_each_language_sets_every_month_however_empty(lines: list[Line]) -> None:
    asked = Asked(Month(2026, 5, MAY.zone), 1, "万和社区 #panic()")
    for language in ("zh", "en"):
        words = Words(language)  # type: ignore[arg-type]
        data = shown(asked, figures(lines, MAY, NOW), NOW, words)
        assert [tile[1] for tile in data["tiles"]] == (["1", "6", "4", "3"] if lines else ["0"] * 4)
        assert paper.pages("api.ledger", "report.typ", data)[0].startswith(b"\x89PNG")


def test_the_command_writes_files(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PILEWATCH_DATABASE__URL", world.url)
    opened(world.community, note="充不进电")
    for name in ("a.csv", "a.xlsx"):
        assert main(["ledger", "export", "--area", "a", "-o", str(tmp_path / name)]) == 0
    assert "充不进电" in (tmp_path / "a.csv").read_text("utf-8-sig")
    pdf = str(tmp_path / "a.pdf")
    assert main(["ledger", "report", "--month", "2026-05", "--area", "a", "-o", pdf]) == 0
    assert Path(pdf).read_bytes().startswith(b"%PDF-")
    assert main(["ledger", "report", "--month", "2026-05", "--area", "x", "-o", pdf]) == 1
    assert main(["ledger", "export", "-o", str(tmp_path / "a.txt")]) == 2
    assert main(["ledger", "export", "-o", str(tmp_path / "no" / "a.csv")]) == 1
    said = capsys.readouterr().err
    assert "there is no area x" in said and "right would be an ending" in said and "No such" in said


def test_every_line_has_a_cell_for_each_column(world: World) -> None:
    from pilewatch.workflow.ledger import Wanted, lines

    opened(world.community)
    (line,) = lines(world.db, NOW, Wanted(), {}, narrowed=EVERYTHING, after=None, limit=9)
    assert len(cells(line, 1, ZH)) == len(headers(ZH))
