"""Held messages as rows: what is written when one is held, and what is read again.

A row is for the recipients of one decision. Within a reach it is read without the others.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header
from typing import Any

from sqlalchemy import Row

from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel, Envelope, MessageId, Peer, Recipient
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Verdict
from filterd.errors import NotFound, StoreUnavailable
from filterd.ports import HeldMessage, HeldState, HeldSummary
from filterd.replies import HELD
from filterd.store import verdicts
from filterd.store.schema import lookup_key, only_key

SUBJECT_CHARS = 200
_SUBJECT_BYTES = 1_024
_HEADER_BYTES = 65_536
_COMPRESSION = 1
"""zlib level: the next levels save a few percent and cost twice the time."""
_SUBJECT = re.compile(rb"(?im)^subject[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHeld:
    """The rows of a message to hold."""

    held: dict[str, Any]
    verdict: dict[str, Any]


def prepare(
    envelope: Envelope,
    raw: bytes,
    decision: Decision,
    *,
    pending: bool,
    now: datetime,
    policy: str = "",
    is_audit: bool = False,
) -> NewHeld:
    """Everything about a message that costs processor time; for a large one, call it in a thread.

    The pipeline writes the verdict again, with its timings.
    """
    addresses = tuple(r.address for r in envelope.recipients)
    subject = subject_of(raw) if envelope.channel is Channel.EMAIL else ""
    held = {
        "id": envelope.id,
        "message_id": envelope.id,
        "retry_key": retry_key(envelope, raw),
        "channel": envelope.channel.value,
        "state": (HeldState.PENDING if pending else HeldState.HELD).value,
        "state_at": now,
        "received_at": envelope.received_at,
        "sender": envelope.sender,
        "sender_key": lookup_key(envelope.sender),
        "recipients": list(addresses),
        "recipient_key": only_key(addresses),
        "subject": subject,
        "search": search_text(envelope.sender, addresses, subject),
        "size_bytes": len(raw),
        "action": decision.action.value,
        "reason": decision.reason.value,
        "detail": decision.detail,
        "probability": decision.scan.probability if decision.scan else None,
        "model": decision.scan.model if decision.scan else "",
        "envelope": tree_from(envelope),
        "claimed_by": "",
        "body": zlib.compress(raw, _COMPRESSION),
    }
    outcome = Outcome(kind=OutcomeKind.HELD, reply=HELD)
    verdict = Verdict.of(envelope, len(raw), decision, outcome, {}, policy, is_audit=is_audit)
    return NewHeld(held=held, verdict=verdicts.row_from(verdict))


def search_text(sender: str, recipients: Sequence[str], subject: str) -> str:
    """What a message is found by: who looks for it by one of several recipients must not learn of the others."""
    only = recipients if len(recipients) == 1 else ()
    return "\n".join((sender, *only, subject)).lower()


def retry_key(envelope: Envelope, raw: bytes) -> str:
    """The same for a sender's retry within a day. An SMS provider repeats its own id instead of the content."""
    digest = hashlib.sha256()
    addresses = (envelope.sender, *(r.address for r in envelope.recipients))
    parts = (envelope.id,) if envelope.channel is Channel.SMS else (*addresses, f"{envelope.received_at:%Y%m%d}")
    for part in (envelope.channel.value, *parts):
        octets = part.encode("utf-8", "surrogatepass")
        digest.update(len(octets).to_bytes(8, "big") + octets)
    if envelope.channel is not Channel.SMS:
        digest.update(raw)
    return digest.hexdigest()


def subject_of(raw: bytes) -> str:
    """The first 200 printable characters of the subject, encoded words decoded (RFC 2047) as far as they can be.

    Reads 64 KiB for the header and 1 KiB of it: hostile input costs no more than that.
    """
    end = re.search(rb"\r?\n\r?\n", raw[:_HEADER_BYTES])
    found = _SUBJECT.search(raw[: end.start() if end else _HEADER_BYTES])
    if found is None:
        return ""
    text = found.group(1)[:_SUBJECT_BYTES].decode("utf-8", "replace")
    unfolded = " ".join(text.split())
    return "".join(c if c.isprintable() else " " for c in _decoded(unfolded))[:SUBJECT_CHARS].strip()


def _decoded(text: str) -> str:
    try:
        pieces = decode_header(text)
        return "".join(p if isinstance(p, str) else p.decode(charset or "latin-1", "replace") for p, charset in pieces)
    except (HeaderParseError, LookupError, ValueError):
        return text


def tree_from(envelope: Envelope) -> dict[str, Any]:
    """The envelope as a tree of plain values."""
    peer = envelope.peer
    return {
        "id": envelope.id,
        "channel": envelope.channel.value,
        "sender": envelope.sender,
        "recipients": [[r.address, list(r.parameters)] for r in envelope.recipients],
        "received_at": envelope.received_at.isoformat(),
        "peer": [peer.address, peer.port, peer.name, peer.helo, peer.protocol, peer.login],
        "parameters": list(envelope.parameters),
    }


def envelope_from(tree: dict[str, Any]) -> Envelope:
    """The envelope in ``tree``."""
    address, port, name, helo, protocol, login = tree["peer"]
    return Envelope(
        id=MessageId(tree["id"]),
        channel=Channel(tree["channel"]),
        sender=tree["sender"],
        recipients=tuple(Recipient(address=a, parameters=tuple(p)) for a, p in tree["recipients"]),
        received_at=datetime.fromisoformat(tree["received_at"]),
        peer=Peer(address=address, port=port, name=name, helo=helo, protocol=protocol, login=login),
        parameters=tuple(tree["parameters"]),
    )


def summary_from(row: Row[Any], reach: Reach = EVERYBODY) -> HeldSummary:
    """The list entry in ``row``, with the recipients within ``reach``."""
    return HeldSummary(
        id=MessageId(row.id),
        channel=Channel(row.channel),
        state=HeldState(row.state),
        received_at=row.received_at,
        sender=row.sender,
        recipients=reach.part_of(row.recipients),
        subject=row.subject,
        size_bytes=row.size_bytes,
        action=Action(row.action),
        reason=Reason(row.reason),
        detail=row.detail,
        probability=row.probability,
        model=row.model,
    )


def message_from(row: Row[Any], reach: Reach = EVERYBODY) -> HeldMessage:
    """The whole held message in ``row``, for the recipients within ``reach``. Raises NotFound when its body is gone."""
    if row.body is None or row.state == HeldState.DELETED.value:
        raise NotFound(f"message {row.id} was deleted")
    # The size was written by us: what comes out is never larger than what went in.
    inflated = zlib.decompressobj()
    raw = inflated.decompress(row.body, row.size_bytes or 1)
    if len(raw) != row.size_bytes:
        raise StoreUnavailable(f"the stored body of {row.id} is damaged")
    envelope = envelope_from(row.envelope)
    return HeldMessage(summary=summary_from(row, reach), envelope=part_within(envelope, reach), raw=raw)


def part_within(envelope: Envelope, reach: Reach) -> Envelope:
    """The envelope for its recipients within ``reach``."""
    return envelope.only(tuple(r for r in envelope.recipients if reach.covers(r.address)))
