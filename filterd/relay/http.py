"""Calls a customer's URL over HTTP. It follows no redirect, verifies TLS, and reads no answer but its status.

The target comes from the configuration only: nothing in a message can choose where filterd connects to.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from filterd.errors import RelayUnavailable
from filterd.ports import ForwardRequest

if TYPE_CHECKING:
    import httpx2

_MAX_CONNECTIONS = 20


class HttpForwarder:
    """An HTTP client with a pool; an async context manager."""

    def __init__(self, *, timeout_seconds: float, user_agent: str) -> None:
        self._timeout_seconds = timeout_seconds
        self._user_agent = user_agent
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def forward(self, request: ForwardRequest) -> None:
        """Returns once the URL answered 2xx. Raises RelayUnavailable, naming the kind of failure but no address."""
        import httpx2  # a gateway for mail alone never calls anybody

        self._client = client = self._client or self._opened()
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                client.stream(request.method, request.url, headers=headers, content=request.body) as response,
            ):
                status = response.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, UnicodeError) as exc:
            raise RelayUnavailable(f"the customer's URL failed: {type(exc).__name__}") from exc
        if not 200 <= status < 300:
            raise RelayUnavailable(f"the customer's URL answered {status}")

    def _opened(self) -> httpx2.AsyncClient:
        import httpx2

        return httpx2.AsyncClient(
            timeout=self._timeout_seconds,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": self._user_agent},
            limits=httpx2.Limits(max_connections=_MAX_CONNECTIONS),
        )
