"""Rows as a store would read them back."""

from __future__ import annotations

from filterd.core.envelope import Channel, Envelope, MessageId
from filterd.core.verdict import Decision, Verdict
from filterd.ports import (
    HeldState,
    HeldSummary,
    VerdictRow,
)


def row_of(verdict: Verdict) -> VerdictRow:
    """What is kept of a verdict."""
    decision, scan = verdict.decision, verdict.decision.scan
    return VerdictRow(
        id=verdict.id,
        channel=verdict.channel,
        received_at=verdict.received_at,
        sender=verdict.sender,
        recipients=verdict.recipients,
        peer=verdict.peer,
        size_bytes=verdict.size_bytes,
        action=decision.action,
        reason=decision.reason,
        detail=decision.detail,
        outcome=verdict.outcome.kind.value,
        reply_code=verdict.outcome.reply.code,
        probability=scan.probability if scan else None,
        logit=scan.logit if scan else None,
        threshold=decision.threshold,
        model=scan.model if scan else "",
        fingerprint=scan.fingerprint if scan else "",
        elapsed_seconds=verdict.elapsed_seconds,
        policy=verdict.policy,
        correction=scan.correction if scan else 0.0,
        reports=decision.reports,
        evidence=scan.evidence if scan else (),
        signals=scan.signals if scan else (),
        script=scan.script.value if scan else "",
        is_audit=verdict.is_audit,
    )


def summary_of(id: MessageId, state: HeldState, envelope: Envelope, raw: bytes, decision: Decision) -> HeldSummary:
    """A held message as lists show it."""
    found = raw.partition(b"\r\n\r\n")[0].lower().find(b"subject:")
    subject = raw[found + 8 :].split(b"\r\n", 1)[0].decode("utf-8", "replace").strip() if found >= 0 else ""
    return HeldSummary(
        id=id,
        channel=envelope.channel,
        state=state,
        received_at=envelope.received_at,
        sender=envelope.sender,
        recipients=tuple(r.address for r in envelope.recipients),
        subject=subject if envelope.channel is Channel.EMAIL else "",
        size_bytes=len(raw),
        action=decision.action,
        reason=decision.reason,
        detail=decision.detail,
        probability=decision.scan.probability if decision.scan else None,
        model=decision.scan.model if decision.scan else "",
    )
