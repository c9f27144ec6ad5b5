"""The line a message takes: scan, decide, act, record, count, log.

The mail first, the books second, except where the book is the mail: an accepted message is relayed before it is
recorded, a held one is durable before its sender hears 250. Nothing here raises for a fault of ours; every fault
becomes an outcome the sender can act on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from filterd.beside import beside_loop
from filterd.core.envelope import Channel, Envelope
from filterd.core.headers import Stamp, find_release, stamp
from filterd.core.parts import Handled, Judged, answer, by_outcome, group, in_order, with_one_reply
from filterd.core.policy import Policy
from filterd.core.quality import is_audited
from filterd.core.reported import Report
from filterd.core.verdict import (
    Action,
    Decision,
    Label,
    Outcome,
    OutcomeKind,
    Reason,
    Reply,
    Scan,
    ScanFailure,
    Verdict,
)
from filterd.errors import (
    Overloaded,
    RelayAmbiguous,
    RelayUnavailable,
    ScanDown,
    StoreUnavailable,
    TemporaryError,
    Unscannable,
)
from filterd.failpoints import failpoint
from filterd.feedback_ports import Correction, ReportMemory
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.milter_ports import MailServer
from filterd.ports import (
    Clock,
    HeldState,
    MailTransaction,
    Relay,
    Scanner,
    VerdictStore,
)
from filterd.replies import DEFERRED_BY_POLICY, HELD, LEFT_TO_SERVER, REFUSED_BY_POLICY, TOLD, outcome_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decided; replaced as a whole on reload."""

    policies: Mapping[Channel, Policy]
    stamp: Stamp
    """How headers are written: host name, trusted authserv-ids, release key."""
    scan_down: str = "ladder"
    scan_down_defer_seconds: float = 300.0
    is_tagging_when_store_down: bool = False
    audit_ratio: float = 0.0
    """Share of the messages that get through or are held, drawn at random to be labelled, [0, 1]."""
    policy_version: str = ""
    """Stands in every verdict: 12 hex digits of what was decided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """What became of a message: a verdict per decision and outcome, and what its sender hears."""

    verdicts: tuple[Verdict, ...]
    reply: Reply
    """The one reply that speaks for all recipients."""
    replies: tuple[Reply, ...] = ()
    """One for each recipient, in their order, where each was handled by itself."""


_Judge = Callable[[Envelope, bytes], Awaitable[tuple[Judged, ...]]]
_SendEach = Callable[[Envelope, bytes], Awaitable[Sequence[Reply | TemporaryError]]]
_Act = Callable[[Sequence[Judged], dict[str, float]], Awaitable[list[Handled]]]
"""Does what was decided; it may add to the timings."""


class Pipeline:
    """Judges and handles messages of every channel."""

    def __init__(
        self,
        *,
        scanner: Scanner,
        store: VerdictStore,
        clock: Clock,
        metrics: Metrics,
        events: Events,
        settings: Settings,
        memory: ReportMemory,
        correction: Correction,
    ) -> None:
        self._scanner = scanner
        self._memory = memory
        self._correction = correction
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._down_since: float | None = None
        self.settings = settings

    async def process(
        self, envelope: Envelope, raw: bytes, relay: Relay, server: MailServer | None = None
    ) -> Processed:
        """Judge and handle one message; the reply is final and everything it promises is durable.

        What ``server`` does with its own copy goes neither to ``relay`` nor to the store.
        """
        act = partial(self._act_together, raw=raw, relay=relay, server=server)
        verdicts, _ = await self._handle(envelope, raw, self.judge, act)
        return Processed(verdicts=verdicts, reply=answer([verdict.outcome for verdict in verdicts]))

    async def process_each(self, envelope: Envelope, raw: bytes, relay: MailTransaction) -> Processed:
        """The same where every recipient has a reply of its own (RFC 2033): none waits for another."""
        act = partial(self._act_apart, raw=raw, relay=relay)
        verdicts, told = await self._handle(envelope, raw, self._judge_each, act)
        reply = answer([verdict.outcome for verdict in verdicts])
        return Processed(verdicts=verdicts, reply=reply, replies=in_order(envelope, told))

    async def advise(self, envelope: Envelope, raw: bytes, kind: OutcomeKind = OutcomeKind.ADVISED) -> Processed:
        """Judge a message that is not ours to hand on; recorded as ``kind``, or as deferred where it was not scored."""
        verdicts, _ = await self._handle(envelope, raw, self._judge_each, partial(_tell, kind=kind))
        return Processed(verdicts=verdicts, reply=answer([verdict.outcome for verdict in verdicts]))

    async def _handle(
        self, envelope: Envelope, raw: bytes, judge: _Judge, act: _Act
    ) -> tuple[tuple[Verdict, ...], Sequence[Handled]]:
        started = self._clock.monotonic()
        timings: dict[str, float] = {}
        self._metrics.in_flight.inc()
        try:
            judged = await judge(envelope, raw)
            failpoint("pipeline.scanned")
            timings["scan"] = self._clock.monotonic() - started
            handled = await act(judged, timings)
            timings["total"] = self._clock.monotonic() - started
            verdicts = tuple(
                self._verdict(part, len(raw), outcome, timings)
                for each in handled
                for part, outcome in by_outcome(each)
            )
            for verdict in verdicts:
                await self._record(verdict)
        finally:
            self._metrics.in_flight.dec()
        failpoint("pipeline.recorded")
        return verdicts, handled

    def _verdict(self, part: Judged, size_bytes: int, outcome: Outcome, timings: Mapping[str, float]) -> Verdict:
        # Nobody has a message that was refused, so nobody can label it.
        can_audit = outcome.kind in _LABELLED_LATER and part.decision.reason is not Reason.RELEASED
        is_audit = can_audit and is_audited(part.envelope.id, self.settings.audit_ratio)
        took = MappingProxyType(dict(timings))
        return Verdict.of(part.envelope, size_bytes, part.decision, outcome, took, part.policy, is_audit=is_audit)

    async def judge(self, envelope: Envelope, raw: bytes) -> tuple[Judged, ...]:
        """The decisions for all recipients, without acting on them: also for what is only asked about."""
        return with_one_reply(await self._judge_each(envelope, raw))

    async def _judge_each(self, envelope: Envelope, raw: bytes) -> tuple[Judged, ...]:
        if envelope.channel is Channel.EMAIL and find_release(raw, self.settings.stamp):
            return (self._undisputed(envelope, Decision(action=Action.ACCEPT, reason=Reason.RELEASED)),)
        scan = await self._scan(envelope, raw)
        if isinstance(scan, Overloaded):
            decision = Decision(action=Action.DEFER, reason=Reason.SCAN_DOWN, detail="overloaded")
            return (self._undisputed(envelope, decision),)
        reports = self._memory.find(envelope.channel, scan.fingerprint) if isinstance(scan, Scan) else ()
        correct = partial(self._correction.correct, envelope.channel)
        # Rules change while messages are scanned: policy and version are of one moment.
        version = self.settings.policy_version
        grouped = group(scan, envelope, self._policy(envelope.channel), reports, correct)
        judged = tuple(replace(part, policy=version) for part in grouped)
        if reports and isinstance(scan, Scan) and not envelope.is_rehearsal:
            self._note_agreement(judged, reports, scan.model)
        return judged

    def _undisputed(self, envelope: Envelope, decision: Decision) -> Judged:
        """One decision for all recipients that no rule of theirs has a say in."""
        return Judged(envelope=envelope, decision=decision, policy=self.settings.policy_version)

    def _note_agreement(self, judged: Sequence[Judged], reports: Sequence[Report], model: str) -> None:
        """Tell the memory what the model alone would have said."""
        for part in judged:
            decision = part.decision
            if decision.reason in _OWN_LABEL:
                self._memory.note_agreement(reports, _OWN_LABEL[decision.reason], model)
            elif decision.reason is Reason.REPORTED:
                is_ham = decision.action is Action.ACCEPT
                self._memory.note_agreement(reports, Label.SPAM if is_ham else Label.HAM, model)

    async def _scan(self, envelope: Envelope, raw: bytes) -> Scan | ScanFailure | Overloaded:
        try:
            scan = await self._scanner.scan(envelope, raw)
        except Unscannable as exc:
            self._note_failure(envelope, ScanFailure.UNSCANNABLE, exc)
            return ScanFailure.UNSCANNABLE
        except ScanDown as exc:
            self._note_failure(envelope, ScanFailure.SCAN_DOWN, exc)
            if self._down_since is None:
                self._down_since = self._clock.monotonic()
                self._metrics.scan_up.set(0)
                self._events.scan_state("down")
            return ScanFailure.SCAN_DOWN
        except Overloaded as exc:
            return exc
        if self._down_since is not None:
            self._down_since = None
            self._metrics.scan_up.set(1)
            self._events.scan_state("up")
        return scan

    def _note_failure(self, envelope: Envelope, kind: ScanFailure, exc: Unscannable | ScanDown) -> None:
        self._metrics.scan_failures.labels(kind.value).inc()
        self._events.scan_failed(envelope.id, kind.value, exc.detail)

    def _policy(self, channel: Channel) -> Policy:
        """The channel's policy with the rung of the scan_down ladder that holds now."""
        settings = self.settings
        if settings.scan_down != "ladder":
            action = Action(settings.scan_down)
        else:
            down = 0.0 if self._down_since is None else self._clock.monotonic() - self._down_since
            action = Action.ACCEPT if down >= settings.scan_down_defer_seconds else Action.DEFER
        policy = settings.policies[channel]
        return policy if policy.scan_down is action else replace(policy, scan_down=action)

    async def _act_together(
        self,
        judged: Sequence[Judged],
        timings: dict[str, float],
        *,
        raw: bytes,
        relay: Relay,
        server: MailServer | None,
    ) -> list[Handled]:
        """What became of each part; holds first, so that a failed hold delivers nothing."""
        if any(part.decision.action is Action.DEFER for part in judged):
            return [Handled.alike(part, _DEFERRED) for part in judged]
        outcomes: dict[int, Outcome] = {}
        is_mixed = len(judged) > 1
        for i, part in enumerate(judged):
            if part.decision.action is Action.QUARANTINE:
                by_server = server.hold() if server is not None and not is_mixed else None
                held = _outcome(by_server) if by_server else await self._hold(part, raw, timings, pending=is_mixed)
                outcomes[i] = held or await self._send(part, raw, relay, server, timings)
            elif part.decision.action is Action.REJECT:
                outcomes[i] = _REFUSED
        for i, part in enumerate(judged):
            if i in outcomes:
                continue
            failed = next((o for o in outcomes.values() if not o.reply.is_positive), None)
            if failed is not None:
                outcomes[i] = Outcome(kind=OutcomeKind.DEFERRED, reply=failed.reply)
            else:
                outcomes[i] = await self._send(part, raw, relay, server, timings)
        ordered = [outcomes[i] for i in range(len(judged))]
        settled = await self._settle(judged, ordered) if is_mixed else ordered
        return [Handled.alike(part, outcome) for part, outcome in zip(judged, settled, strict=True)]

    async def _act_apart(
        self, judged: Sequence[Judged], timings: dict[str, float], *, raw: bytes, relay: MailTransaction
    ) -> list[Handled]:
        """What became of each recipient; holds first, because one that is done again makes no second copy."""
        handled: list[Handled] = []
        to_send: list[Judged] = []
        for part in judged:
            action = part.decision.action
            held = await self._hold(part, raw, timings, pending=False) if action is Action.QUARANTINE else None
            outcome = held or _WITHOUT_ACTING.get(action)
            if outcome is None:
                to_send.append(part)
            else:
                handled.append(Handled.alike(part, outcome))
        for part in to_send:
            outcomes = await self._relay(part, raw, relay.send_each, timings)
            handled.append(Handled(part=part, outcomes=tuple(outcomes)))
        return handled

    async def _hold(self, part: Judged, raw: bytes, timings: dict[str, float], *, pending: bool) -> Outcome | None:
        """None where it is to be delivered as tagged, because the database is down."""
        started = self._clock.monotonic()
        try:
            is_audit = is_audited(part.envelope.id, self.settings.audit_ratio)
            await self._store.hold(
                part.envelope, raw, part.decision, pending=pending, policy=part.policy, is_audit=is_audit
            )
            failpoint("pipeline.held")
        except TemporaryError as exc:
            self._events.hold_failed(part.envelope.id, exc.detail)
            is_tagging = self.settings.is_tagging_when_store_down and isinstance(exc, StoreUnavailable)
            return None if is_tagging else outcome_of(exc)
        finally:
            timings["hold"] = timings.get("hold", 0.0) + self._clock.monotonic() - started
        return Outcome(kind=OutcomeKind.HELD, reply=HELD)

    async def _send(
        self, part: Judged, raw: bytes, relay: Relay, server: MailServer | None, timings: dict[str, float]
    ) -> Outcome:
        kept = server.keep() if server is not None else None
        if kept is not None:
            return _outcome(kept)

        async def send(envelope: Envelope, body: bytes) -> Sequence[Reply]:
            return [await relay.send(envelope, body)]

        return (await self._relay(part, raw, send, timings))[0]

    async def _relay(self, part: Judged, raw: bytes, send: _SendEach, timings: dict[str, float]) -> list[Outcome]:
        """The outcome for each recipient of ``part``."""
        started = self._clock.monotonic()
        body = raw
        if part.envelope.channel is Channel.EMAIL:
            make = partial(stamp, raw, part.envelope, part.decision, self.settings.stamp)
            body = await beside_loop(make, len(raw))
        try:
            told: Sequence[Reply | TemporaryError] = await send(part.envelope, body)
            failpoint("pipeline.relayed")
        except TemporaryError as exc:
            told = [exc] * len(part.envelope.recipients)
        finally:
            timings["relay"] = timings.get("relay", 0.0) + self._clock.monotonic() - started
        for failure in dict.fromkeys(each for each in told if isinstance(each, RelayUnavailable | RelayAmbiguous)):
            self._metrics.relay_failures.labels(part.envelope.channel.value).inc()
            self._events.relay_failed(part.envelope.id, failure.detail, isinstance(failure, RelayAmbiguous))
        return [outcome_of(each) if isinstance(each, TemporaryError) else _outcome(each) for each in told]

    async def _settle(self, judged: Sequence[Judged], outcomes: list[Outcome]) -> list[Outcome]:
        """Held parts become held only when every other part succeeded too; else the sender keeps the message."""
        failed = next((o for o in outcomes if not o.reply.is_positive), None)
        if failed is not None:
            unheld = Outcome(kind=failed.kind, reply=failed.reply, ambiguous=failed.ambiguous)
            # What was left to the mail server that asks goes the way of its reply.
            undone = [o.kind is OutcomeKind.HELD or o.reply is LEFT_TO_SERVER for o in outcomes]
            settled = [unheld if is_undone else o for o, is_undone in zip(outcomes, undone, strict=True)]
        else:
            settled = outcomes
        for part, outcome in zip(judged, outcomes, strict=True):
            if outcome.kind is not OutcomeKind.HELD:
                continue
            try:
                await self._store.settle(part.envelope.id, HeldState.ABORTED if failed else HeldState.HELD)
            except TemporaryError as exc:
                # The row stays pending and the reaper turns it into held: kept, never lost.
                self._events.hold_failed(part.envelope.id, exc.detail)
        return settled

    async def _record(self, verdict: Verdict) -> None:
        """Best effort: the books never turn a delivered message into a 4xx."""
        self._metrics.observe(verdict)
        self._events.judged(verdict)
        try:
            await self._store.record(verdict)
        except TemporaryError as exc:
            self._metrics.record_failures.inc()
            self._events.record_failed(verdict.id, exc.detail)


