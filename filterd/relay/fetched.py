"""Asks providers over HTTPS for what their adapters need, and keeps the answers for as long as the worker lives.

It follows no redirect, verifies TLS, and asks for one thing at a time: a flood of calls that name certificates
becomes no flood of requests. Which addresses may be asked, the adapters say; none comes from a message unchecked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from filterd.errors import PayloadInvalid, TemporaryError

if TYPE_CHECKING:
    import httpx2

_MOST_ANSWERS = 32
"""Kept at once. A provider has one certificate for each region, and changes it about once a year."""
_MAX_ANSWER_BYTES = 65_536
_TOO_MANY_REQUESTS = 429


class Fetched:
    """An HTTP client and its answers; an async context manager."""

    def __init__(
        self, *, timeout_seconds: float, user_agent: str, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._user_agent = user_agent
        self._transport = transport
        self._answers: dict[str, bytes] = {}
        self._one_at_a_time = asyncio.Lock()

    @property
    def known(self) -> Mapping[str, bytes]:
        """The answers by URL, as they come."""
        return MappingProxyType(self._answers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._answers.clear()

    async def fetch(self, url: str, is_usable: Callable[[bytes], bool]) -> None:
        """Returns once the answer is at hand.

        Raises PayloadInvalid if the provider says there is no such thing, TemporaryError if it does not answer, or
        answers what is not ``is_usable``.
        """
        async with self._one_at_a_time:
            if url in self._answers:
                return
            answer = await self._ask(url)
            if not is_usable(answer):
                raise TemporaryError("the provider answered something else than was asked for")
            while len(self._answers) >= _MOST_ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[url] = answer

    async def _ask(self, url: str) -> bytes:
        import httpx2  # most gateways never ask anybody

        # A client for one request: the next may be a year away.
        client = httpx2.AsyncClient(
            timeout=self._timeout_seconds,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": self._user_agent, "accept-encoding": "identity"},
            transport=self._transport,
        )
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_seconds), client, client.stream("GET", url) as response:
                _check_status(response.status_code)
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _MAX_ANSWER_BYTES:
                        raise TemporaryError("the provider's answer is too long")
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as exc:
            raise TemporaryError(f"the provider cannot be asked: {type(exc).__name__}") from exc
        return bytes(body)


def _check_status(status: int) -> None:
    if 400 <= status < 500 and status != _TOO_MANY_REQUESTS:
        raise PayloadInvalid(f"the provider has no such thing: it answered {status}")
    if not 200 <= status < 300:
        raise TemporaryError(f"the provider answered {status}")
