"""Whatever schemathesis makes from the document is answered as the document says, and never 5xx.

`PILEWATCH_EXAMPLES` sets how many cases each operation gets.
"""

import base64
import os
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pilewatch.store.pool import Db
from tests.api.conftest import World

EXAMPLES = int(os.environ.get("PILEWATCH_EXAMPLES", "4"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_ENDLESS = "/api/v1/live"


@pytest.fixture
def crowd(plain_db: Db, plain_database_url: str) -> World:
    """An unpaced API with something of everything in it."""
    world = World(plain_db, plain_database_url, requests_per_address=0, requests_per_key=0)
    plain_db.execute("UPDATE site SET latitude = 32, longitude = 114")
    world.ticket()
    return world


def callers(world: World) -> list[dict[str, str]]:
    """What requests of each role carry, mostly an admin's, of a party of OCPI, and of nobody."""
    made = world.ask("admin", "POST", "/ocpi-parties", json={"name": "hub"}).json()["token"]
    party = {"Authorization": f"Token {base64.b64encode(made.encode()).decode()}"}
    admin = [world.headers("admin")] * 4
    return [{}, party, *admin, *(world.headers(role) for role in world.keys)]


@pytest.mark.timeout(600)
def test_what_schemathesis_makes_is_answered_as_the_document_says(crowd: World) -> None:
    with crowd.client:
        heads = callers(crowd)
        schema = schemathesis.openapi.from_asgi("/openapi.json", crowd.app)
        operations = [made.ok() for made in schema.get_all_operations()]
        aimed = [operation for operation in operations if operation.path != _ENDLESS]
        assert len(aimed) > 60
        told: Counter[int] = Counter()
        for operation in aimed:
            _attack(operation, heads, told)
    good = sum(count for status, count in told.items() if status < 300)
    assert good > 0.1 * told.total() < 10 * told[422], told
    assert not told[503], "the database was there all the time"


def _attack(operation: Any, heads: list[dict[str, str]], told: Counter[int]) -> None:
    kept = [h for h in heads if ("Token" in str(h)) == operation.path.startswith("/ocpi") or not h]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), head=st.sampled_from(kept))
    def attack(case: Case, head: dict[str, str]) -> None:
        response = case.call(headers=head)
        told[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    attack()
