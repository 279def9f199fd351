"""Opening hours: the file's words, the database's week, and what was kept twice before."""

from hypothesis import given
from hypothesis import strategies as st

from pilewatch.openinghours import read_opening_hours, text_of, week_of
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import connect
from pilewatch.uptime.periods import check_week
from tests.parts import database_on
from tests.workflow.conftest import Community

_CLOCK = st.integers(0, 24 * 4).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
_DAY = st.lists(_CLOCK, unique=True, max_size=6).map(
    lambda at: [list(pair) for pair in zip(sorted(at)[::2], sorted(at)[1::2], strict=False)]
)
_WEEK = st.dictionaries(st.sampled_from("1234567"), _DAY)


@given(_WEEK)
def test_a_week_is_told_in_words_that_are_read_back_as_the_same_week(
    week: dict[str, list[list[str]]],
) -> None:
    text = text_of(week)
    assert week_of(text) == {day: pieces for day, pieces in week.items() if pieces}
    check_week(week_of(text))
    read_opening_hours(text)


def test_weeks_are_told_in_the_shortest_words() -> None:
    for text in (
        "24/7",
        "off",
        "Mo-Fr 08:00-20:00; Sa-Su 10:00-12:00,13:00-24:00",
        "We 00:00-24:00",
    ):
        assert text_of(week_of(text)) == text


def test_what_the_registry_had_said_is_taken_over_where_nothing_was_in_force(
    server_url: str,
) -> None:
    with connect(server_url, application="tests") as db:
        db.execute("DROP DATABASE IF EXISTS m_hours")
        db.execute("CREATE DATABASE m_hours")
    with connect(database_on(server_url, "m_hours"), application="tests") as db:
        migrate(db, up_to=23)
        Community(db)
        texts = ("24/7", "Sa 13:00-18:00,09:00-12:00; Mo-Fr 08:00-24:00 ", None, "Mo 08:00-09:00")
        for code, text in zip("wxyz", texts, strict=True):
            db.execute(
                "INSERT INTO site (code, grid_id, name, opening_hours) "
                "SELECT %s, id, 'x', %s FROM grid",
                (code, text),
            )
        db.execute(
            'INSERT INTO opening_hours SELECT id, from_on, \'{"2": [["10:00", "11:00"]]}\' '
            "FROM site JOIN (VALUES ('x', '2090-01-01'::date), ('z', '2020-01-01')) "
            "AS v(code, from_on) USING (code)"
        )
        migrate(db)
        rows = db.execute(
            "SELECT s.code, h.week, h.from_on <= now()::date + 1 AS now FROM opening_hours h "
            "JOIN site s ON s.id = h.site_id ORDER BY s.code, h.from_on"
        ).fetchall()
        assert [(row["code"], text_of(row["week"]), row["now"]) for row in rows] == [
            ("w", "24/7", True),
            ("x", "Mo-Fr 08:00-24:00; Sa 09:00-12:00,13:00-18:00", True),
            ("x", "Tu 10:00-11:00", False),
            ("z", "Tu 10:00-11:00", True),
        ]
