"""The whole store in dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel, Envelope, MessageId, address_key
from filterd.core.verdict import Decision, Feedback, Outcome, OutcomeKind, Scan, Verdict
from filterd.deed_ports import DeedKind
from filterd.digest_ports import TICKET_DAYS
from filterd.errors import NotFound, StoreFull, UsageError
from filterd.feedback_ports import Labels
from filterd.ports import (
    Clock,
    HeldMessage,
    HeldState,
    HeldSummary,
    VerdictRow,
)
from filterd.replies import HELD
from filterd.review_ports import HeldQuery
from filterd.testing.accounts import MemoryAccounts
from filterd.testing.bin import MemoryBin
from filterd.testing.deeds import MemoryDeeds
from filterd.testing.digests import MemoryDigests
from filterd.testing.fakes import FixedClock
from filterd.testing.held import Held
from filterd.testing.inbox import MemoryInbox
from filterd.testing.learning import MemoryLearning
from filterd.testing.quality import MemoryQuality
from filterd.testing.review import MemoryReview, part_of
from filterd.testing.rows import row_of, summary_of
from filterd.testing.rules import MemoryRules
from filterd.testing.shared_models import MemorySharedModels
from filterd.testing.tokens import MemoryTokens


class MemoryStore(MemoryInbox, MemoryTokens, MemoryLearning):
    """The whole store in dictionaries. Raises ``failure`` from every method while it is set."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        failure: Exception | None = None,
        keep_days: int = 30,
        reassembly_seconds: float = 30.0,
    ) -> None:
        self.clock = clock or FixedClock()
        self.failure = failure
        self.has_room = True
        self._keep_days = keep_days
        self._held: dict[MessageId, Held] = {}
        MemoryInbox.__init__(self, self._check, reassembly_seconds)
        MemoryTokens.__init__(self, self._check)
        MemoryLearning.__init__(self, self._check)
        self.notes: list[tuple[str, str, str, str]] = []
        self.quality = MemoryQuality(self._verdicts, self.ledger, self._check)
        self.accounts = MemoryAccounts(self._check)
        self.digests = MemoryDigests(self._check, self.accounts.find_account)
        self.models = MemorySharedModels(self._check)
        self.rules = MemoryRules(self._check, self._message_of, self._sender_of)
        self.bin = MemoryBin(self._find, self._split, self._held, self._check)
        self.review = MemoryReview(self._verdicts, self._held, self.ledger, self._check, self._message_of)
        self.deeds = MemoryDeeds(self._verdicts, self.ledger, self.rules, self._check, self._message_of)

    def _check(self) -> datetime:
        if self.failure is not None:
            raise self.failure
        return self.clock.now()

    async def record(self, *verdicts: Verdict) -> None:
        """See ``ports.VerdictStore``."""
        self._check()
        self._verdicts |= {(verdict.id, verdict.recipients): row_of(verdict) for verdict in verdicts}
        self._scans |= {verdict.id: verdict.decision.scan for verdict in verdicts if verdict.decision.scan}

    async def hold(
        self,
        envelope: Envelope,
        raw: bytes,
        decision: Decision,
        *,
        pending: bool = False,
        policy: str = "",
        is_audit: bool = False,
    ) -> None:
        """See ``ports.VerdictStore``."""
        now = self._check()
        state = HeldState.PENDING if pending else HeldState.HELD
        addresses = tuple(r.address for r in envelope.recipients)
        outcome = Outcome(kind=OutcomeKind.HELD, reply=HELD)
        verdict = Verdict.of(envelope, len(raw), decision, outcome, {}, policy, is_audit=is_audit)
        self._verdicts[envelope.id, addresses] = row_of(verdict)
        is_sms = envelope.channel is Channel.SMS
        key = envelope.id if is_sms else (envelope.sender, addresses, raw, envelope.received_at.date())
        for known in self._held.values():
            if known.key == key:
                known.names.add(envelope.id)
                known.since = now
                if known.message.summary.state in {HeldState.PENDING, HeldState.ABORTED}:
                    known.move(state)
                return
        id = self._next_id(envelope.id)
        summary = summary_of(id, state, envelope, raw, decision)
        message = HeldMessage(summary=summary, envelope=envelope, raw=raw)
        self._held[id] = Held(message=message, names={envelope.id} if id == envelope.id else set(), key=key, since=now)

    async def settle(self, id: MessageId, state: HeldState) -> None:
        """See ``ports.VerdictStore``."""
        now = self._check()
        before = {HeldState.PENDING} | ({HeldState.ABORTED} if state is HeldState.HELD else set())
        for known in self._held.values():
            is_meant = id in known.names or known.message.envelope.id == id
            if is_meant and known.message.summary.state in before:
                known.move(state)
                known.since = now

    async def list_held(
        self, *, limit: int = 50, before: MessageId | None = None, channel: Channel | None = None, query: str = ""
    ) -> Sequence[HeldSummary]:
        """See ``ports.Quarantine``."""
        self._check()
        return await self.review.list_held(HeldQuery(limit=limit, before=before, channel=channel, text=query))

    async def held(self, id: MessageId, reach: Reach = EVERYBODY) -> HeldMessage:
        """See ``ports.Quarantine``."""
        self._check()
        known = self._find(id, reach)
        if known.message.summary.state is HeldState.DELETED:
            raise NotFound(f"message {id} was deleted")
        return part_of(known.message, reach)

    async def claim_release(
        self, id: MessageId, by: str, lease_seconds: float, reach: Reach = EVERYBODY
    ) -> HeldMessage:
        """See ``ports.Quarantine``."""
        now = self._check()
        known = self._find(id, reach)
        if not known.is_free(now):
            raise UsageError(f"message {id} is {known.message.summary.state}, not held")
        known = self._split(known, reach)
        known.move(HeldState.RELEASING)
        known.claimed_by, known.lease_until = by, now + timedelta(seconds=lease_seconds)
        return known.message

    async def finish_release(self, id: MessageId, by: str, *, delivered: bool) -> None:
        """See ``ports.Quarantine``."""
        self._check()
        known = self._find(id)
        state = known.message.summary.state
        is_releasing = state is HeldState.RELEASING
        if not (is_releasing and (delivered or known.claimed_by == by)) and not (delivered and state is HeldState.HELD):
            raise UsageError(f"message {id} is {state}, not being released")
        known.move(HeldState.RELEASED if delivered else HeldState.HELD)
        known.claimed_by, known.lease_until = "", None
        if delivered:
            known.key = None
            self.deeds.note(DeedKind.RELEASE, known.message.summary.id, by, known.message.envelope.id)

    async def delete_held(self, id: MessageId, by: str, reach: Reach = EVERYBODY) -> None:
        """See ``ports.Quarantine``."""
        now = self._check()
        known = self._find(id, reach)
        if not known.is_free(now) and known.message.summary.state is not HeldState.PENDING:
            raise UsageError(f"message {id} is {known.message.summary.state} and cannot be deleted")
        known = self._split(known, reach)
        known.move(HeldState.DELETED)
        known.key, known.claimed_by, known.since = None, by, now

    def _find(self, id: MessageId, reach: Reach = EVERYBODY) -> Held:
        known = [h for h in self._held.values() if h.message.summary.state is not HeldState.ABORTED]
        meant = [held for held in known if held.message.summary.id == id or id in held.names]
        whole = {held.message.envelope.id for held in meant}
        parts = [] if reach.is_everybody else [held for held in known if held.message.envelope.id in whole]
        for held in (*meant, *parts):
            if reach.is_everybody or reach.part_of(held.message.summary.recipients):
                return held
        raise NotFound(f"no held message {id}")

    def _split(self, known: Held, reach: Reach) -> Held:
        """The part of it within reach; the others keep its id, its names and its key."""
        inside, outside = part_of(known.message, reach), part_of(known.message, reach, is_inside=False)
        if not outside.summary.recipients:
            return known
        id = self._next_id(known.message.envelope.id)
        inside = replace(inside, summary=replace(inside.summary, id=id))
        self._held[id] = replace(known, message=inside, names=set(), key=None)
        known.message = outside
        return self._held[id]

    def _next_id(self, message: MessageId) -> MessageId:
        own = int(message, 16)
        parts = [int(id, 16) ^ own for id, held in self._held.items() if held.message.envelope.id == message]
        return MessageId(f"{own ^ (max(parts, default=-1) + 1):032x}")

    async def add_feedback(self, feedback: Feedback) -> bool:
        """See ``ports.FeedbackLedger``."""
        self._check()
        message = self._message_of(feedback.message_id)
        rows = await self.verdicts(message)
        return self.ledger.add(replace(feedback, message_id=message), rows)

    async def add_example(self, feedback: Feedback, scan: Scan, sender: str) -> bool:
        """See ``feedback_ports.ExampleLedger``."""
        self._check()
        self._scans.setdefault(feedback.message_id, scan)
        self._example_senders[feedback.message_id] = sender
        recipients = (address_key(feedback.recipient),) if feedback.recipient else ()
        return self.ledger.append(feedback, Channel.EMAIL, scan.fingerprint, "", recipients)

    async def revoke(self, labels: Labels, by: str, *, is_rehearsal: bool = False) -> Sequence[int]:
        """See ``ports.FeedbackLedger``."""
        now = self._check()
        if labels.is_empty:
            raise UsageError("say which labels to revoke")
        message = self._message_of(labels.message) if labels.message else None
        near = {row.fingerprint for row in await self.verdicts(labels.campaign)} if labels.campaign else None
        senders = self._example_senders | {id: row.sender for (id, _), row in self._verdicts.items()}
        return self.ledger.revoke(replace(labels, message=message), near, senders, by, now, is_rehearsal=is_rehearsal)

    async def note(self, event: str, target: str, by: str, note: str = "") -> None:
        """See ``model_ports.AuditTrail``."""
        self._check()
        self.notes.append((event, target, by, note))
        if event == "promoted":
            self.deeds.note(DeedKind.PROMOTION, target, by)

    async def verdicts(self, id: MessageId) -> Sequence[VerdictRow]:
        """See ``ports.FeedbackLedger``."""
        self._check()
        message = self._message_of(id)
        rows = tuple(row for (known, _), row in sorted(self._verdicts.items()) if known == message)
        if not rows:
            raise NotFound(f"no verdict {id}")
        return rows

    async def recent(self, *, limit: int = 50, channel: Channel | None = None) -> Sequence[VerdictRow]:
        """See ``ports.FeedbackLedger``."""
        self._check()
        rows = [row for row in self._verdicts.values() if channel in {None, row.channel}]
        return tuple(sorted(rows, key=lambda row: row.id, reverse=True)[:limit])

    def _message_of(self, id: MessageId) -> MessageId:
        if any(known == id for known, _ in self._verdicts):
            return id
        for own, known in self._held.items():
            if own == id or id in known.names:
                return known.message.envelope.id
        raise NotFound(f"no message {id}")

    def _sender_of(self, id: MessageId) -> str:
        return next((row.sender for (known, _), row in self._verdicts.items() if known == id), "")

    async def reap(self) -> int:
        """See ``ports.Upkeep``."""
        now = self._check()
        old = now - timedelta(hours=1)
        changed = 0
        for id, known in list(self._held.items()):
            state = known.message.summary.state
            if state is HeldState.PENDING and known.since < old:
                known.move(HeldState.HELD, detail="ack-unknown")
            elif state is HeldState.RELEASING and known.lease_until is not None and known.lease_until < now:
                known.move(HeldState.HELD)
            elif state is HeldState.ABORTED and known.since < old:
                del self._held[id]
            else:
                continue
            changed += 1
        return changed

    async def purge(self, now: datetime) -> Mapping[str, int]:
        """See ``ports.Upkeep``."""
        self._check()
        old = now - timedelta(days=self._keep_days)
        moving = {HeldState.PENDING, HeldState.RELEASING}
        verdicts = [key for key, row in self._verdicts.items() if row.received_at < old]
        held = [
            id
            for id, known in self._held.items()
            if known.message.summary.state not in moving and known.message.envelope.received_at < old
        ]
        kept = {
            known.message.envelope.id
            for id, known in self._held.items()
            if known.message.summary.state in {*moving, HeldState.HELD} and id not in held
        }
        sms = [
            id
            for id, known in self._sms.items()
            if known.state == "done" and known.parts[0].received_at < old and id not in kept
        ]
        feedback = self.ledger.drop(lambda given: given.given_at < old)
        deleted = [k for k in self._held.values() if k.message.summary.state is HeldState.DELETED and not k.is_gone]
        for known in deleted:
            known.is_gone = True
        tickets = self.digests.drop_tickets(now - timedelta(days=TICKET_DAYS))
        more = {"feedback": feedback, "rule": self.rules.purge(old), "deleted": len(deleted), "ticket": tickets}
        return self._drop(verdicts, held, sms) | more

    async def erase(self, address: str, by: str) -> Mapping[str, int]:  # noqa: ARG002  # nobody audits the memory
        """See ``ports.Upkeep``."""
        self._check()
        if not address.strip():
            raise UsageError("no address to erase")
        gone = address_key(address)
        before = {id for id, _ in self._verdicts}
        senders = self._example_senders | {id: row.sender for (id, _), row in self._verdicts.items()}
        verdicts = [key for key, row in self._verdicts.items() if address_key(row.sender) == gone or _all(row, gone)]
        held = [
            id
            for id, known in self._held.items()
            if address_key(known.message.envelope.sender) == gone or _all(known.message.summary, gone)
        ]
        sms = [
            id
            for id, known in self._sms.items()
            if gone in {address_key(known.parts[0].sender), address_key(known.parts[0].recipient)}
        ]
        counts = self._drop(verdicts, held, sms)
        counts["verdict"] += self._thin_verdicts(gone)
        counts["held"] += self._thin_held(gone)
        lost = before - {id for id, _ in self._verdicts}
        forgotten = self.ledger.forget(gone, senders)
        counts["feedback"] = forgotten + self.ledger.drop(
            lambda given: address_key(given.reporter) == gone or given.message_id in lost
        )
        counts["rule"] = self.rules.erase(gone, self.clock.now())
        return counts

    def _thin_verdicts(self, gone: str) -> int:
        shared = [(key, row) for key, row in self._verdicts.items() if gone in map(address_key, row.recipients)]
        for key, row in shared:
            left = tuple(r for r in row.recipients if address_key(r) != gone)
            self._verdicts[key] = replace(row, recipients=left)
        return len(shared)

    def _thin_held(self, gone: str) -> int:
        shared = [k for k in self._held.values() if gone in map(address_key, k.message.summary.recipients)]
        for known in shared:
            left = tuple(r for r in known.message.envelope.recipients if address_key(r.address) != gone)
            summary = replace(known.message.summary, recipients=tuple(r.address for r in left))
            known.message = replace(known.message, summary=summary, envelope=known.message.envelope.only(left))
        return len(shared)

    def _drop(
        self,
        verdicts: Sequence[tuple[MessageId, tuple[str, ...]]],
        held: Sequence[MessageId],
        sms: Sequence[MessageId],
    ) -> dict[str, int]:
        for key in verdicts:
            del self._verdicts[key]
        for id in held:
            del self._held[id]
        for id in sms:
            del self._sms[id]
        kept = {id for id, _ in self._verdicts} | self._example_senders.keys()
        inputs = [id for id, scan in self._scans.items() if id not in kept and scan.tokens]
        self._scans = {id: scan for id, scan in self._scans.items() if id in kept}
        return {"verdict": len(verdicts), "held": len(held), "scanned": len(inputs), "sms": len(sms)}

    async def count_held(self) -> int:
        """See ``ports.Upkeep``."""
        return await self.review.count_held(HeldQuery(limit=len(self._held)))

    async def ping(self) -> None:
        """See ``ports.Upkeep``."""
        self._check()

    def check_room(self) -> None:
        """See ``ports.Upkeep``."""
        if not self.has_room:
            raise StoreFull("no room")


def _all(row: VerdictRow | HeldSummary, gone: str) -> bool:
    return {address_key(r) for r in row.recipients} == {gone}
