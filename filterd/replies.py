"""Reply codes: the only place that knows them (RFC 5321 section 4.2, RFC 3463).

Texts are for strangers: no rule, threshold, probability, address or exception text.
"""

from __future__ import annotations

from filterd.core.verdict import Label, Outcome, OutcomeKind, Reply
from filterd.errors import (
    BareNewline,
    CredentialsMissing,
    FilterdError,
    MailLoop,
    MessageError,
    MessageTooLarge,
    Overloaded,
    PayloadInvalid,
    RelayAmbiguous,
    RelayUnavailable,
    SignatureInvalid,
    StoreFull,
)

HELD = Reply(code=250, enhanced="2.0.0", lines=("Ok, held for review",))
TOLD = Reply(code=250, enhanced="2.0.0", lines=("Ok, the client decides",))
"""Stands in the verdict on a message that a client only asked about."""
LEFT_TO_SERVER = Reply(code=250, enhanced="2.0.0", lines=("Ok, left to the mail server",))
"""Of a milter: the mail server goes on with the message, and its own reply counts."""
HELD_BY_SERVER = Reply(code=250, enhanced="2.0.0", lines=("Ok, held by the mail server",))
REFUSED_BY_POLICY = Reply(code=550, enhanced="5.7.1", lines=("Message refused by content policy",))
DEFERRED_BY_POLICY = Reply(code=451, enhanced="4.7.1", lines=("Temporary error, try again later",))
TEMPORARY = Reply(code=451, enhanced="4.3.0", lines=("Temporary error, try again later",))
NEXT_HOP_CLOSED = Reply(code=451, enhanced="4.4.2", lines=("Connection to next hop lost",))
UTF8_NOT_POSSIBLE = Reply(code=553, enhanced="5.6.7", lines=("Next hop does not take UTF-8 addresses",))
SHUTTING_DOWN = Reply(code=421, enhanced="4.3.2", lines=("Service shutting down, try again later",))

REPORT_UNREADABLE = Reply(
    code=550, enhanced="5.6.0", lines=("Report cannot be read: attach the message, or at most 100 of them",)
)
REPORT_UNDECIDED = Reply(code=550, enhanced="5.6.0", lines=("Report says neither spam nor ham",))

_REPLIES: tuple[tuple[type[FilterdError], int, str], ...] = (
    (MessageTooLarge, 552, "5.3.4"),
    (BareNewline, 550, "5.5.2"),
    (MailLoop, 554, "5.4.6"),
    (MessageError, 550, "5.6.0"),
    (StoreFull, 452, "4.3.1"),
    (RelayUnavailable, 451, "4.4.1"),
    (RelayAmbiguous, 451, "4.4.2"),
    (Overloaded, 452, "4.3.2"),
)

_HTTP = ((SignatureInvalid, 403), (CredentialsMissing, 401), (PayloadInvalid, 422), (MessageError, 413))


def smtp_reply(error: BaseException) -> Reply:
    """What an SMTP client hears about ``error``; 451 for everything that is not its own fault."""
    for kind, code, enhanced in _REPLIES:
        if isinstance(error, kind):
            return Reply(code=code, enhanced=enhanced, lines=(error.public.capitalize(),))
    return TEMPORARY


def report_kept(count: int, label: Label, unknown: int) -> Reply:
    """What a reporter hears: ``count`` messages were labelled, ``unknown`` are none of ours."""
    rest = f", {unknown} did not pass this filter" if unknown else ""
    return Reply(code=250, enhanced="2.0.0", lines=(f"Ok, {count} reported as {label.value}{rest}",))


def report_names_nothing(*, is_attached: bool) -> Reply:
    """What a reporter hears whose report has no message of ours in it."""
    text = (
        "The message in this report did not pass this filter, or is forgotten"
        if is_attached
        else "No message in this report: forward it as an attachment"
    )
    return Reply(code=550, enhanced="5.6.0", lines=(text,))


def outcome_of(error: FilterdError) -> Outcome:
    """The outcome that ``error`` of ours, or of the sender, means for a message."""
    reply = smtp_reply(error)
    kind = OutcomeKind.REFUSED if reply.is_permanent else OutcomeKind.DEFERRED
    return Outcome(kind=kind, reply=reply, ambiguous=isinstance(error, RelayAmbiguous))


def http_status(error: BaseException) -> int:
    """What a webhook caller hears about ``error``; 503, which makes providers try again, for faults of ours."""
    return next((status for kind, status in _HTTP if isinstance(error, kind)), 503)
