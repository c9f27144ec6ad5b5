"""What one SMS provider's adapter does. ``providers.py`` lists them.

Adapters are pure: they are given the call, the configured URL and the time, and do no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReply:
    """What the provider is answered."""

    status: int
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Adapter(Protocol):
    """One provider."""

    @property
    def name(self) -> str:
        """The last part of its URL, and its label in metrics."""
        ...

    @property
    def deliver_url(self) -> str:
        """The customer's URL; empty keeps ham in the store."""
        ...

    @property
    def methods(self) -> tuple[str, ...]:
        """HTTP methods the provider calls with."""
        ...

    @property
    def is_redirecting(self) -> bool:
        """Whether the reply to ham makes the provider call ``deliver_url`` itself."""
        ...

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Raises SignatureInvalid, or FetchNeeded for a certificate that is not at hand.

        Raises Unsigned or CredentialsMissing where the provider is known to try again with what is missing.
        """
        ...

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The messages in a verified call; none for an event that is not an incoming message.

        Raises PayloadInvalid, or FetchNeeded.
        """
        ...

    def reply(self, *, is_ham: bool) -> WebhookReply:
        """The answer that ends the provider's duty; ``is_ham`` is True once the message is judged and passes."""
        ...

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:
        """The call of ``deliver_url``, signed so that the customer's own check of the provider holds."""
        ...


class Fetcher(Protocol):
    """Asks a provider for what its adapter needs, and keeps the answers where adapters look."""

    async def fetch(self, url: str, is_usable: Callable[[bytes], bool]) -> None:
        """Returns once the answer is at hand and ``is_usable``.

        Raises PayloadInvalid if the provider has no such thing, TemporaryError if it cannot be asked now.
        """
        ...


def check_age(timestamp: str, now: datetime, skew_seconds: float) -> None:
    """Raises SignatureInvalid unless ``timestamp`` (Unix seconds) is within ``skew_seconds`` of ``now``."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureInvalid("the signed timestamp is missing or not a number")
    if abs(now.timestamp() - int(timestamp)) > skew_seconds:
        raise SignatureInvalid("the signed timestamp is too old or too new")
