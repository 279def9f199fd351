"""The ledger: its lines follow what happens, and its search finds exactly what is there."""

import unicodedata
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilewatch.model import SubjectKind
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import ENGINE, RESIDENT, Actor, Subject, act, open_ticket
from pilewatch.workflow.ledger import BadSearch, Mark, Wanted, all_lines, lines, search
from pilewatch.workflow.tickets import Accept, Claim, Comment, Merge, Pause, Reject, Worsen
from tests.workflow.conftest import NOW, Community

NAMES = {
    "no-output": ["充不进电", "does not charge"],
    "plug-broken": ["插头或插座损坏", "plug or socket broken"],
    "parking": ["停车", "parking"],
}
EVERYTHING = dict.fromkeys(("company_id", "owner_id", "person_id", "grids"))
PERSON = Actor("person")
HOUR = timedelta(hours=1)


def opened(
    c: Community, connector: int = 0, code: str = "no-output", note: str | None = None,
    at: datetime = NOW, actor: Actor = RESIDENT,
) -> int:  # fmt: skip
    """A ticket that a resident reported from the page."""
    subject = Subject(SubjectKind.CONNECTOR, c.connectors[connector])
    with c.db.transaction():
        return open_ticket(
            c.db, c.policy, at, subject=subject, code=code, actor=actor, note=note,
            data={"source": "page"},
        ).ticket_id  # fmt: skip


def do(c: Community, ticket: int, *actions: Any, at: datetime = NOW) -> None:
    """These steps at once."""
    with c.db.transaction():
        for action in actions:
            act(c.db, c.policy, at, ticket, action, PERSON)


def found(db: Db, text: str | None = None, now: datetime = NOW, **wanted: Any) -> list[int]:
    """The tickets of the lines, in their order."""
    rows = lines(db, now, Wanted(text=text, **wanted), NAMES, narrowed=EVERYTHING, after=None,
                 limit=500)  # fmt: skip
    return [row["ticket"] for row in rows]


def line(c: Community, ticket: int, now: datetime = NOW) -> dict[str, Any]:
    """The line of this ticket."""
    rows = lines(c.db, now, Wanted(), NAMES, narrowed=EVERYTHING, after=None, limit=500)
    return next(row for row in rows if row["ticket"] == ticket)


def test_a_line_follows_its_ticket_through_everything(community: Community) -> None:
    c = community
    ticket = opened(c, note="插上没反应")
    first = line(c, ticket)
    assert (first["state"], first["source"], first["text"]) == ("open", "page", "插上没反应")
    assert (first["charger"], first["connector"], first["company"]) == ("C0", 1, "c")
    do(c, ticket, Worsen("relay-welded", 1), Accept(), Pause("part"))
    late = NOW + timedelta(days=30)
    assert line(c, ticket, late)["overdue"] is False, "its clock stands"
    do(
        c,
        ticket,
        Claim("触点烧蚀", "更换继电器", None, None, "worn", "part-replaced"),
        at=NOW + HOUR,
    )
    claimed = line(c, ticket, late)
    assert (claimed["kind"], claimed["severity"], claimed["overdue"]) == ("relay-welded", 1, False)
    assert (claimed["done_at"], claimed["settled_at"]) == (NOW + HOUR, None)
    assert (claimed["remedy"], claimed["cause_code"]) == ("更换继电器", "worn")
    assert found(c.db, "更换继电器") == found(c.db, "烧蚀") == [ticket]
    c.db.execute("UPDATE site SET name = '琴湖里南区车棚'")
    c.db.execute("UPDATE charger SET label = '三号柜' WHERE code = 'C0'")
    assert found(c.db, "琴湖里 三号柜") == [ticket]
    c.db.execute("UPDATE ticket SET company_id = NULL")
    assert line(c, ticket)["company"] is None
    c.db.execute(
        "WITH other AS (INSERT INTO area (code, name) VALUES ('b', 'B') RETURNING id) "
        "UPDATE grid SET area_id = other.id FROM other"
    )
    assert (found(c.db, area="a"), found(c.db, area="b")) == ([], [ticket])


def test_the_ledger_that_is_kept_is_the_one_that_would_be_made_anew(community: Community) -> None:
    c = community
    one, two = opened(c, note="一号"), opened(c, 2, "plug-broken", "二号", NOW + HOUR, ENGINE)
    do(c, one, Accept(), Comment("配件已订"))
    do(c, two, Merge(one))
    kept = c.db.execute("SELECT * FROM ledger ORDER BY id").fetchall()
    c.db.execute("DELETE FROM ledger")
    c.db.execute("SELECT ledger_take_tickets(array(SELECT id FROM ticket ORDER BY id))")
    anew = c.db.execute("SELECT * FROM ledger ORDER BY id").fetchall()
    for row in [*kept, *anew]:
        del row["id"]
    assert kept == anew and len(kept) == 2