_LABELLED_LATER = {OutcomeKind.RELAYED, OutcomeKind.HELD, OutcomeKind.ADVISED}
_OWN_LABEL = {Reason.HAM: Label.HAM, Reason.SPAM: Label.SPAM}
_DEFERRED = Outcome(kind=OutcomeKind.DEFERRED, reply=DEFERRED_BY_POLICY)
_REFUSED = Outcome(kind=OutcomeKind.REFUSED, reply=REFUSED_BY_POLICY)
_WITHOUT_ACTING = MappingProxyType({Action.DEFER: _DEFERRED, Action.REJECT: _REFUSED})


async def _tell(judged: Sequence[Judged], _timings: dict[str, float], *, kind: OutcomeKind) -> list[Handled]:
    """Leave each part to the client. While scanning is down the policy speaks for our mail only."""
    told = Outcome(kind=kind, reply=TOLD)
    undecided = [p.decision.action is Action.DEFER or p.decision.reason is Reason.SCAN_DOWN for p in judged]
    return [Handled.alike(part, _DEFERRED if no else told) for part, no in zip(judged, undecided, strict=True)]


def _outcome(reply: Reply) -> Outcome:
    """What the next hop's reply to the end of data means."""
    if reply.is_positive:
        return Outcome(kind=OutcomeKind.RELAYED, reply=reply)
    return Outcome(kind=OutcomeKind.REFUSED if reply.is_permanent else OutcomeKind.DEFERRED, reply=reply)
