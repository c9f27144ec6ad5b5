"""Adds what a message's DKIM signatures came to, to what the scanner found.

A scanner process has put the message into its signed form; here keys are fetched and the digests checked, which takes
a fraction of a millisecond each. Whatever goes wrong with that is a signal and never stops a message.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from filterd.core.dkim import dkim_signals
from filterd.core.envelope import Envelope
from filterd.core.signed import Signed
from filterd.core.verdict import Scan
from filterd.dkim.keys import result_of
from filterd.metrics import Metrics
from filterd.ports import Clock, Scanner

_SLACK_SECONDS = 600
"""Clocks differ."""


class KeyRecords(Protocol):
    """Where keys are published."""

    async def texts(self, name: str) -> tuple[bytes, ...] | None:
        """The TXT records at ``name``; empty where there are none, None where that cannot be known now."""
        ...


class VerifyingScanner:
    """Implements ``ports.Scanner`` around the one that scans."""

    def __init__(
        self, scanner: Scanner, records: KeyRecords, *, timeout_seconds: float, clock: Clock, metrics: Metrics
    ) -> None:
        self._scanner = scanner
        self._records = records
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._metrics = metrics

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        """See ``ports.Scanner``."""
        scan = await self._scanner.scan(envelope, raw)
        if not scan.signatures:
            return scan
        results = await asyncio.gather(*map(self._result, scan.signatures))
        for result in results:
            self._metrics.dkim.labels(result).inc()
        found = dkim_signals(zip(scan.signatures, results, strict=True))
        return replace(scan, signatures=(), signals=tuple(sorted({*scan.signals, *found})))

    async def _result(self, signed: Signed) -> str:
        if signed.result:
            return signed.result
        if signed.expires and signed.expires + _SLACK_SECONDS < self._clock.now().timestamp():
            return "permerror"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                records = await self._records.texts(f"{signed.selector}._domainkey.{signed.domain}")
        except TimeoutError:
            return "temperror"
        return "temperror" if records is None else result_of(signed, records)
