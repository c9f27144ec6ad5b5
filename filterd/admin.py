"""The supervisor's own HTTP port: ``/metrics``, ``/healthz`` and ``/readyz``.

``/metrics`` adds up the files of all workers. ``/healthz`` says that the supervisor runs; ``/readyz`` is 200 only
while every worker listens, can score and reaches the database, and else names what is missing. With ``?exclude=store``
(the word of Kubernetes' own API server) it does not look at that part.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


def forget_worker(metrics_folder: Path, worker: str) -> None:
    """Drop a dead worker's live gauges; its counters stay and go on when it is back."""
    mark_process_dead(worker, str(metrics_folder))  # type: ignore[no-untyped-call]  # untyped there; takes any name


class AdminApp:
    """The ASGI application."""

    def __init__(
        self, *, metrics_folder: Path, own_registry: CollectorRegistry, status: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._folder = metrics_folder
        self._own_registry = own_registry
        self._status = status

    async def __call__(self, scope: Mapping[str, Any], _receive: Any, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, b"method not allowed\n")
        elif scope["path"] == "/metrics":
            accept = next((v for k, v in scope["headers"] if k == b"accept"), b"").decode("latin-1")
            body, content_type = self._metrics(accept)
            await _answer(send, 200, body, content_type)
        elif scope["path"] == "/healthz":
            await _answer(send, 200, b"ok\n")
        elif scope["path"] == "/readyz":
            status = self._ready(scope.get("query_string", b""))
            code = 200 if status["ready"] else 503
            await _answer(send, code, json.dumps(status).encode() + b"\n", "application/json")
        else:
            await _answer(send, 404, b"not found\n")

    def _ready(self, query: bytes) -> Mapping[str, Any]:
        """The status, without the parts that ``query`` excludes; lines of it end in the name of the part."""
        excluded = parse_qs(query.decode("latin-1")).get("exclude", [])
        status = self._status()
        missing = [line for line in status["missing"] if line.rpartition(": ")[2] not in excluded]
        return {**status, "ready": not missing, "missing": missing}

    def _metrics(self, accept: str) -> tuple[bytes, str]:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]  # untyped there
        encode, content_type = choose_encoder(accept)
        if "openmetrics" in content_type:
            # Two registries cannot be joined in OpenMetrics, whose text ends in one EOF line.
            encode, content_type = choose_encoder("")
        return encode(self._own_registry) + encode(registry), content_type


async def _answer(send: Send, code: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
