"""The supervisor: what dies is started again, and nothing outlives it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from deploy.embedded import EmbeddedPostgres, free_port
from deploy.supervisor import Program, Supervisor
from pilewatch.store.pool import connect
from tests.ingest.conftest import wait_until

SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_program_is_started_again(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(tmp_path, told.append)
    first = supervisor.run(Program("sleeper", SLEEPER)).pid
    wait_until(lambda: (tmp_path / "sleeper.log").read_text() == "up\n")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.look() == ["sleeper"])
    second = supervisor.pid("sleeper")
    assert second != first and not _gone(second)
    supervisor.stop()
    assert _gone(second)
    assert told == ["sleeper ended with code -9; starting it again"]


def test_a_killed_database_comes_back_on_its_port_with_its_data(parts_folder: Path) -> None:
    supervisor = Supervisor(parts_folder / "logs", lambda _: None)
    database = EmbeddedPostgres(parts_folder / "supervised")
    supervisor.serve("postgres", database)
    with connect(database.url, application="t") as db:
        db.execute("CREATE TABLE kept (n integer)")
    database.kill()
    wait_until(lambda: supervisor.look() == ["postgres"])
    with connect(database.url, application="t") as db:
        assert db.execute("SELECT count(*) AS n FROM kept").fetchone() == {"n": 0}
    supervisor.stop()


def test_children_end_when_the_supervisor_is_killed(parts_folder: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from deploy.supervisor import *; from deploy.embedded import *\n"
        "folder = Path(sys.argv[1]); s = Supervisor(folder / 'logs2')\n"
        "s.serve('postgres', EmbeddedPostgres(folder / 'orphan'))\n"
        "s.serve('broker', EmbeddedBroker(folder / 'orphan-broker'))\n"
        "s.run(Program('sleeper', (sys.executable, '-c', 'import time; time.sleep(600)')))\n"
        "print(*[s.pid(n) for n in s.names()], flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(parts_folder)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 3 and not any(_gone(pid) for pid in pids)
    parent.kill()
    parent.wait()
    wait_until(lambda: all(_gone(pid) for pid in pids))
    again = EmbeddedPostgres(parts_folder / "orphan").start()
    again.stop()


def test_a_free_port_cannot_be_given_to_somebodys_connection() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert max(ports) < lowest