def test_matters_of_meetings_stand_beside_tickets(community: Community) -> None:
    c = community
    ticket = opened(c)
    grid = c.db.execute("SELECT id FROM grid").fetchone()
    assert grid is not None
    meeting, matter = uuid4(), uuid4()
    c.db.execute(
        "INSERT INTO meeting (id, grid_id, place, starts_at, entered, entered_by, entered_at) "
        "VALUES (%s, %s, '东门长椅', %s, '', %s, %s)",
        (meeting, grid["id"], NOW, c.worker, NOW),
    )
    c.db.execute(
        "INSERT INTO matter (id, meeting_id, grid_id, raised_at, kind, text, owner_company_id, "
        "deadline_at, state, entered, entered_by, entered_at) VALUES "
        "(%s, %s, %s, %s, 'parking', '燃油车占用充电车位', %s, %s, 'raised', '', %s, %s)",
        (matter, meeting, grid["id"], NOW + HOUR, c.company, NOW + 24 * HOUR, c.worker, NOW),
    )
    rows = lines(c.db, NOW, Wanted(), NAMES, narrowed=EVERYTHING, after=None, limit=9)
    assert [(row["ticket"], row["matter"]) for row in rows] == [(None, matter), (ticket, None)]
    assert rows[0]["text"] == "燃油车占用充电车位" and rows[0]["source"] == "meeting"
    assert found(c.db, "占用充电 停车") == [None] and found(c.db, overdue=True) == []
    assert found(c.db, overdue=True, kind="parking", now=NOW + 25 * HOUR) == [None]
    c.db.execute(
        "UPDATE matter SET state = 'answered', answer = '已劝离', answered_at = %s",
        (NOW + 2 * HOUR,),
    )
    assert found(c.db, settled=True) == found(c.db, "劝离", state="answered") == [None]


def test_each_filter_narrows_and_all_of_them_together(community: Community) -> None:
    c = community
    early = opened(c, at=NOW - 50 * HOUR, actor=ENGINE)
    rejected = opened(c, 1, "meter-mismatch", at=NOW - HOUR)
    late = opened(c, 2, "plug-broken", at=NOW - 60 * HOUR)
    do(c, rejected, Reject("误报"))
    do(c, late, Accept(), Claim("a", "b"))
    assert found(c.db) == [rejected, early, late]
    expected: list[tuple[dict[str, Any], list[int]]] = [
        ({"source": "machine"}, [early]),
        ({"kind": "plug-broken"}, [late]),
        ({"severity": 3}, [rejected]),
        ({"state": "repaired"}, [late]),
        ({"settled": True}, [rejected]),
        ({"settled": False}, [early, late]),
        ({"overdue": True}, [early, late]),
        ({"overdue": False}, [rejected]),
        ({"from_at": NOW - 50 * HOUR}, [rejected, early]),
        ({"to_at": NOW - 50 * HOUR}, [late]),
        ({"site": "s", "grid": "g", "area": "a", "company": "c"}, [rejected, early, late]),
        *(({name: "nowhere"}, []) for name in ("site", "grid", "area", "company")),
        ({"overdue": True, "source": "page", "severity": 2, "site": "s"}, [late]),
    ]
    for wanted, tickets in expected:
        assert found(c.db, **wanted) == tickets, wanted


def test_a_scope_is_a_companys_lines_its_sites_and_ones_own(community: Community) -> None:
    c = community
    ticket = opened(c)
    other = c.db.execute(
        "INSERT INTO company (code, name) VALUES ('d', 'D') RETURNING id"
    ).fetchone()
    assert other is not None
    c.db.execute("UPDATE ticket SET company_id = %s", (other["id"],))

    def sees(**narrowed: Any) -> bool:
        rows = lines(c.db, NOW, Wanted(), NAMES, narrowed={**EVERYTHING, **narrowed}, after=None,
                     limit=9)  # fmt: skip
        return [row["ticket"] for row in rows] == [ticket]

    assert sees(company_id=other["id"]) and not sees(company_id=c.company)
    assert sees(company_id=c.company, owner_id=c.company), "it happens at the company's site"
    c.db.execute("UPDATE ticket SET assignee_id = %s", (c.worker,))
    assert sees(company_id=c.company, person_id=c.worker)
    assert not sees(grids=[0]) and not sees(grids=[])


def test_pages_follow_each_other_without_gap_or_double(community: Community) -> None:
    c = community
    made = [opened(c, n, at=NOW + HOUR * (n % 2)) for n in range(6)]
    seen, after = [], None
    while page := lines(c.db, NOW, Wanted(), NAMES, narrowed=EVERYTHING, after=after, limit=2):
        seen += [row["ticket"] for row in page]
        after = Mark(page[-1]["raised_at"], page[-1]["id"])
    assert seen == [made[n] for n in (5, 3, 1, 4, 2, 0)]
    told = [
        row["ticket"] for row in all_lines(c.db, NOW, Wanted(), NAMES, narrowed=EVERYTHING, most=4)
    ]
    assert told == seen[:4]


