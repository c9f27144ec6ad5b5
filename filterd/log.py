"""structlog set-up, and one function per event an operator reads.

Never a body, subject, full address or phone number: an address is logged as its domain and a keyed hash, so that
lines about one person can be joined without naming them. ``docs/events.md`` lists every event and field.
"""

from __future__ import annotations

import hmac
import logging
import sys
from collections.abc import Sequence
from typing import Any, Literal

import structlog

from filterd.core.envelope import domain_of
from filterd.core.overlay import ListEntry
from filterd.core.verdict import Feedback, Verdict
from filterd.rule_ports import GivenRule

Logger = structlog.typing.FilteringBoundLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(form: Literal["auto", "json", "console"], level: str, **bound: Any) -> None:
    """Set up logging for this process, on standard error; ``bound`` goes on every line (process, worker)."""
    is_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if is_console else structlog.processors.JSONRenderer(sort_keys=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_to_standard_error,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)
    # aiosmtpd logs commands at INFO and message lines at DEBUG; asyncio and uvicorn log exceptions with arguments.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


def _to_standard_error(*_names: Any) -> structlog.WriteLogger:
    """A logger on what standard error is when it is first used.

    A line and its end are one write: the processes share the file, and print would let them into each other's lines.
    """
    return structlog.WriteLogger(sys.stderr)


def get_logger() -> Logger:
    """The process's logger."""
    logger: Logger = structlog.get_logger()
    return logger


