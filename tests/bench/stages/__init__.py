"""Scanners that stop early: each is the program of a scanner process (``PoolSettings.module``)."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from filterd.core.domains import Domains
from filterd.core.envelope import Channel
from filterd.core.features import extract
from filterd.core.message import ParseLimits, parse_email
from filterd.core.normalize import Normalizer
from filterd.core.tokens import DEFAULT_HASHING, Encoder
from filterd.core.verdict import Scan
from filterd.scan.worker import serve

FOUND = Scan(
    probability=0.01, logit=-4.6, model="none", points=MappingProxyType({"strict": 0.5, "normal": 0.9, "lenient": 0.99})
)
"""What a scanner says that has not looked."""


class Stage:
    """Does one piece of work on every message and says the same of all of them."""

    def __init__(self, work: Callable[[bytes], Any]) -> None:
        self._work = work

    def scan(self, _channel: Channel, raw: bytes) -> Scan:
        """``FOUND``."""
        self._work(raw)
        return FOUND


def parse(raw: bytes) -> Any:
    """Bytes to a message."""
    return parse_email(raw, ParseLimits())


def features_and_tokens() -> Callable[[bytes], Any]:
    """Bytes to what the model reads."""
    domains = Domains()
    normalizer, encoder = Normalizer(domains.registrable), Encoder(DEFAULT_HASHING[Channel.EMAIL])
    return lambda raw: encoder.encode(extract(parse(raw), normalizer, domains))


def run(work: Callable[[bytes], Any]) -> None:
    """Serve as ``filterd.scan.worker`` does, without scoring."""
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection, lambda _: Stage(work))
