"""uvicorn inside our own loop and on our own sockets; signals stay with the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import uvicorn

_BACKLOG = 1024

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class Deferred:
    """An ASGI application that is made when it is first asked, in a thread: what it is made of takes long to load."""

    def __init__(self, make: Callable[[], AsgiApp]) -> None:
        self._make = make
        self._app: AsgiApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        await (await self._made())(scope, receive, send)

    async def _made(self) -> AsgiApp:
        async with self._making:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
            return self._app


class HttpEdge:
    """Serves an ASGI application on sockets that are handed in."""

    def __init__(
        self, app: AsgiApp, *, certificate: str = "", key: str = "", on_bug: Callable[[BaseException], None]
    ) -> None:
        self._config = uvicorn.Config(
            _Guard(app, on_bug),
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            ssl_certfile=certificate or None,
            ssl_keyfile=key or None,
        )
        self._running: list[tuple[_Uvicorn, asyncio.Task[None]]] = []

    async def serve(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket; returns once it does."""
        server = _Uvicorn(self._config)
        self._running.append((server, asyncio.create_task(server.serve(sockets=[sock]))))
        await server.is_accepting.wait()

    async def drain(self, seconds: float) -> int:
        """Stop accepting and let running requests finish for at most ``seconds``; how many did not."""
        if not self._running:
            return 0
        for server, _ in self._running:
            server.should_exit = True
        _, late = await asyncio.wait([task for _, task in self._running], timeout=seconds)
        requests = [request for server, _ in self._running for request in server.server_state.tasks]
        for task in (*requests, *late):
            task.cancel()
        await asyncio.gather(*requests, *late, return_exceptions=True)
        return len(requests)


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the servers, then say so."""
        await super().startup(sockets)
        self.is_accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


class _Guard:
    """The catch-all around the application: a bug is reported and answered 503, which callers try again."""

    def __init__(self, app: AsgiApp, on_bug: Callable[[BaseException], None]) -> None:
        self._app = app
        self._on_bug = on_bug

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        is_answering = False

        async def watched(message: Mapping[str, Any]) -> None:
            nonlocal is_answering
            is_answering = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as exc:  # noqa: BLE001  # the catch-all
            self._on_bug(exc)
            if not is_answering:
                headers = [(b"content-type", b"text/plain"), (b"retry-after", b"30")]
                await send({"type": "http.response.start", "status": 503, "headers": headers})
                await send({"type": "http.response.body", "body": b"temporary error\n"})
