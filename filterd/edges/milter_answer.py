"""What a mail server is told to do with a message, once the pipeline is done with it.

The mail server keeps the message, and its own reply to its client counts; ours is the custody of what it is told to
discard, which is durably held or taken by the next hop by then. ``docs/decisions/0013-milter.md`` has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from filterd.core.envelope import Envelope
from filterd.core.headers import Stamp
from filterd.core.milter_codec import CONTINUE, DISCARD, Header, delete_recipient, quarantine, reply_code
from filterd.core.milter_message import edits
from filterd.core.verdict import Reply, Verdict
from filterd.pipeline import Processed
from filterd.replies import HELD_BY_SERVER, LEFT_TO_SERVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A message as the mail server has shown it."""

    envelope: Envelope
    headers: tuple[Header, ...]
    arguments: tuple[bytes, ...]
    """Each recipient of the envelope as its client named it."""
    is_spaced: bool
    """Whether header values come with the space behind the colon."""


class Asking:
    """Implements ``milter_ports.MailServer`` for one message: its copy is for the first part that is handed on."""

    def __init__(self, *, is_holding: bool) -> None:
        self._is_holding = is_holding
        self._is_left = False

    def keep(self) -> Reply | None:
        """See ``milter_ports.MailServer``."""
        if self._is_left:
            return None
        self._is_left = True
        return LEFT_TO_SERVER

    def hold(self) -> Reply | None:
        """See ``milter_ports.MailServer``."""
        return HELD_BY_SERVER if self._is_holding else None


def answer(shown: Shown, processed: Processed, stamp: Stamp) -> bytes:
    """The frames that end the message."""
    if not processed.reply.is_positive:
        return reply_code(processed.reply)
    kept = next((v for v in processed.verdicts if _is_with_server(v.outcome.reply)), None)
    return DISCARD if kept is None else b"".join(_changes(shown, kept, stamp))


def _is_with_server(reply: Reply) -> bool:
    """Whether it is our own word for it: a next hop may say the same."""
    return reply is LEFT_TO_SERVER or reply is HELD_BY_SERVER


def _changes(shown: Shown, kept: Verdict, stamp: Stamp) -> Iterator[bytes]:
    """What becomes of the mail server's copy, which only the recipients of ``kept`` get."""
    yield from edits(shown.headers, shown.envelope, kept.decision, stamp, is_spaced=shown.is_spaced)
    for recipient, argument in zip(shown.envelope.recipients, shown.arguments, strict=True):
        if recipient.address not in kept.recipients:
            yield delete_recipient(argument)
    if kept.outcome.reply is HELD_BY_SERVER:
        yield quarantine(f"filterd: {kept.decision.reason.value} {kept.id}")
    yield CONTINUE
