"""The optional system parts that tests run against, and where they are found."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from deploy.embedded import free_port, kill_tree, wait_for_port

TIMESCALE_ROOT = Path(os.environ.get("PILEWATCH_TIMESCALE_ROOT", "/opt/pilewatch-trixie"))
_TIMESCALE_BIN = "/usr/lib/postgresql/17/bin"


def database_on(server_url: str, name: str) -> str:
    """The URL of the database `name` on the server that this URL reaches."""
    return f"{server_url.rsplit('/', 1)[0]}/{name}"


def missing_part(part: str) -> str | None:
    """Why the part cannot be used here, or None."""
    if part == "mosquitto":
        found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        return None if found else "not installed"
    if part == "timescale":
        if not (TIMESCALE_ROOT / _TIMESCALE_BIN.lstrip("/") / "postgres").exists():
            return f"no Debian trixie with postgresql-17-timescaledb under {TIMESCALE_ROOT}"
        return None if os.geteuid() == 0 else "its chroot needs root"
    if part == "browser":
        return None if shutil.which("chromium") else "chromium is not installed"
    raise ValueError(part)


class TimescaleServer:
    """PostgreSQL 17 with TimescaleDB, run inside its Debian trixie chroot on a loopback port."""

    def __init__(self, folder: Path, *, settings: dict[str, str] | None = None):
        self.folder = TIMESCALE_ROOT / "tmp" / f"pilewatch-{os.getpid()}-{folder.name}"
        self.inner = f"/tmp/{self.folder.name}"
        self.port = free_port()
        self.settings = settings or {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For the superuser and the default database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> "TimescaleServer":
        """Make a new data folder, if there is none, and run the server until it answers."""
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            self._inside(["chown", "postgres", self.inner])
            self._inside(
                ["initdb", "-D", self.inner, "-U", "postgres", "--auth=trust", "--locale=C.UTF-8"],
                user="postgres",
            )
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_preload_libraries": "timescaledb",
            "timescaledb.telemetry_level": "off",
            "max_locks_per_transaction": "256",
            **self.settings,
        }
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        self.process = subprocess.Popen(
            self._command(["postgres", "-D", self.inner, *flags], user="postgres"),
            stdout=subprocess.DEVNULL,
            stderr=(self.folder.parent / f"{self.folder.name}.log").open("ab"),
            start_new_session=True,
        )
        wait_for_port(self.port, self.process, "TimescaleDB", 60)
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """Fast shutdown, then remove the data."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """kill -9 of the server and its backends; the data stays."""
        if self.process is not None and self.process.poll() is None:
            kill_tree(self.process)

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _command(self, command: list[str], user: str = "root") -> list[str]:
        program, *rest = command
        path = f"{_TIMESCALE_BIN}/{program}" if program in ("initdb", "postgres") else program
        as_user = ["chroot", f"--userspec={user}", str(TIMESCALE_ROOT)]
        return [*as_user, "env", "LC_ALL=C.UTF-8", path, *rest]

    def _inside(self, command: list[str], user: str = "root") -> None:
        subprocess.run(self._command(command, user), check=True, stdout=subprocess.DEVNULL)


class Mosquitto:
    """A mosquitto broker with a persistent session store on a loopback port."""

    def __init__(
        self, folder: Path, *, extra: str = "", port: int | None = None, anonymous: bool = True
    ):
        self.folder = folder
        self.anonymous = anonymous
        self.port = port or free_port()
        self.extra = extra
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Mosquitto":
        """Run until the listener accepts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous {str(self.anonymous).lower()}\n"
            f"persistence true\npersistence_location {self.folder}/\n"
            "autosave_on_changes true\nautosave_interval 1\n"
            "max_queued_messages 0\nmax_inflight_messages 0\nuser root\n"
            f"set_tcp_nodelay true\nlog_dest none\n{self.extra}\n"
        )
        path = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([path, "-c", str(config)], start_new_session=True)
        wait_for_port(self.port, self.process, "mosquitto", 15)
        return self

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def reload(self) -> None:
        """Read the password and ACL files again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class GatewayProcess:
    """`pilewatch ocpp-gateway` or `ebike-gateway` as a child that can be killed."""

    def __init__(self, name: str, database: str, mqtt_port: int, **settings: str):
        self.port = free_port()
        given = {"HOST": "127.0.0.1", "PORT": str(self.port), **settings}
        environment = {
            **os.environ,
            "PILEWATCH_DATABASE__URL": database,
            "PILEWATCH_MQTT__HOST": "127.0.0.1",
            "PILEWATCH_MQTT__PORT": str(mqtt_port),
            **{f"PILEWATCH_{name.upper()}__{key}": value for key, value in given.items()},
        }
        self.child = subprocess.Popen(
            [sys.executable, "-m", "deploy.command", f"{name}-gateway"], env=environment
        )

    def __enter__(self) -> "GatewayProcess":
        wait_for_port(self.port, self.child, "the gateway", 60)
        return self

    def kill(self) -> None:
        """With SIGKILL; returns when it is gone."""
        self.child.kill()
        self.child.wait()

    def __exit__(self, *_: object) -> None:
        self.kill()
