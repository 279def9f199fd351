"""What every measurement stands on: PostgreSQL, mosquitto, a registry, and child processes."""

import contextlib
import operator
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from bench.load import CHARGERS, PORTS, Publisher
from deploy.embedded import EmbeddedPostgres
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from tests.parts import Mosquitto

_REGISTRY = """\
areas: [{code: a, name: A}]
grids: [{code: g, area: a, name: G}]
sites: [{code: s, grid: g, name: S}]
chargers:
"""


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    what: str
    value: float
    target: float
    sense: Literal["<=", ">=", "<"]
    said: str

    @property
    def passed(self) -> bool:
        """Whether the target is met."""
        better = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}[self.sense]
        return bool(better(self.value, self.target))


def report(results: Iterable[Result]) -> int:
    """Print a line of each as it comes; the exit code is 1 if a target is missed."""
    missed = False
    for r in results:
        verdict = "pass" if r.passed else "MISS"
        print(
            f"{r.what:44} {r.value:9.2f}  {r.sense:>2} {r.target:8.2f}  {verdict}  {r.said}",
            flush=True,
        )
        missed |= not r.passed
    return int(missed)


class Child:
    """A process of ours, and what it costs."""

    def __init__(self, *arguments: str, says: str, log: Path, **environment: str):
        self._log = log.with_name(f"{log.name}-{time.monotonic_ns()}.log")
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=self._log.open("wb"),
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        self.measured = psutil.Process(self._process.pid)
        self.wait_for(says)

    def said(self) -> str:
        """Everything it wrote."""
        return self._log.read_text()

    def wait_for(self, words: str, seconds: float = 120) -> None:
        """Until it has said this."""
        wait_until(lambda: words in self.said(), seconds, self._alive)

    def cpu(self) -> float:
        """Seconds of CPU that all of its threads have used."""
        times = self.measured.cpu_times()
        return float(times.user + times.system)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Stopped for a while, connected as it is."""
        self.measured.suspend()
        yield
        self.measured.resume()

    def end(self) -> None:
        """Ask it to stop, and wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(60)

    def finish(self, seconds: float = 60) -> str:
        """Close its standard input, wait, and give what it said."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(seconds)
        return self.said()

    def _alive(self) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended:\n{self.said()}")


class Stage:
    """The parts, and the processes under test."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.server = EmbeddedPostgres(folder / "pg")
        self.broker = Mosquitto(folder / "mosquitto", extra="persistence false")

    def ingester(self, **settings: str) -> Child:
        """`python -m ingest`, subscribed, with a new session at the broker."""
        Publisher(self.broker.port, "bench").close()
        return self._ours("ingest", says="connected to the broker", **settings)

    def engine(self, **settings: str) -> Child:
        """`python -m alerts`, leading."""
        return self._ours("alerts", says="leading", **settings)

    def ocpp_gateway(self, port: int) -> Child:
        """`pilewatch ocpp-gateway`, listening."""
        return self._ours(
            "deploy.command", "ocpp-gateway", says="listening", PILEWATCH_OCPP__PORT=str(port)
        )

    def child(self, *arguments: str, says: str = "ready") -> Child:
        """One of the references."""
        return Child(*arguments, says=says, log=self.folder / arguments[0])

    def _ours(self, *module: str, says: str, **settings: str) -> Child:
        return Child(
            *module,
            says=says,
            log=self.folder / module[-1],
            PILEWATCH_DATABASE__URL=self.server.url,
            PILEWATCH_MQTT__HOST="127.0.0.1",
            PILEWATCH_MQTT__PORT=str(self.broker.port),
            PILEWATCH_MQTT__CLIENT_ID="bench",
            **settings,
        )

    def one(self, query: str) -> int:
        """The single number that a query gives."""
        with connect(self.server.url, application="bench") as db:
            row = db.execute(query).fetchone()
            assert row is not None
            return int(next(iter(row.values())))

    def empty(self) -> None:
        """Forget all observations."""
        with connect(self.server.url, application="bench") as db:
            db.execute("TRUNCATE observation")
            db.execute("CHECKPOINT")

    def database_cpu(self) -> float:
        """Seconds of CPU of PostgreSQL's processes that live now."""
        assert self.server.process is not None
        total = 0.0
        for process in psutil.Process(self.server.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Parts of our own, started and loaded."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Stage(folder)
        try:
            made.server.start()
            made.broker.start()
            _register(made)
            yield made
        finally:
            made.broker.stop()
            made.server.stop()


def _register(made: Stage) -> None:
    file = made.folder / "registry.yaml"
    listed = [
        f"  - {{code: C{n}, site: s, kind: ebike, label: x, connectors: {PORTS}}}\n"
        for n in range(CHARGERS)
    ]
    file.write_text(_REGISTRY + "".join(listed))
    with connect(made.server.url, application="bench") as db:
        migrate(db)
        load_registry(db, file)


def wait_until(
    true: Callable[[], object],
    seconds: float,
    check: Callable[[], None] = lambda: None,
    *,
    pause: float = 0.02,
) -> None:
    """Poll a condition; raise when time is up."""
    until = time.monotonic() + seconds
    while not true():
        check()
        if time.monotonic() > until:
            raise TimeoutError("a measurement did not come to its end")
        time.sleep(pause)
