"""Puts the mail edges together: one for each protocol that a mail server can speak to us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from filterd.adviser import Adviser
from filterd.core.envelope import Channel
from filterd.core.verdict import Action
from filterd.edge_settings import DkimSettings
from filterd.edges.limits import Budget, Sessions
from filterd.edges.lmtp import LmtpEdge
from filterd.edges.milter import MilterEdge
from filterd.edges.smtp import Process, SmtpEdge
from filterd.edges.smtp_reports import ReportDesk
from filterd.edges.spamd import SpamdEdge
from filterd.edges.spamd_session import SpamdDesk
from filterd.errors import ConfigError
from filterd.http_server import AsgiApp, Deferred, HttpEdge
from filterd.labeller import Labeller
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline
from filterd.ports import Clock, NextHop, Scanner
from filterd.server import Edge
from filterd.settings import Config
from filterd.store.sql import SqlStore

MOST_COUNTED = 100_000
"""Messages that ``rspamc stat`` counts, the first ones since the worker began."""


def verifying(scanner: Scanner, settings: DkimSettings, *, clock: Clock, metrics: Metrics) -> Scanner:
    """The scanner, and around it what verifies DKIM signatures, where that is wanted. Raises ConfigError."""
    if not settings.verify:
        return scanner
    try:
        from filterd.dkim.names import Names
    except ModuleNotFoundError as exc:
        raise ConfigError(f"dkim.verify needs {exc.name}: install filterd[dkim]") from exc
    from filterd.dkim.verifying import VerifyingScanner

    places = (place.rpartition(":") for place in settings.name_servers)
    try:
        records = Names([(host.strip("[]"), int(port)) for host, _, port in places], settings.timeout_seconds)
    except OSError as exc:
        raise ConfigError(f"dkim.name_servers: {exc}") from exc
    return VerifyingScanner(scanner, records, timeout_seconds=settings.timeout_seconds, clock=clock, metrics=metrics)


def mail_edges(
    config: Config,
    *,
    pipeline: Pipeline,
    relay: NextHop,
    reports: ReportDesk,
    store: SqlStore,
    has_room: Callable[[], bool],
    clock: Clock,
    metrics: Metrics,
    events: Events,
) -> dict[str, Edge]:
    """The edges by the name of their listeners. Raises ConfigError."""
    settings = config.smtp
    sessions = Sessions(settings.max_sessions, settings.max_sessions_per_address)
    budget = Budget(settings.max_in_flight_bytes)

    def edge(kind: type[SmtpEdge], process: Process) -> SmtpEdge:
        return kind(
            settings,
            process=process,
            next_hop=relay,
            clock=clock,
            metrics=metrics,
            events=events,
            hostname=pipeline.settings.stamp.hostname,
            has_room=has_room,
            reports=reports,
            sessions=sessions,
            budget=budget,
        )

    milter = MilterEdge(
        config.milter,
        process=pipeline.process,
        next_hop=relay,
        stamp=lambda: pipeline.settings.stamp,
        clock=clock,
        metrics=metrics,
        events=events,
    )
    return {
        "smtp": edge(SmtpEdge, pipeline.process),
        "lmtp": edge(LmtpEdge, pipeline.process_each),
        "milter": milter,
        "spamd": _spamd(config, pipeline, store, budget, clock, metrics, events),
        "rspamd": _rspamd(config, pipeline, store, budget, clock, metrics, events),
    }


def _spamd(
    config: Config,
    pipeline: Pipeline,
    store: SqlStore,
    budget: Budget,
    clock: Clock,
    metrics: Metrics,
    events: Events,
) -> SpamdEdge:
    labeller = Labeller(store, origin="spamd", clock=clock, metrics=metrics, events=events)
    adviser = Adviser(pipeline, labeller, store, clock=clock, most_bytes=config.smtp.max_message_bytes)
    return SpamdEdge(
        config.spamd,
        SpamdDesk(adviser=adviser, labeller=labeller, stamp=pipeline.settings.stamp),
        budget=budget,
        metrics=metrics,
        events=events,
    )


def _rspamd(
    config: Config,
    pipeline: Pipeline,
    store: SqlStore,
    budget: Budget,
    clock: Clock,
    metrics: Metrics,
    events: Events,
) -> HttpEdge:
    labeller = Labeller(store, origin="rspamd", clock=clock, metrics=metrics, events=events)
    started = clock.now()

    async def counts() -> Counter[Action]:
        found: Counter[Action] = Counter()
        for tally in await store.quality.tally(started, clock.now(), most=MOST_COUNTED):
            found[tally.action] += tally.count if tally.channel is Channel.EMAIL else 0
        return found

    def app() -> AsgiApp:
        # Loaded when it is first asked: the framework takes a third of a worker's start.
        from filterd.edges.rspamd import RspamdParts, rspamd_app

        parts = RspamdParts(
            adviser=Adviser(pipeline, labeller, store, clock=clock, most_bytes=config.smtp.max_message_bytes),
            labeller=labeller,
            budget=budget,
            counts=counts,
            metrics=metrics,
            events=events,
        )
        return rspamd_app(config.rspamd, parts)

    def on_bug(error: BaseException) -> None:
        metrics.session_errors.labels("rspamd").inc()
        events.session_failed("rspamd", error)

    return HttpEdge(Deferred(app), on_bug=on_bug)
