"""The OpenAPI document, completed by what FastAPI cannot know: security, examples, errors."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.context import SESSION_COOKIE
from api.problems import ProblemAnswer

_TAGS = {
    "state": "What stands where, and how it is now",
    "live": "Changes as they happen",
    "history": "What was observed before",
    "incidents": "Problems that the machine has detected",
    "tickets": "Promises to repair, and each step of theirs",
    "residents": "For everyone, without an account",
    "inspections": "Checks on the spot",
    "commands": "What chargers are told to do, and what they answer",
    "meetings": "Bench meetings, the matters raised there, and what became of them",
    "patrols": "Planned rounds of inspections, and a worker's offline day",
    "posters": "What hangs at each pile, and whether it is the present version",
    "ledger": "The one list of all matters, its sheets and reports",
    "webhooks": "Programs that want to be told",
    "open data": "For everyone's programs: GeoJSON, DATEX II, Atom, RSS",
    "OCPI": "Locations for other parties, OCPI 2.2.1",
    "Open311": "GeoReport v2",
    "planning": "Planned downtime, and silences of what is known",
    "policy": "What is decided about faults and promises, and trials of another policy",
    "uptime": "How much of the time what stands there could be used, by three rules",
    "people": "Who may do what; keys, sessions and the audit",
    "operation": "For those who run it",
}
_SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "A key: `Bearer pw_…`"},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
    "ocpi": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "OCPI: `Token` and the party's token in Base64",
    },
}


def operation_id(route: APIRoute) -> str:
    """What a generated client calls the operation: its subject and its function's name."""
    subject = str(route.tags[0]).lower().replace(" ", "-") if route.tags else "page"
    return f"{subject}-{route.name}".replace("_", "-")


def install(app: FastAPI) -> None:
    """Let the application give the completed document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    routes=app.routes,
                    tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
                )
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def model(name: str) -> type[BaseModel]:
    """The model that a schema of this name was made from, in whichever module of ours it is."""
    kinds = list(BaseModel.__subclasses__())
    for kind in kinds:
        if kind.__name__ == name and kind.__module__.startswith("api."):
            return kind
        kinds += kind.__subclasses__()
    raise LookupError(name)


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    schemas = components.setdefault("schemas", {})
    schemas["ProblemAnswer"] = ProblemAnswer.model_json_schema()
    for name, schema in schemas.items():
        if "examples" in schema:  # whose nulls FastAPI has left out
            schema["examples"] = model(name).model_json_schema()["examples"]
    for path in document["paths"].values():
        for operation in path.values():
            contents = [answer.get("content", {}) for answer in operation["responses"].values()]
            contents.append(operation.get("requestBody", {}).get("content", {}))
            for content in contents:
                for media in content.values():
                    if "schema" in media and "example" not in media:
                        _give_example(media, schemas)
    return document


def _give_example(media: dict[str, Any], schemas: dict[str, Any]) -> None:
    """The first example of the schema that the media type refers to."""
    name = media["schema"].get("$ref", "").rpartition("/")[2]
    schema = schemas.get(name, {})
    if "examples" in schema:
        media["example"] = schema["examples"][0]
        return
    items = schema.get("properties", {}).get("items", {}).get("items", {})
    item = schemas.get(items.get("$ref", "").rpartition("/")[2], {})
    if "examples" in item:
        media["example"] = {"items": [item["examples"][0]], "next_cursor": None}
