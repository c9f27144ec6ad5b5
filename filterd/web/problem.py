"""Errors as problem details (RFC 9457): the same shape for every status, nothing a stranger should not read."""

from __future__ import annotations

import http
from collections.abc import Mapping

from starlette.responses import JSONResponse

from filterd.errors import (
    FilterdError,
    MessageError,
    NextHopRefused,
    NotFound,
    ScanDown,
    TemporaryError,
    TooManyTries,
    UsageError,
)

_STATUSES: tuple[tuple[type[FilterdError], int], ...] = (
    (NotFound, 404),
    (TooManyTries, 429),
    (NextHopRefused, 502),
    (UsageError, 409),
    (MessageError, 413),
)
_RETRY_SECONDS = 30


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem response; what is no text in ``detail`` is replaced."""
    detail = detail.encode("utf-8", "replace").decode()
    title = http.HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status} | ({"detail": detail} if detail else {})
    return JSONResponse(body, status, headers=dict(headers or {}), media_type="application/problem+json")


def problem_of(error: FilterdError) -> JSONResponse:
    """The response to an error of ours: what the caller did wrong in full, what we did wrong not at all."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 503)
    if isinstance(error, UsageError):
        return problem(status, error.detail)
    headers = {"retry-after": str(_RETRY_SECONDS)} if isinstance(error, (TemporaryError, ScanDown)) else {}
    return problem(status, error.public, headers)
