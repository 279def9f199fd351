"""`python -m bench.console`: the operator's pages over 10,000 chargers, and a browser before them.

Each page is asked for in turn with a bare FastAPI endpoint that returns the same bytes; the figure
is the ratio of the medians. Then Chromium looks at the board while 50 changes a second arrive by
SSE: how much of a second its main thread is in tasks longer than 50 ms, and how long the longest
is. Embedded PostgreSQL and Chromium only (`make parts`).
"""

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import httpx
from playwright.sync_api import Page, sync_playwright

from api.people import add_person
from bench.stage import Child, Result, report, wait_until
from deploy.embedded import EmbeddedPostgres, free_port
from deploy.pictures import CHROMIUM_FLAGS, sign_in
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import connect

_LOGIN, _PASSWORD = "bench", "of the bench only"
_RATE = 50
_LOOK_S = 10
_ROUNDS = 15
_FLEET = """
INSERT INTO area (code, name) VALUES ('a', '万和');
INSERT INTO grid (area_id, code, name) SELECT id, 'g', '一网格' FROM area;
INSERT INTO company (code, name) VALUES ('c', '新充');
INSERT INTO site (code, grid_id, company_id, name, latitude, longitude)
SELECT 's' || n, (SELECT id FROM grid), (SELECT id FROM company), '充电点 ' || n,
       32 + n % 10 * 0.01, 114 + n / 10 * 0.01 FROM generate_series(0, 99) n;
INSERT INTO charger (code, site_id, kind, label)
SELECT 'C' || n, (SELECT min(id) FROM site) + n %% 100, 'ebike', '东门 ' || n || ' 号桩'
FROM generate_series(0, %(chargers)s - 1) n;
INSERT INTO charger_state (charger_id, last_seen_at, confirmed_at)
SELECT id, now(), now() FROM charger;
INSERT INTO connector (charger_id, number)
SELECT c.id, n FROM charger c, generate_series(1, 2) n;
INSERT INTO connector_state (connector_id, charger_id, status, status_at, confirmed_at)
SELECT id, charger_id, 'available', now(), now() FROM connector;
INSERT INTO ticket (subject_kind, subject_id, site_id, charger_id, connector_id, company_id, code,
                    family, severity, state, opened_at, deadline_at)
SELECT 'connector', n.id, c.site_id, c.id, n.id, s.company_id, 'relay-open', 'relay',
       1 + n.id %% 3, 'open', now() - n.id * interval '1 s', now() + n.id * interval '1 s'
FROM connector n JOIN charger c ON c.id = n.charger_id JOIN site s ON s.id = c.site_id
WHERE n.id %% 10 = 0;
INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, code, family,
                      severity, effect, detector, phase, started_at, opened_at, ticket_id, evidence)
SELECT subject_kind, subject_id, site_id, charger_id, connector_id, code, family, severity,
       'out-of-order', 'metering', 'open', opened_at, opened_at, id,
       '{"latest": {"value": 97, "limit": 80}}' FROM ticket;
INSERT INTO state_change
SELECT n.id, date_trunc('month', now()) + h * interval '17 hours' + n.id %% 999 * interval '1 s',
       (ARRAY['working', 'faulted', 'working', 'unavailable'])[1 + h %% 4]
FROM connector n, generate_series(0, 40) h;
INSERT INTO contact_change
SELECT id, date_trunc('month', now()), true FROM charger;
INSERT INTO interval_progress
VALUES (true, date_trunc('hour', now()), date_trunc('month', now()) - interval '1 month');
ANALYZE;
"""
_WATCH = """() => {
    window.tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)))
        .observe({ type: "longtask", buffered: true });
}"""
PAGES = (
    *(("/console", 100, 100), ("/console?page=20", 100, 100), ("/console?site=s7", 50, 50)),
    *(("/console/map", 250, 100), ("/console/uptime?site=s7", 250, 150)),
    *(("/console/chargers/C4", 100, 50), ("/console/shifts", 30, 50)),
)
"""Path, the most that its answer may cost in bare answers, and the most kB that it may weigh."""


