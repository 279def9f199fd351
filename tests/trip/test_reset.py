"""Self-repair as separate processes: a soft fault is reset away, a hard one gets its ticket, and a
kill -9 of ingester and engine in the middle changes neither."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from deploy.embedded import EmbeddedBroker, EmbeddedPostgres
from tests.trip.test_trip import HERE, Installation, installed

_POLICY = """\
[debounce]
reported_s = 1
silence_s = 20
clear_s = 2
[self_repair]
expires_s = 20
effect_s = 10
watch_s = 3
"""


def _commands(running: Installation, charger: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = running.get(f"/chargers/{charger}/commands")["items"]
    return found


def test_a_soft_fault_is_reset_away_and_a_hard_one_gets_its_ticket_with_the_history(
    postgres: EmbeddedPostgres, embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(_POLICY)
    servers = (postgres.url, embedded_broker.port_v5)
    with installed(servers, tmp_path, HERE / "resets.yaml", policy) as running:
        running.supervisor.run(running.simulate)
        running.keep_looking(lambda: all(_commands(running, code) for code in ("T-C1", "T-C2")), 30)
        for name in ("ingest", "alerts"):
            os.kill(running.supervisor.pid(name), signal.SIGKILL)
        running.keep_looking(running.tickets, 40)

        def incident(charger: str) -> dict[str, Any]:
            every = running.get("/incidents")["items"]  # its silence while it boots is dismissed
            mine = [i for i in every if i["code"] == "internal-error"]
            (found,) = (i for i in mine if i["subject"]["charger"] == charger)
            return dict(found)

        running.keep_looking(lambda: incident("T-C1")["phase"] == "cleared", 40)
        cured = incident("T-C1")
        (reset,) = _commands(running, "T-C1")
        assert (reset["state"], reset["ordered_by"]) == ("done", None)
        assert cured["evidence"]["reset"]["command"] == reset["id"]
        (ticket,) = running.tickets()
        assert ticket["subject"]["charger"] == "T-C2"
        story = running.get(f"/tickets/{ticket['id']}")["timeline"]
        assert [line["action"] for line in story][:2] == ["opened", "reset-tried"]
        assert story[1]["data"]["why"] == "still-there"
        truth = {f["charger"]: f for f in map(json.loads, running.truth.read_text().splitlines())}
        assert (truth["T-C1"]["ended_by"], truth["T-C2"].get("ended_by")) == ("reset", None)