class AddressMask:
    """Turns addresses and numbers into something that may be logged."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, address: str) -> str:
        """``example.org:1f0c9a2e77`` - the domain (``sms`` for a number) and a keyed hash of the whole."""
        if not address:
            return "<>"
        digest = hmac.digest(self._key, address.lower().encode("utf-8", "surrogateescape"), "sha256")
        return f"{domain_of(address) or 'sms'}:{digest.hex()[:10]}"


class Events:
    """Everything filterd reports, one method per event."""

    def __init__(self, logger: Logger, mask: AddressMask) -> None:
        self._log = logger
        self._mask = mask

    def judged(self, verdict: Verdict) -> None:
        """The one line per message."""
        decision, scan = verdict.decision, verdict.decision.scan
        self._log.info(
            "message.judged",
            id=verdict.id,
            queue_id=verdict.queue_id or None,
            channel=verdict.channel.value,
            action=decision.action.value,
            reason=decision.reason.value,
            outcome=verdict.outcome.kind.value,
            code=verdict.outcome.reply.code,
            probability=round(scan.probability, 3) if scan else None,
            model=scan.model if scan else None,
            sender=self._mask(verdict.sender),
            recipients=len(verdict.recipients),
            peer=verdict.peer,
            size_bytes=verdict.size_bytes,
            ambiguous=verdict.outcome.ambiguous,
            seconds={stage: round(seconds, 4) for stage, seconds in verdict.timings.items()},
        )

    def record_failed(self, id: str, error: str) -> None:
        """A verdict could not be stored; the message itself is safe."""
        self._log.warning("verdict.record_failed", id=id, error=error)

    def hold_failed(self, id: str, error: str) -> None:
        """A message could not be held; its sender was asked to try again."""
        self._log.error("quarantine.hold_failed", id=id, error=error)

    def scan_failed(self, id: str, kind: str, error: str) -> None:
        """A message could not be scored."""
        self._log.warning("scan.failed", id=id, kind=kind, error=error)

    def scan_state(self, state: str) -> None:
        """Scanning as a whole went ``down``, or is back ``up``."""
        self._log.warning("scan.state", state=state)

    def scanner_replaced(self, why: str, pid: int) -> None:
        """A scanner process was killed or died, and another one started."""
        self._log.warning("scanner.replaced", why=why, pid=pid)

    def zygote_lost(self) -> None:
        """The process that others are forked from died; until a restart they start afresh, later and larger."""
        self._log.warning("zygote.lost")

    def relay_failed(self, id: str, error: str, ambiguous: bool) -> None:
        """The next hop could not be reached or fell silent."""
        self._log.warning("relay.failed", id=id, error=error, ambiguous=ambiguous)

    def session_failed(self, id: str, error: BaseException) -> None:
        """A bug: an exception nothing else caught. The sender was asked to try again."""
        self._log.error("session.failed", id=id, error=type(error).__name__, exc_info=_traceback_only(error))

    def milter_broken(self, error: str) -> None:
        """A mail server broke the milter protocol, or does not offer what is needed; its default action decides."""
        self._log.error("milter.broken", error=error)

    def listening(self, edge: str, address: str) -> None:
        """A socket is open."""
        self._log.info("edge.listening", edge=edge, address=address)

    def started(self, version: str, workers: int, config: str) -> None:
        """The daemon accepts messages."""
        self._log.info("server.started", version=version, workers=workers, config=config)

    def stopping(self, why: str) -> None:
        """The daemon drains."""
        self._log.info("server.stopping", why=why)

    def stopped(self, abandoned: int) -> None:
        """The daemon has drained; ``abandoned`` sessions were cut."""
        self._log.info("server.stopped", abandoned=abandoned)

    def reloaded(self, result: str, detail: str) -> None:
        """Policy and model were read again."""
        self._log.info("server.reloaded", result=result, detail=detail)

    def worker_exited(self, worker: str, code: int, restart_seconds: float) -> None:
        """A worker died and will be restarted."""
        self._log.error("worker.exited", worker=worker, code=code, restart_seconds=restart_seconds)

    def model_loaded(self, channel: str, model: str) -> None:
        """A bundle is in service."""
        self._log.info("model.loaded", channel=channel, model=model)

    def model_refused(self, channel: str, error: str) -> None:
        """A bundle was refused; the one in service stays."""
        self._log.error("model.refused", channel=channel, error=error)

    def registry_state(self, part: str, error: str) -> None:
        """``pointers``, ``trials`` or ``shared models`` cannot be followed; ``error`` is empty when they can again."""
        self._log.warning("registry.state", part=part, error=error)

    def model_taken_back(self, channel: str, model: str, why: str) -> None:
        """A bundle did much worse with people than the one before it and serves no longer."""
        self._log.error("model.taken_back", channel=channel, model=model, why=why)

    def released(self, id: str, by: str, delivered: bool) -> None:
        """A person released a held message."""
        self._log.info("quarantine.released", id=id, by=self._name(by), delivered=delivered)

    def sign_in(self, name: str, result: str) -> None:
        """Somebody signed in (``opened``), was ``refused``, or has to wait (``throttled``)."""
        self._log.info("sign_in", account=self._name(name), result=result)

    def provider_refused(self, why: str) -> None:
        """Whoever came back from the OpenID provider was not let in."""
        self._log.warning("sign_in.provider_refused", why=why)

    def provider_failed(self, error: str) -> None:
        """The OpenID provider did not answer as it should."""
        self._log.warning("sign_in.provider_failed", error=error)

    def deleted(self, id: str, by: str) -> None:
        """A person deleted a held message."""
        self._log.info("quarantine.deleted", id=id, by=self._name(by))

    def digest_sent(self, account: str, mail: str, messages: int) -> None:
        """A digest was handed to the next hop."""
        self._log.info("digest.sent", account=self._name(account), mail=mail, messages=messages)

    def digest_failed(self, account: str, mail: str, error: str, retry_seconds: float) -> None:
        """A digest was not taken by the next hop; it will be tried again, or the next one tells of the same."""
        self._log.warning(
            "digest.failed", account=self._name(account), mail=mail, error=error, retry_seconds=retry_seconds
        )

    def digest_link_used(self, id: str, account: str, verb: str, result: str) -> None:
        """Somebody pressed the button behind a link of a digest."""
        self._log.info("digest.link_used", id=id, account=self._name(account), verb=verb, result=result)

    def feedback(self, feedback: Feedback, is_new: bool) -> None:
        """A person labelled a message."""
        self._log.info(
            "feedback.added",
            id=feedback.message_id,
            label=feedback.label.value,
            reporter=self._name(feedback.reporter),
            origin=feedback.origin,
            new=is_new,
        )

    def rule_given(self, id: int, given: GivenRule) -> None:
        """A person allowed or blocked a sender, or set thresholds."""
        self._log.info(
            "rule.given",
            id=id,
            kind=given.rule.kind.value if isinstance(given.rule, ListEntry) else "thresholds",
            scope=self._name(given.rule.scope) or "everybody",
            by=self._name(given.by),
            origin=given.origin.value,
        )

    def rules_revoked(self, ids: Sequence[int], by: str) -> None:
        """A person took rules back."""
        self._log.info("rule.revoked", ids=list(ids), by=self._name(by))

    def undone(self, by: str, labels: int, rules: int, releases: int, promotions: Sequence[str]) -> None:
        """A person took back labels, rules, releases or promotions."""
        self._log.warning(
            "deeds.undone",
            by=self._name(by),
            labels=labels,
            rules=rules,
            releases=releases,
            promotions=list(promotions),
        )

    def report_refused(self, id: str, sender: str, peer: str) -> None:
        """Somebody whose reports are not believed wrote to a report address, or told us by spamd or rspamd."""
        self._log.warning("report.refused", id=id, sender=self._mask(sender), peer=peer)

    def report_unread(self, id: str, origin: str, why: str) -> None:
        """A report names no message of ours; from the spool it went to ``failed``."""
        self._log.warning("report.unread", id=id, origin=origin, why=why)

    def report_failed(self, id: str, origin: str, error: str) -> None:
        """A report could not be written down, or not be tidied up; it will be tried again."""
        self._log.warning("report.failed", id=id, origin=origin, error=error)

    def webhook_refused(self, provider: str, error: str) -> None:
        """A webhook call was not accepted."""
        self._log.warning("webhook.refused", provider=provider, error=error)

    def forward_failed(self, id: str, provider: str, error: str, retry_seconds: float) -> None:
        """An SMS could not be handed to the customer's URL; it stays in the outbox."""
        self._log.warning("sms.forward_failed", id=id, provider=provider, error=error, retry_seconds=retry_seconds)

    def purged(self, counts: dict[str, int]) -> None:
        """The retention job deleted rows."""
        self._log.info("store.purged", **counts)

    def store_state(self, is_up: bool, error: str) -> None:
        """The database went away or came back."""
        self._log.warning("store.state", up=is_up, error=error)

    def _name(self, name: str) -> str:
        """A person's name or a scope; masked where it is an address or number."""
        return self._mask(name) if "@" in name or name.isdigit() else name


def _traceback_only(error: BaseException) -> tuple[type[BaseException], BaseException, Any]:
    """The traceback with the exception's text left out: it may hold message content."""
    bare = RuntimeError(type(error).__name__)
    return (RuntimeError, bare, error.__traceback__)
