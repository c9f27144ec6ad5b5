"""The API called as its OpenAPI document says, and as it does not, by tokens of every scope."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from filterd.account_ports import Scope
from tests.filterd.test_api import ID, SECRETS, an_api

pytestmark = pytest.mark.slow  # hundreds of calls

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
CALLERS = [None, *Scope]


BOUNDED = settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
async def test_every_answer_is_one_the_document_tells_of(tmp_path: Path, mode: GenerationMode) -> None:
    """Of calls as documented and of calls that are not; half of them name the message that is there."""
    house = await an_api(tmp_path)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", house.app)
    calls, statuses = itertools.count(), set[int]()

    def call(case: schemathesis.Case[Any]) -> None:
        n = next(calls)
        if n % 2:
            _name_what_is_there(case)
        for caller in (Scope.ADMIN, CALLERS[n % len(CALLERS)]):
            response = case.call(headers={"authorization": f"Bearer {SECRETS[caller]}"} if caller else {})
            if not urlsplit(response.request.url or "").path.startswith("/api/v1/"):
                # The client takes ``..`` in a path for a step up, out of the API.
                continue
            case.validate_response(response, checks=CHECKS)
            statuses.add(response.status_code)
            if response.status_code >= 400:
                assert response.headers["content-type"] == ["application/problem+json"]

    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        strategy = found.ok().as_strategy(generation_mode=mode)
        BOUNDED(given(strategy)(call))()

    assert {200, 401, 403, 404, 422} <= statuses


def _name_what_is_there(case: schemathesis.Case[Any]) -> None:
    if "id" in case.path_parameters:
        case.path_parameters["id"] = 1 if case.path.startswith("/rules") else ID
    if isinstance(case.body, dict) and "id" in case.body:
        case.body["id"] = ID


async def test_every_operation_is_described(tmp_path: Path) -> None:
    """A summary of its own, who may call it, and each error as a problem document."""
    document = (await (await an_api(tmp_path)).client.get("/api/v1/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]

    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for operation in operations:
        name = operation["operationId"]
        assert len(operation["summary"].split()) > 2, name
        assert operation["security"] == [{"bearer": []}], name
        errors = {status: found for status, found in operation["responses"].items() if status >= "400"}
        assert {"401", "403", "422", "503"} <= errors.keys(), name
        assert {tuple(found["content"]) for found in errors.values()} == {("application/problem+json",)}, name
        assert ("413" in errors) is ("requestBody" in operation), name
    for path in ("/feedback", "/rules"):
        assert {"200", "201"} <= document["paths"][path]["post"]["responses"].keys()
    assert len({operation["summary"] for operation in operations}) == len(operations)


async def test_every_operation_stands_in_the_documentation(tmp_path: Path) -> None:
    document = (await (await an_api(tmp_path)).client.get("/api/v1/openapi.json")).json()
    page = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
    told = {_shape(method, path.split("?")[0]) for method, path in re.findall(r"`([A-Z]+) (/[^ `]*)", page)}

    assert {_shape(method.upper(), path) for path, found in document["paths"].items() for method in found} <= told


def _shape(method: str, path: str) -> str:
    varies = r"{[a-z]+}|ID|NUMBER|NAME|(?<=models/)email|(?<=ID/)(teach|allow|block|restore)"
    return f"{method} {re.sub(varies, 'X', path)}"
