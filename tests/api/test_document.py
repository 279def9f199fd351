"""The OpenAPI document is complete, and nothing that is sent makes the API break."""

import json
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from api.document import model
from api.models import Listed
from api.problems import ProblemAnswer
from tests.api.conftest import World

Operation = tuple[str, str, dict[str, Any]]


def operations(world: World) -> tuple[dict[str, Any], list[Operation]]:
    """The document, and (path, method, operation) of all of it."""
    document = world.app.openapi()
    return document, [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def model_of(schema: dict[str, Any]) -> type[BaseModel]:
    """The model that a schema of the document was made from."""
    name = schema["$ref"].rpartition("/")[2]
    if name.startswith("Listed_"):
        return Listed[model(name[len("Listed_") : -1])]  # type: ignore[misc]
    return model(name)


ONE_S_OWN = ("/me/", "/receipts/", "/waits/", "/keys/", "/photos/", "/ocpi")
"""What only its owner changes, or what cannot be changed but only made or ended."""


def test_every_change_of_what_others_see_takes_if_match(world: World) -> None:
    _, all_of_it = operations(world)
    without = [
        f"{method} {path}"
        for path, method, operation in all_of_it
        if method in ("patch", "put", "delete") and not any(part in path for part in ONE_S_OWN)
        if "if-match" not in {p["name"].lower() for p in operation["parameters"]}
        or "412" not in operation["responses"]
    ]
    assert not without


def test_every_operation_is_described_with_tags_parameters_and_security(world: World) -> None:
    document, all_of_it = operations(world)
    assert len(all_of_it) > 25
    assert {"key", "session", "ocpi"} <= set(document["components"]["securitySchemes"])
    named = {tag["name"] for tag in document["tags"]}
    for path, method, operation in all_of_it:
        where = f"{method} {path}"
        assert operation.get("summary"), where
        assert len(operation.get("description", "")) > 5, where
        assert operation.get("tags") and set(operation["tags"]) <= named, where
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{where}: {parameter['name']}"
        if path.startswith("/api/"):
            assert operation.get("security"), where
        if method == "post" and not path.startswith("/ocpi"):  # a party's token opens it once
            names = {parameter["name"].lower() for parameter in operation["parameters"]}
            assert "idempotency-key" in names, where


def test_every_example_fits_its_schema(world: World) -> None:
    _, all_of_it = operations(world)
    for path, method, operation in all_of_it:
        where = f"{method} {path}"
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        answers = operation["responses"]
        good = [answers[status] for status in answers if status.startswith("2")]
        assert good, where
        for part in [*bodies, *answers.values()]:
            for media_type, media in part.get("content", {}).items():
                if not media_type.endswith("json"):
                    continue
                assert "example" in media, f"{where} {media_type}"
                if "$ref" in media["schema"]:
                    model_of(media["schema"]).model_validate_json(json.dumps(media["example"]))
                else:
                    jsonschema.validate(media["example"], media["schema"])
                if media_type.endswith("xml"):
                    ElementTree.fromstring(media["example"])


def test_errors_that_can_happen_are_documented_as_problems(world: World) -> None:
    _, all_of_it = operations(world)
    for path, method, operation in all_of_it:
        where = f"{method} {path}"
        answers = operation["responses"]
        needed = {"503"} if path != "/healthz" else set()
        if path.startswith("/api/"):
            needed |= {"401", "422"}
            needed |= {"403"} if {} not in operation["security"] else set()
            needed |= {"404"} if "{" in path else set()
            needed |= {"409", "412"} if "/tickets/{id}/" in path else set()
            words = path.endswith(("/reports", "/answer")) and {} in operation.get("security", [])
            needed |= {"429"} if words else set()
        assert needed <= set(answers), where
        for status in needed:
            assert list(answers[status]["content"]) == ["application/problem+json"], where


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)
WORDS = st.text(max_size=40) | st.integers().map(str) | st.sampled_from(["C1", "s", "1", "wang"])


def body_for(draw: Any, schema: dict[str, Any]) -> bytes:
    """Something like the body, or nothing like it."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.binary(max_size=60))  # type: ignore[no-any-return]
    if draw(st.integers(0, 3)) == 0 or "properties" not in schema:
        return json.dumps(draw(JSON)).encode()
    names = list(schema["properties"])
    sane = schema.get("examples", [{}])[0]
    body = {
        name: draw(st.just(sane.get(name)) | JSON)
        for name in names
        if name in schema.get("required", []) or draw(st.booleans())
    }
    return json.dumps(body).encode()


@pytest.mark.timeout(180)
def test_nothing_that_is_sent_breaks_the_api(world: World) -> None:
    document, all_of_it = operations(world)
    world.ticket()
    schemas = document["components"]["schemas"]
    aimed = [found for found in all_of_it if not found[0].endswith("/live")]

    @settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        draw = data.draw
        path, method, operation = draw(st.sampled_from(aimed))
        headers: dict[str, str] = {}
        queries: list[tuple[str, str]] = []
        for parameter in operation.get("parameters", []):
            word = draw(WORDS)
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(word, safe="") or "x")
            elif draw(st.booleans()):
                continue
            elif parameter["in"] == "query":
                queries.append((parameter["name"], word.encode("utf-8", "replace").decode()))
            else:
                headers[parameter["name"]] = (
                    word.encode("ascii", "replace").decode().translate({10: " ", 13: " ", 0: " "})
                )
        role = draw(st.sampled_from([None, *world.keys]))
        headers |= world.headers(role)
        content = None
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"].get("application/json", {}).get("schema")
            named = schema["$ref"].rpartition("/")[2] if schema else None
            content = draw(st.binary(max_size=60)) if not named else body_for(draw, schemas[named])
            headers["Content-Type"] = draw(st.sampled_from(["application/json", "text/plain", "x"]))
        answer = world.client.request(
            method.upper(), path, params=queries, headers=headers, content=content
        )
        assert answer.status_code < 500, (method, path, answer.text)
        if answer.status_code >= 400:
            if path.startswith(("/ocpi", "/open311")) and answer.status_code < 422:
                return  # these have words of their own
            assert answer.headers["content-type"] == "application/problem+json", answer.text
            ProblemAnswer.model_validate_json(answer.content)

    attack()