@contextlib.contextmanager
def served(folder: Path, chargers: int) -> Iterator[tuple[str, str]]:
    """The database's address and that of the API, with somebody who can log in."""
    server = EmbeddedPostgres(folder / "pg", settings={"fsync": "off"}).start()
    try:
        with connect(server.url, application="bench") as db:
            migrate(db)
            for statement in filter(str.strip, _FLEET.split(";\n")):
                told = {"chargers": chargers} if "%(" in statement else None
                db.execute(statement if told else statement.replace("%%", "%"), told)
            add_person(db, _LOGIN, "值班", "operator", password=_PASSWORD)
        port = free_port()
        api = Child(
            "deploy.command", "api", says="", log=folder / "api",
            PILEWATCH_DATABASE__URL=server.url, PILEWATCH_API__PORT=str(port),
            PILEWATCH_API__REQUESTS_PER_ADDRESS="10000000",
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        wait_until(partial(_answers, f"{url}/healthz"), 30, pause=0.1)
        try:
            yield server.url, url
        finally:
            api.end()
    finally:
        server.stop()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url).status_code == 200
    return False


def times(folder: Path, url: str) -> Iterator[Result]:
    """Each page's answer beside the same bytes from a bare endpoint, and its weight."""
    with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as client:
        client.post("/login", data={"login": _LOGIN, "password": _PASSWORD})
        for path, most, heaviest in PAGES:
            page = client.get(path)
            if page.status_code != 200 or "/login" in str(page.url):
                raise RuntimeError(f"{path} answered {page.status_code}")
            body, port = folder / "body", free_port()
            body.write_bytes(page.content)
            bare = Child("bench.bare_api", str(body), str(port), says="", log=folder / "bare")
            there = f"http://127.0.0.1:{port}/bare"
            wait_until(partial(_answers, there), 30, pause=0.1)
            took: dict[str, list[float]] = {path: [], there: []}
            with httpx.Client() as plain:
                for _ in range(_ROUNDS):
                    for asker, address in ((client, path), (plain, there)):
                        began = time.perf_counter()
                        asker.get(address)
                        took[address].append(1000 * (time.perf_counter() - began))
            bare.end()
            ours, reference = median(took[path]), median(took[there])
            said = f"{ours:.0f} ms, bare {reference:.1f} ms"
            yield Result(f"{path}, in bare answers", ours / reference, most, "<", said)
            yield Result(f"{path}, kB", len(page.content) / 1000, heaviest, "<", "unpacked")


@contextlib.contextmanager
def changes(url: str) -> Iterator[None]:
    """So many things a second change, ports and tickets in turn, and are notified."""
    ended = threading.Event()

    def run() -> None:
        with connect(url, application="bench") as db:
            number, due = 0, time.monotonic()
            while not ended.wait(max(0.0, due - time.monotonic())):
                number, due = number + 1, due + 1 / _RATE
                kind = "ticket" if number % 2 else "state"
                if number % 2:
                    db.execute(
                        "UPDATE ticket SET version = version + 1 WHERE id = %s",
                        (1 + number * 7 % 1000,),
                    )
                said = (f"pilewatch_{kind}", str(1 + number * 7 % 1000))
                db.execute("SELECT pg_notify(%s, %s)", said)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def lag(page: Page, database: str, url: str) -> Iterator[Result]:
    """The board while changes arrive."""
    heard: list[str] = []
    asked: list[str] = []
    net = page.context.new_cdp_session(page)
    net.on("Network.eventSourceMessageReceived", lambda event: heard.append(event["eventName"]))
    page.on("request", lambda request: asked.append(request.url))
    net.send("Network.enable")
    sign_in(page, url, _LOGIN, _PASSWORD)
    page.goto(f"{url}/console")
    page.wait_for_timeout(1000)
    with changes(database):
        page.evaluate(_WATCH)
        heard.clear()
        asked.clear()
        page.wait_for_timeout(1000 * _LOOK_S)
        tasks = page.evaluate("tasks")
    said = f"{len(heard) / _LOOK_S:.0f} events/s, {len(asked) / _LOOK_S:.1f} requests/s"
    if len(heard) < 0.6 * _RATE * _LOOK_S:
        raise RuntimeError(f"too few events arrived: {said}")
    yield Result("board, long tasks, ms of a second", sum(tasks) / _LOOK_S, 50, "<", said)
    longest = max(tasks, default=0)
    yield Result("board, longest task, ms", longest, 150, "<", f"{len(tasks)} in {_LOOK_S} s")


def main() -> int:
    """Print all; exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="bench.console", description=__doc__)
    parser.add_argument("--chargers", type=int, default=10_000)
    chargers = parser.parse_args().chargers
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with served(folder, chargers) as (database, url), sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS
            )
            page = browser.new_page(viewport={"width": 1366, "height": 768}, locale="zh-CN")
            failed = report(times(folder, url)) | report(lag(page, database, url))
            browser.close()
    return failed


if __name__ == "__main__":
    sys.exit(main())
