"""Asking a provider for what its adapter needs: what is kept, what is refused (threat D6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import pytest

from filterd.errors import PayloadInvalid, TemporaryError
from filterd.relay.fetched import Fetched

URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"


class Provider(httpx2.AsyncBaseTransport):
    """Answers every request with ``answer``; counts how many are open at once."""

    def __init__(self, answer: Callable[[], httpx2.Response]) -> None:
        self._answer = answer
        self._open = 0
        self.most_open = 0
        self.urls: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        self.urls.append(str(request.url))
        await asyncio.sleep(0)
        self._open -= 1
        return self._answer()


def fetched(provider: Provider) -> Fetched:
    return Fetched(timeout_seconds=5.0, user_agent="filterd/test", transport=provider)


async def test_fetch_when_the_provider_answers_then_it_is_asked_once_and_the_answer_is_at_hand() -> None:
    provider = Provider(lambda: httpx2.Response(200, content=b"pem"))
    asked = fetched(provider)
    known = asked.known

    await asyncio.gather(*(asked.fetch(URL, bool) for _ in range(3)))

    assert known == {URL: b"pem"}
    assert provider.urls == [URL]


async def test_d6_fetch_when_many_are_asked_for_then_one_request_is_made_at_a_time_and_few_answers_are_kept() -> None:
    provider = Provider(lambda: httpx2.Response(200, content=b"pem"))
    asked = fetched(provider)

    await asyncio.gather(*(asked.fetch(f"{URL}?{i}", bool) for i in range(100)))

    assert provider.most_open == 1
    assert len(asked.known) == 32
    assert f"{URL}?99" in asked.known


@pytest.mark.parametrize("status", [301, 302, 307, 429, 500, 503])
async def test_d6_fetch_when_the_provider_redirects_or_fails_then_it_is_temporary_and_not_followed(status: int) -> None:
    provider = Provider(lambda: httpx2.Response(status, headers={"location": "https://evil.example/"}))
    asked = fetched(provider)

    with pytest.raises(TemporaryError, match=str(status)):
        await asked.fetch(URL, bool)

    assert provider.urls == [URL]
    assert not asked.known


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_fetch_when_the_provider_has_no_such_thing_then_the_call_is_to_blame(status: int) -> None:
    with pytest.raises(PayloadInvalid):
        await fetched(Provider(lambda: httpx2.Response(status))).fetch(URL, bool)


async def test_fetch_when_the_answer_is_of_no_use_then_it_is_not_kept_and_the_next_call_asks_again() -> None:
    answers = [b"<html>sign in</html>", b"pem"]
    asked = fetched(Provider(lambda: httpx2.Response(200, content=answers.pop(0))))

    with pytest.raises(TemporaryError, match="something else"):
        await asked.fetch(URL, lambda octets: octets == b"pem")
    await asked.fetch(URL, lambda octets: octets == b"pem")

    assert asked.known == {URL: b"pem"}


async def test_fetch_when_the_answer_is_endless_then_it_is_given_up() -> None:
    with pytest.raises(TemporaryError, match="too long"):
        await fetched(Provider(lambda: httpx2.Response(200, content=b"x" * 70_000))).fetch(URL, bool)


async def test_fetch_when_the_provider_cannot_be_reached_then_it_is_temporary() -> None:
    def fail() -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(TemporaryError, match="ConnectError"):
        await fetched(Provider(fail)).fetch(URL, bool)
