"""The client that is made from the document is typed, and works against a running server."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import World

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The client, made as `make client` does it."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    steps = (
        [TOOLS / "pilewatch", "openapi", "--out", document],
        [TOOLS / "openapi-python-client", "generate", "--meta", "none", "--fail-on-warning",
         "--config", ROOT / "deploy/client.yaml", "--path", document,
         "--output-path", folder / "pilewatch_client"],
    )  # fmt: skip
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, cwd=folder, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module("pilewatch_client")
    sys.path.remove(str(folder))


def call(tag: str, operation: str) -> Any:
    """The module of an operation."""
    return importlib.import_module(f"pilewatch_client.api.{tag}.{operation}")


def test_the_generated_client_reads_orders_and_understands_problems(
    world: World, made: ModuleType
) -> None:
    models = importlib.import_module("pilewatch_client.models")
    world.community.heard(datetime.now(UTC))
    with world.served():
        anyone = made.Client(base_url=world.base)
        operator = made.AuthenticatedClient(base_url=world.base, token=world.keys["operator"])
        [site] = call("state", "state_sites").sync(client=anyone).items
        assert (site.code, site.available, site.address) == ("s", 6, None)
        report = models.ReportRequest(code="no-output", charger="C0", connector=2)
        key = str(uuid4())
        filed = [
            call("residents", "residents_report").sync(
                client=anyone, body=report, idempotency_key=key
            )
            for _ in range(2)
        ]
        assert filed[0] == filed[1] and filed[0].joined is False
        ticket = call("tickets", "tickets_ticket").sync(filed[0].ticket_id, client=operator)
        assert ticket.state == "open" and ticket.opened_at.tzinfo is not None
        wrong = call("tickets", "tickets_claim").sync_detailed(
            ticket.id, client=operator, body=models.ClaimRequest(cause="x", remedy="y")
        )
        assert (wrong.status_code, type(wrong.parsed).__name__) == (409, "ProblemAnswer")
        assert wrong.parsed.type_ == "urn:pilewatch:problem:refused"
        assert "accept" in wrong.parsed.allowed
        hook = call("webhooks", "webhooks_subscribe").sync(
            client=operator,
            body=models.WebhookRequest(url="https://city.example/", topics=["ticket.*"]),
        )
        assert hook.secret.startswith("whs_")
        places = call("open_data", "open_data_sites").sync(client=anyone)
        assert places.features[0].properties.ports == 6


def test_every_operation_has_a_name_of_its_own(world: World) -> None:
    names = [
        operation["operationId"]
        for methods in world.app.openapi()["paths"].values()
        for operation in methods.values()
    ]
    assert len(names) == len(set(names))
