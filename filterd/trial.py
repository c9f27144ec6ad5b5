"""A candidate on live messages: it scores a share of them beside the incumbent, or decides for that share.

The share is one of recipients, by a hash of the first one's address: the same people stay with the same bundle, so that
what they say of its verdicts can be told apart. Whatever happens to the candidate, messages go on being judged by the
incumbent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from hashlib import blake2b

from filterd.core.envelope import Channel, Envelope, address_key
from filterd.core.verdict import Scan
from filterd.errors import FilterdError
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.model_ports import Disagreement, Disagreements, Trial
from filterd.ports import Clock, Scanner

LOOK_SECONDS = 1.0
POINT = "normal"
"""The operating point at which candidate and incumbent are compared."""
_MOST_AT_ONCE = 8
"""Messages the candidate scores beside the incumbent at a time; while it is that busy, more are not compared."""
_PARTS = 10_000


class TrialScanner:
    """Implements ``ports.Scanner`` around the scanner of the bundles in service; an async context manager."""

    def __init__(
        self,
        incumbent: Scanner,
        *,
        trials: Callable[[], Mapping[Channel, Trial]],
        open_candidates: Callable[[Mapping[Channel, str]], AbstractAsyncContextManager[Scanner]],
        store: Disagreements,
        clock: Clock,
        metrics: Metrics,
        events: Events,
    ) -> None:
        """``trials`` reads what is on trial and may raise BundleError; ``open_candidates`` starts scanners of them."""
        self._incumbent = incumbent
        self._trials = trials
        self._open = open_candidates
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._known: Mapping[Channel, Trial] = {}
        self._unread = ""
        self._candidates: Scanner | None = None
        self._stack = AsyncExitStack()
        self._comparing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End the candidates' scanners."""
        for task in self._comparing:
            task.cancel()
        await asyncio.gather(*self._comparing, return_exceptions=True)
        self._candidates = None
        await self._stack.aclose()

    async def watch(self) -> None:
        """Follow what is on trial, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Start and end candidates as the registry says now."""
        try:
            trials, error = dict(self._trials()), ""
        except FilterdError as exc:
            trials, error = {}, exc.detail
        self._note(error)
        if {c: t.id for c, t in trials.items()} != {c: t.id for c, t in self._known.items()}:
            self._candidates = None
            await self._stack.aclose()
            if trials:
                ids = {channel: trial.id for channel, trial in trials.items()}
                self._candidates = await self._stack.enter_async_context(self._open(ids))
        self._known = trials

    def _note(self, error: str) -> None:
        """Tell when trials become unreadable and when that is over, and not every second between."""
        if bool(error) != bool(self._unread):
            self._events.registry_state("trials", error)
        self._unread = error

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        """See ``ports.Scanner``."""
        trial = self._known.get(envelope.channel)
        candidates = self._candidates
        if trial is None or candidates is None or not is_in_share(envelope, trial.share):
            return await self._incumbent.scan(envelope, raw)
        if trial.decides:
            with contextlib.suppress(FilterdError):
                return await candidates.scan(envelope, raw)
            self._metrics.trials.labels(envelope.channel.value, "failed").inc()
            return await self._incumbent.scan(envelope, raw)
        scan = await self._incumbent.scan(envelope, raw)
        if envelope.is_rehearsal:
            return scan
        if len(self._comparing) < _MOST_AT_ONCE:
            task = asyncio.create_task(self._compare(candidates, envelope, raw, scan), name="trial")
            self._comparing.add(task)
            task.add_done_callback(self._comparing.discard)
        else:
            self._metrics.trials.labels(envelope.channel.value, "skipped").inc()
        return scan

    async def _compare(self, candidates: Scanner, envelope: Envelope, raw: bytes, incumbent: Scan) -> None:
        channel = envelope.channel
        try:
            candidate = await candidates.scan(envelope, raw)
        except FilterdError:
            self._metrics.trials.labels(channel.value, "failed").inc()
            return
        result = _AGREEMENTS[_is_spam(candidate), _is_spam(incumbent)]
        self._metrics.trials.labels(channel.value, result).inc()
        if result in ("both_spam", "both_ham"):
            return
        found = Disagreement(
            message=envelope.id,
            channel=channel,
            candidate=candidate.model,
            candidate_probability=candidate.probability,
            incumbent=incumbent.model,
            incumbent_probability=incumbent.probability,
            seen_at=self._clock.now(),
        )
        with contextlib.suppress(FilterdError):
            await self._store.record_disagreement(found)


_AGREEMENTS = {
    (True, True): "both_spam",
    (False, False): "both_ham",
    (True, False): "candidate_spam",
    (False, True): "incumbent_spam",
}


def _is_spam(scan: Scan) -> bool:
    return scan.probability >= scan.points.get(POINT, 1.0)


def is_in_share(envelope: Envelope, share: float) -> bool:
    """Whether the first recipient belongs to this part of all recipients."""
    address = address_key(envelope.recipients[0].address) if envelope.recipients else ""
    digest = blake2b(address.encode("utf-8", "replace"), digest_size=8, person=b"trial").digest()
    return int.from_bytes(digest, "big") % _PARTS < share * _PARTS