SENTENCES = [
    "3号桩插上没反应，充不进电，屏幕也不亮",
    "东门车棚里面积水，插座打火花！",
    "万和苑6号楼北侧电缆被剪断",
    "充了一晚上电量没变，扣费2.5元",
    "ＷＨ－Ｅ０３ 二维码扫不出来",
    "Relay welded on port 12, please isolate",
    "老人代步车充电器发烫，有焦糊味",
    "𠮷野家门口的充电桩倒了",
    "充 电 慢",
    "err E-21 / wh-e0134 100%_done \\ ' : & | ! ( ) *",
]


def whole_words(text: str, term: str) -> bool:
    """The rule, the slow way: at every place, looking at what stands before and after."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tail = len(term) - len(term.rstrip(letters))
    for at in range(len(text) - len(term) + 1):
        if text[at : at + len(term)] != term:
            continue
        if term[0] in letters and at and text[at - 1] in letters:
            continue
        after = text[at + len(term) : at + len(term) + 1]
        if 0 < tail < 3 and after and after in letters:
            continue
        return True
    return False


@pytest.fixture
def told(community: Community) -> dict[int, str]:
    """A ticket for each sentence, with everything that its line is searched by."""
    made = {}
    for number, sentence in enumerate(SENTENCES):
        c = community
        code = ("no-output", "plug-broken")[number % 2]
        c.db.execute("UPDATE ticket SET state = 'rejected', closed_at = now()")
        made[opened(c, number % 6, code, sentence)] = f"s s c{number % 6 // 2} x {code} {sentence}"
    plain = unicodedata.normalize
    return {id: " ".join(plain("NFKC", text).lower().split()) for id, text in made.items()}


def expected(told: dict[int, str], text: str) -> list[int]:
    """What should be found, newest line first."""
    terms = unicodedata.normalize("NFKC", text).lower().split()
    terms = [t for t in terms if any((ch.isascii() and ch.isalnum()) or ord(ch) > 127 for ch in t)]
    kinds = {id: ("no-output", "plug-broken")["plug-broken" in said] for id, said in told.items()}

    def has(id: int, term: str) -> bool:
        called = NAMES[kinds[id]]
        return any(whole_words(said, term) for said in [told[id], *called])

    return sorted((id for id in told if all(has(id, term) for term in terms)), reverse=True)


def test_search_finds_chinese_latin_and_kinds(community: Community, told: dict[int, str]) -> None:
    one = list(told)
    for text, places in [
        ("没反应", [0]), ("积水 打火", [1]), ("WH-E03", [4]), ("wh-e013", [9]), ("wh-e0", []),
        ("relay", [5]), ("elay", []), ("焦糊味", [6]), ("𠮷", [7]), ("充 电 慢", [8]),
        ("充电慢", []),
        ("桩", [0, 7]), ("12", [5]), ("1", []), ("损坏", [1, 3, 5, 7, 9]), ("socket 电缆", []),
        ("电缆 charge", [2]), ("100%_done", [9]), ("e-21", [9]), ("2.5元", [3]), ("电充不", []),
    ]:  # fmt: skip
        ids = sorted((one[place] for place in places), reverse=True)
        assert found(community.db, text) == ids, text


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_search_is_exact(community: Community, told: dict[int, str], data: st.DataObject) -> None:
    parts = []
    for _ in range(data.draw(st.integers(1, 3))):
        sentence = data.draw(st.sampled_from([*SENTENCES, *NAMES["no-output"]]))
        start = data.draw(st.integers(0, len(sentence) - 1))
        parts.append(sentence[start : start + data.draw(st.integers(1, 6))])
        if data.draw(st.integers(0, 4)) == 0:
            parts.append(data.draw(st.text(st.characters(exclude_characters="\0", codec="utf-8"),
                                           max_size=3)))  # fmt: skip
    text = data.draw(st.sampled_from([" ", ""])).join(parts)
    try:
        ids = found(community.db, text)
    except BadSearch:
        return
    if text.isascii() or all(ch in "".join(SENTENCES) or ch in " " for ch in text):
        assert ids == expected(told, text), text


@pytest.mark.parametrize("text", ["", " ", "- /", "a b c d e f g h i"])
def test_what_cannot_be_searched_is_refused(text: str) -> None:
    with pytest.raises(BadSearch, match="one to 8 words"):
        search(text, NAMES)


def test_text_beyond_all_bounds_breaks_nothing(community: Community) -> None:
    c = community
    ticket = opened(c, note="电" * 2000)
    for n in range(20):
        do(c, ticket, Comment(f"{n}" + "桩坏了" * 600 + "x" * 190))
    assert found(c.db, "电电电") == [ticket]
    row = c.db.execute("SELECT length(said) AS n FROM ledger").fetchone()
    assert row == {"n": 8000}
