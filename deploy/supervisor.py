"""Child processes of one machine: started in order, started again when they die, ended in order."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_CALM_S = 60.0
"""After so long a life, a death counts as the first again."""


def die_with_parent(number: int = signal.SIGTERM) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends this signal when the supervisor is gone, however."""

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)

    return ask


class Server(Protocol):
    """A database or broker that the programs need: started before them, ended after them."""

    process: "subprocess.Popen[bytes] | None"

    def start(self) -> object: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class Program:
    """One process of ours. `tells` lets its standard output through to the terminal."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    tells: bool = False


class Supervisor:
    """Keeps servers and programs running; every log goes to `folder/NAME.log`.

    Start children from the main thread only: they die with the thread that started them.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None] = print):
        self.folder = folder
        self.tell = tell
        self._servers: dict[str, Server] = {}
        self._programs: dict[str, tuple[Program, subprocess.Popen[bytes]]] = {}
        self._deaths: dict[str, tuple[int, float | None, float]] = {}
        """How often in a row, when it is to start again, when it died last."""

    def serve(self, name: str, server: Server) -> None:
        """Start a server and keep it running."""
        server.start()
        self._servers[name] = server

    def run(self, program: Program) -> "subprocess.Popen[bytes]":
        """Start a program and keep it running."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{program.name}.log").open("ab") as log:
            child = subprocess.Popen(
                program.command,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=None if program.tells else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - no threads of ours hold locks here
            )
        self._programs[program.name] = (program, child)
        return child

    def pid(self, name: str) -> int:
        """Of a program or server that runs now."""
        found = self._programs[name][1] if name in self._programs else self._servers[name].process
        assert found is not None
        return found.pid

    def names(self) -> list[str]:
        """Servers first, in the order of their start."""
        return [*self._servers, *self._programs]

    def look(self) -> list[str]:
        """Start again what has ended, each with growing pauses; gives the names."""
        restarted = []
        for name, server in self._servers.items():
            if self._is_due(name, server.process):
                server.start()
                restarted.append(name)
        for name, (program, child) in list(self._programs.items()):
            if self._is_due(name, child):
                self.run(program)
                restarted.append(name)
        return restarted

    def _is_due(self, name: str, child: "subprocess.Popen[bytes] | None") -> bool:
        if child is None or child.poll() is None:
            return False
        now = time.monotonic()
        deaths, due, last = self._deaths.get(name, (0, None, 0.0))
        if due is None:
            deaths = deaths + 1 if now - last < _CALM_S else 1
            pause = min(0.25 * 2**deaths, 30.0)
            self._deaths[name] = (deaths, now + pause, now)
            self.tell(f"{name} ended with code {child.returncode}; starting it again")
            return False
        if now < due:
            return False
        self._deaths[name] = (deaths, None, last)
        return True

    def stop(self) -> None:
        """End programs in reverse order, then the servers; nothing of ours is left."""
        for _, child in reversed(list(self._programs.values())):
            _end(child, 20)
        for server in reversed(list(self._servers.values())):
            server.stop()
        self._programs.clear()
        self._servers.clear()


def _end(child: "subprocess.Popen[bytes]", seconds: float) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
