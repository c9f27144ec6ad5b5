"""The line a message takes: scan, decide, act, record, count, log.

The mail first, the books second, except where the book is the mail: an accepted message is relayed before it is
recorded, a held one is durable before its sender hears 250. Nothing here raises for a fault of ours; every fault
becomes an outcome the sender can act on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from filterd.beside import beside_loop
from filterd.core.envelope import Channel, Envelope, Recipient
from filterd.core.headers import Stamp, find_release, stamp
from filterd.core.policy import Policy, decide
from filterd.core.quality import is_audited
from filterd.core.reported import Report, certainty, resolve
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
from filterd.ports import (
    Clock,
    HeldState,
    Relay,
    Scanner,
    VerdictStore,
)
from filterd.replies import DEFERRED_BY_POLICY, HELD, REFUSED_BY_POLICY, outcome_of


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
class Judged:
    """One decision and the recipients it holds for."""

    envelope: Envelope
    decision: Decision
    policy: str = ""
    """Version of the policy that decided: it may be another one by the time the message has been handed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """What became of a message: a verdict per decision, and the one reply its sender gets."""

    verdicts: tuple[Verdict, ...]
    reply: Reply


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

    async def process(self, envelope: Envelope, raw: bytes, relay: Relay) -> Processed:
        """Judge and handle one message; the reply is final and everything it promises is durable."""
        started = self._clock.monotonic()
        timings: dict[str, float] = {}
        self._metrics.in_flight.inc()
        try:
            judged = await self.judge(envelope, raw)
            failpoint("pipeline.scanned")
            timings["scan"] = self._clock.monotonic() - started
            outcomes = await self._act(judged, raw, relay, timings)
            timings["total"] = self._clock.monotonic() - started
            verdicts = tuple(
                self._verdict(part, len(raw), outcome, timings) for part, outcome in zip(judged, outcomes, strict=True)
            )
            for verdict in verdicts:
                await self._record(verdict)
        finally:
            self._metrics.in_flight.dec()
        failpoint("pipeline.recorded")
        return Processed(verdicts=verdicts, reply=_answer(outcomes))

    def _verdict(self, part: Judged, size_bytes: int, outcome: Outcome, timings: Mapping[str, float]) -> Verdict:
        settings, envelope = self.settings, part.envelope
        verdict = Verdict.of(envelope, size_bytes, part.decision, outcome, MappingProxyType(dict(timings)), part.policy)
        # Nobody has a message that was refused, so nobody can label it.
        can_audit = outcome.kind in _LABELLED_LATER and part.decision.reason is not Reason.RELEASED
        return replace(verdict, is_audit=can_audit and is_audited(envelope.id, settings.audit_ratio))

    async def judge(self, envelope: Envelope, raw: bytes) -> tuple[Judged, ...]:
        """The decisions for all recipients, without acting on them: also for what is only asked about."""
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

    async def _act(
        self, judged: Sequence[Judged], raw: bytes, relay: Relay, timings: dict[str, float]
    ) -> list[Outcome]:
        """The outcome of each part, in order; holds first, so that a failed hold delivers nothing."""
        deferred = [part for part in judged if part.decision.action is Action.DEFER]
        if deferred:
            outcome = Outcome(kind=OutcomeKind.DEFERRED, reply=DEFERRED_BY_POLICY)
            return [outcome for _ in judged]
        outcomes: dict[int, Outcome] = {}
        is_mixed = len(judged) > 1
        for i, part in enumerate(judged):
            if part.decision.action is Action.QUARANTINE:
                outcomes[i] = await self._hold(part, raw, relay, timings, pending=is_mixed)
            elif part.decision.action is Action.REJECT:
                outcomes[i] = Outcome(kind=OutcomeKind.REFUSED, reply=REFUSED_BY_POLICY)
        for i, part in enumerate(judged):
            if i in outcomes:
                continue
            failed = next((o for o in outcomes.values() if not o.reply.is_positive), None)
            if failed is not None:
                outcomes[i] = Outcome(kind=OutcomeKind.DEFERRED, reply=failed.reply)
            else:
                outcomes[i] = await self._send(part, raw, relay, timings)
        ordered = [outcomes[i] for i in range(len(judged))]
        return await self._settle(judged, ordered) if is_mixed else ordered

    async def _hold(
        self, part: Judged, raw: bytes, relay: Relay, timings: dict[str, float], *, pending: bool
    ) -> Outcome:
        started = self._clock.monotonic()
        try:
            await self._store.hold(part.envelope, raw, part.decision, pending=pending)
            failpoint("pipeline.held")
        except TemporaryError as exc:
            self._events.hold_failed(part.envelope.id, exc.detail)
            if self.settings.is_tagging_when_store_down and isinstance(exc, StoreUnavailable):
                return await self._send(part, raw, relay, timings)
            return outcome_of(exc)
        finally:
            timings["hold"] = timings.get("hold", 0.0) + self._clock.monotonic() - started
        return Outcome(kind=OutcomeKind.HELD, reply=HELD)

    async def _send(self, part: Judged, raw: bytes, relay: Relay, timings: dict[str, float]) -> Outcome:
        started = self._clock.monotonic()
        body = raw
        if part.envelope.channel is Channel.EMAIL:
            make = partial(stamp, raw, part.envelope, part.decision, self.settings.stamp)
            body = await beside_loop(make, len(raw))
        try:
            reply = await relay.send(part.envelope, body)
            failpoint("pipeline.relayed")
        except (RelayUnavailable, RelayAmbiguous) as exc:
            self._metrics.relay_failures.labels(part.envelope.channel.value).inc()
            self._events.relay_failed(part.envelope.id, exc.detail, isinstance(exc, RelayAmbiguous))
            return outcome_of(exc)
        except TemporaryError as exc:
            return outcome_of(exc)
        finally:
            timings["relay"] = timings.get("relay", 0.0) + self._clock.monotonic() - started
        if reply.is_positive:
            return Outcome(kind=OutcomeKind.RELAYED, reply=reply)
        kind = OutcomeKind.REFUSED if reply.is_permanent else OutcomeKind.DEFERRED
        return Outcome(kind=kind, reply=reply)

    async def _settle(self, judged: Sequence[Judged], outcomes: list[Outcome]) -> list[Outcome]:
        """Held parts become held only when every other part succeeded too; else the sender keeps the message."""
        failed = next((o for o in outcomes if not o.reply.is_positive), None)
        if failed is not None:
            unheld = Outcome(kind=failed.kind, reply=failed.reply, ambiguous=failed.ambiguous)
            settled = [unheld if o.kind is OutcomeKind.HELD else o for o in outcomes]
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


