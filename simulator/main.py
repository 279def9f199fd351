"""The simulator as a process: `pilewatch simulate`."""

import json
import math
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import httpx
import msgspec
import structlog
from prometheus_client import REGISTRY

from pilewatch.observability import serve_metrics, setup_logging
from pilewatch.settings import Settings
from simulator.community import write_registry_file
from simulator.live import Live
from simulator.messages import Sent
from simulator.metrics import Metrics
from simulator.people import Keys, People
from simulator.scenario import BadScenario, read_scenario
from simulator.truth import Truth, TruthFile
from simulator.world import World

_LOG = structlog.get_logger()
_DRY_RUN_S = 3600.0
DRY_START = datetime(2026, 1, 1, tzinfo=UTC)
"""A dry run begins here, so that it is the same every time."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for. `duration_s` counts wall seconds."""

    scenario: Path
    seed: int = 1
    speed: float = 1.0
    truth: Path | None = None
    duration_s: float | None = None
    connections: Literal["each", "shared"] = "each"
    dry_run: Path | None = None
    write_registry: Path | None = None
    people: str | None = None
    keys: Path | None = None


def run(settings: Settings, options: Options) -> int:
    """Run until SIGTERM, SIGINT or the end of the duration. Gives the exit code.

    Raises `BadScenario` and `BadRegistry`.
    """
    setup_logging(settings.log_format, process="simulate")
    scenario, registry = read_scenario(options.scenario)
    if options.write_registry is not None:
        write_registry_file(registry, options.write_registry)
        print(f"{options.write_registry}: {len(registry.chargers)} chargers")
        return 0
    keys = _keys(options)
    also = None if options.people is None else _tell
    try:
        truth = TruthFile(options.truth, also) if options.truth else None
    except OSError as error:
        raise BadScenario([f"{options.truth}: {error.strerror}"]) from error
    on_truth = truth.write if truth else None
    try:
        if options.dry_run is not None:
            seconds = _DRY_RUN_S if options.duration_s is None else options.duration_s
            world = World(
                scenario, registry, options.seed, DRY_START, speed=options.speed, on_truth=on_truth
            )
            _write(world, seconds * options.speed, options.dry_run)
            return 0
        people: People | None = None

        live = Live(
            scenario,
            registry,
            options.seed,
            settings.mqtt,
            speed=options.speed,
            shared=options.connections == "shared",
            repairs=keys is None,
            on_truth=on_truth,
            on_encounter=lambda e: people.met(e) if people else None,
            metrics=Metrics(REGISTRY),
            modems=_gateway(settings),
        )
        serve_metrics(settings.metrics)
        if keys is not None and options.people is not None:
            people = People(
                httpx.Client(base_url=options.people, timeout=10),
                keys,
                live,
                seed=options.seed,
                speed=options.speed,
                habits=scenario.people,
                tell=_say,
            )
        return _run_live(
            live, people, math.inf if options.duration_s is None else options.duration_s
        )
    finally:
        if truth is not None:
            truth.close()


def _gateway(settings: Settings) -> tuple[str, int]:
    """Where e-bike modems connect to; a gateway that listens everywhere is also here."""
    host = settings.ebike.host
    return ("127.0.0.1" if host in ("0.0.0.0", "::") else host), settings.ebike.port  # noqa: S104


def _say(text: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S}  {text}", flush=True)


def _tell(truth: Truth) -> None:
    """What has really happened, beside what the system makes of it."""
    where = f"{truth.charger or truth.gateway or truth.site}"
    port = f" port {truth.connector}" if truth.connector else ""
    if truth.end is None:
        _say(f"broken!        {where + port:<24} {truth.code}, {_NOTICED[truth.visible]}")
    elif truth.ended_by != "end of run":
        _say(f"whole again    {where + port:<24} {truth.code}, after {truth.ended_by}")


_NOTICED = {
    "reported": "and the pile says so",
    "shown": "the pile does not say so, its values show it",
    "hidden": "nothing shows it but people who cannot charge",
}


def _keys(options: Options) -> Keys | None:
    if options.people is None:
        return None
    if options.keys is None:
        raise BadScenario(["--people needs --keys FILE"])
    try:
        return msgspec.json.decode(options.keys.read_bytes(), type=Keys)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        right = '{"operator": key, "repairer": key, "grid_worker": key}'
        raise BadScenario([f"{options.keys}: {error}; right would be {right}"]) from error


def _run_live(live: Live, people: People | None, seconds: float) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: live.stop())
    thread = threading.Thread(target=people.run, name="people") if people else None
    if thread is not None:
        thread.start()
    _LOG.info("running", chargers=len(live.world.chargers), speed=live.world.speed)
    try:
        live.run(seconds)
    finally:
        if people is not None and thread is not None:
            people.stop()
            thread.join(15)
    _LOG.info("stopped", faults=len(live.world.truth))
    return 0


def _write(world: World, seconds: float, path: Path) -> None:
    """One JSON line for each message and change of link, without any broker."""
    line: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False).encode
    with path.open("w", encoding="utf-8") as file:
        for item in world.run(seconds):
            values = {**item._asdict(), "at": item.at.isoformat()}
            if isinstance(item, Sent):
                values["payload"] = json.loads(item.payload)
            file.write(line(values) + "\n")
    world.finish()
