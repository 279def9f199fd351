"""`pilewatch demo` as a newcomer meets it: a story within a minute, an end without leftovers."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.embedded import free_port
from tests.ingest.conftest import wait_until


class Demo:
    """A running demo and what it has printed."""

    def __init__(self, folder: Path, port: int):
        self.folder, self.port = folder, port
        command = [sys.executable, "-u", "-m", "deploy.command", "demo"]
        self.process = subprocess.Popen(
            [*command, "--folder", str(folder), "--port", str(port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def has_told(self, text: str) -> bool:
        """Whether a line with this text has been printed."""
        return any(text in line for line in self.lines)

    def processes(self) -> dict[str, psutil.Process]:
        """Everything below it, by a word of its command line."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                words = " ".join(child.cmdline())
            except psutil.NoSuchProcess:
                continue  # it has just been killed
            for name in ("ingest", "alerts", "api", "simulate", "iotcore"):
                if f"deploy.command {name}" in words or f"from {name}" in words:
                    found[name] = child
            if " -D " in words:
                found["postgres"] = child
        return found


@contextmanager
def _demo(folder: Path, port: int) -> Iterator[Demo]:
    running = Demo(folder, port)
    family: list[psutil.Process] = []
    try:
        yield running
        family = psutil.Process(running.process.pid).children(recursive=True)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
    assert psutil.wait_procs(family, 5)[1] == [], "no process is left"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that the server's unprivileged user can reach."""
    for step in [tmp_path, *tmp_path.parents[:3]]:
        if os.access(step, os.W_OK) and step.stat().st_uid == os.geteuid():
            step.chmod(step.stat().st_mode | 0o055)
    return tmp_path / "demo"


def test_a_first_start_tells_a_whole_story_and_a_second_finds_its_data(folder: Path) -> None:
    port = free_port()
    with _demo(folder, port) as demo:
        wait_until(lambda: demo.has_told("CLOSED, with its evidence"), 100)
        for told in ("broken!", "detected", "opened for", "repair claimed", "proved by"):
            assert demo.has_told(told), told
        assert httpx.get(f"http://127.0.0.1:{port}/s/wanhe-1a").status_code == 200
        second = subprocess.run(
            [sys.executable, "-m", "deploy.command", "demo", "--folder", str(folder)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert (second.returncode, "already runs" in second.stderr) == (1, True)
        for name, process in demo.processes().items():
            process.kill()
            wait_until(lambda n=name: demo.has_told(f"{_NAMES[n]} ended with code -9"), 20)
        wait_until(lambda: set(demo.processes()) == set(_NAMES), 60)
    with _demo(folder, port) as demo:
        wait_until(lambda: demo.has_told("Ctrl-C ends everything"), 60)
        assert demo.has_told("finds its data")
        keys = json.loads((folder / "keys.json").read_text())
        found = httpx.get(
            f"http://127.0.0.1:{port}/api/v1/tickets?state=closed",
            headers={"Authorization": f"Bearer {keys['operator']}"},
        )
        assert found.json()["items"], "closed before, and still known"


_NAMES = {
    "postgres": "postgres", "iotcore": "broker", "ingest": "ingest", "alerts": "alerts",
    "api": "api", "simulate": "simulate",
}  # fmt: skip


def test_what_is_missing_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = subprocess.run(
        [sys.executable, "-m", "deploy.command", "demo", "--folder", str(tmp_path / "file")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert wrong.returncode == 1
    assert "cannot be written" in wrong.stderr and "Traceback" not in wrong.stderr
