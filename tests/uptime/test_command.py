"""`pilewatch uptime`, `analyse` and `export parquet` over a story; nothing else starts slower."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deploy.command import main
from tests.uptime.conftest import START, Recorded
from tests.uptime.slow import Trouble, Word

HOUR = 3600


@pytest.fixture
def told(
    plain_recorded: Recorded, plain_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Recorded:
    """Four hours of May: an hour of silence, and half an hour of a broken relay at port 2."""
    monkeypatch.setenv("PILEWATCH_DATABASE__URL", plain_database_url)
    r = plain_recorded
    r.promise_of(60)
    silent = range(HOUR + 60, 2 * HOUR + 120, 60)
    r.hear(Word(at, 0, "heartbeat") for at in range(0, 6 * HOUR, 60) if at not in silent)
    r.hear([Word(0, 1, "available"), Word(0, 2, "available")])
    r.trouble(Trouble(2, "relay-open", 3 * HOUR, int(3.5 * HOUR)))
    r.build(6 * HOUR)
    return r


def test_uptime_is_told_to_people_and_to_programs(
    told: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["uptime", "--month", "2026-05", "--by", "connector"]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Port 1 is unknown for an hour of four (but for the patience); port 2 is broken beside that.
    assert lines[2].split()[:2] == ["C0/1", "75.417"] and lines[3].split()[:2] == ["C0/2", "62.917"]
    assert main(["uptime", "--month", "2026-05", "--span", "year", "--json", "--rebuild"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["code"] == "s" and row["out_of_order"] == 1800 * 1_000_000
    with pytest.raises(SystemExit):
        main(["uptime", "--month", "2026-00"])
    assert "right would be as 2026-11" in capsys.readouterr().err


def test_an_analysis_is_told(told: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", "--month", "2026-05", "--by", "site", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (site,) = found["reliability"]
    assert (site["failures"], site["mttr_h"], site["downtime_h"]) == (1, 0.5, 0.5 + 2 * 59 / 60)
    assert main(["analyse", "--month", "2026-05"]) == 0
    assert "relay-open" in capsys.readouterr().out
    assert main(["analyse", "--month", "2020-01"]) == 0
    assert "nothing" in capsys.readouterr().out


def test_tables_leave_whole_or_not_at_all(
    told: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told.session(told.connectors[0], START, START + timedelta(hours=1), 900.0)
    told.ticket("relay-open", 1)
    rows = {}
    for table in ("intervals", "incidents", "tickets", "sessions"):
        file = tmp_path / f"{table}.parquet"
        month = "2026-05" if table != "tickets" else f"{told.opened():%Y-%m}"
        assert main(["export", "parquet", "--table", table, "--month", month, str(file)]) == 0
        rows[table] = pq.read_table(file).to_pylist()
    states = [(r["connector"], r["state"], r["from_at"]) for r in rows["intervals"]]
    assert [state for port, state, _ in states if port == 2] == [
        "working", "unknown", "working", "out_of_order", "working",
    ]  # fmt: skip
    assert states[1][2] == START + timedelta(seconds=HOUR + 180)
    spans = [r["to_at"] - r["from_at"] for r in rows["intervals"]]
    assert sum(spans, timedelta(0)) == timedelta(hours=8)
    assert [r["code"] for r in rows["incidents"]] == ["relay-open"]
    assert [r["energy_wh"] for r in rows["sessions"]] == [900.0]
    assert [r["code"] for r in rows["tickets"]] == ["relay-open"]
    assert not {"session_id", "note", "assignee", "person"} & set(rows["sessions"][0])
    nowhere = tmp_path / "none" / "x.parquet"
    words = ["export", "parquet", "--table", "tickets", "--month", "2026-05", str(nowhere)]
    assert main(words) == 1 and "No such file" in capsys.readouterr().out
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".parquet"] * 4


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, deploy.command, alerts.main, ingest.main, api.main; deploy.command._parser();"
        "print(sorted({'pandas', 'numpy', 'lifelines', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
