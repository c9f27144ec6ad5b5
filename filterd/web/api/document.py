"""The OpenAPI document: what stands in it beside what the framework finds in the signatures.

Every operation has the first sentence of its docstring as its summary, and every error is a problem document.
"""

from __future__ import annotations

import http
from typing import Any

from fastapi import FastAPI

_PROBLEM = {
    "title": "Problem",
    "description": "An error (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "Where the caller can do something about it."},
    },
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that an operation answers with, as the framework takes them."""
    return {status: _problem(status) for status in statuses}


EVERYWHERE = (401, 403, 422, 503)
"""What every operation may answer."""


class DescribedApi(FastAPI):
    """The framework with more in its document."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"]["Problem"] = _PROBLEM
            for path in document["paths"].values():
                for operation in path.values():
                    _complete(operation)
        return super().openapi()


def _complete(operation: dict[str, Any]) -> None:
    operation["summary"] = " ".join(operation["description"].split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
    if "requestBody" in operation:
        operation["responses"]["413"] = _problem(413)


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    said = {
        "description": http.HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": schema}},
    }
    return said | ({"headers": _RETRY_AFTER} if status == 503 else {})