_LABELLED_LATER = {OutcomeKind.RELAYED, OutcomeKind.HELD}
_OWN_LABEL = {Reason.HAM: Label.HAM, Reason.SPAM: Label.SPAM}


def _as_it_is(scan: Scan, _recipient: str) -> Scan:
    return scan


def group(
    scan: Scan | ScanFailure,
    envelope: Envelope,
    policy: Policy,
    reports: Sequence[Report] = (),
    correct: Callable[[Scan, str], Scan] = _as_it_is,
) -> list[Judged]:
    """One ``Judged`` per different decision, recipients in their order.

    ``reports`` are on near-duplicates; ``correct`` gives the scan for mail to one recipient, the same for a domain.

    A message that only some recipients' rules would reject is held for them: one reply speaks for all.
    """
    sure = certainty(scan.probability, scan.points) if isinstance(scan, Scan) else None
    known: dict[tuple[object, ...], Decision] = {}
    groups: list[tuple[Decision, list[Recipient]]] = []
    for recipient in envelope.recipients:
        reported = resolve(reports, recipient.address, policy.agreement, sure)
        key = (reported, recipient.domain, *(id(scope) for scope in policy.scopes(recipient)))
        if key not in known:
            own = correct(scan, recipient.address) if isinstance(scan, Scan) else scan
            known[key] = decide(own, envelope, recipient, policy, reported)
        decision = known[key]
        # Two domains may have two probabilities; as long as the same is done, it is done in one transaction.
        members = next((m for d, m in groups if replace(d, scan=None) == replace(decision, scan=None)), None)
        if members is None:
            groups.append((decision, [recipient]))
        else:
            members.append(recipient)
    if len(groups) > 1:
        groups = [
            (replace(d, action=Action.QUARANTINE) if d.action is Action.REJECT else d, members) for d, members in groups
        ]
    return [Judged(envelope=envelope.only(tuple(members)), decision=d) for d, members in groups]


def _answer(outcomes: Sequence[Outcome]) -> Reply:
    """The first failure speaks for the message; else the next hop's own words where there are any."""
    failed = next((o.reply for o in outcomes if not o.reply.is_positive), None)
    if failed is not None:
        return failed
    return next((o.reply for o in outcomes if o.kind is OutcomeKind.RELAYED), outcomes[0].reply)
