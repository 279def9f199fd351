"""How answers in other formats than our own stand in the OpenAPI document."""

from typing import Any

from api import problems


def documented(
    media: dict[str, dict[str, Any]], *statuses: int, security: list[dict[str, list[str]]]
) -> dict[str, Any]:
    """An operation's documentation: what a success holds, which problems can happen, who may."""
    responses = problems.documented({401, 422, 429, 503, *statuses})
    responses[200] = {"description": "As asked", "content": media}
    return {"responses": responses, "openapi_extra": {"security": security}}


def text(example: str) -> dict[str, Any]:
    """A media type whose schema is another body's."""
    return {"schema": {"type": "string"}, "example": example}
