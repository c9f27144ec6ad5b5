"""The composition root: the only place that constructs adapters. The process above the workers is in ``parent``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from filterd import log, parent, state
from filterd.bootstrap_mail import mail_edges, verifying
from filterd.bootstrap_sms import sms_parts
from filterd.calibration_keeper import CalibrationKeeper
from filterd.checking import Judge
from filterd.clock import SystemClock
from filterd.core.envelope import Channel
from filterd.core.headers import Stamp
from filterd.core.influence import Caps
from filterd.correction_keeper import CorrectionKeeper
from filterd.edges.smtp_reports import ReportDesk
from filterd.edges.webhooks.receive import Webhooks
from filterd.forking import Zygote
from filterd.fuzzy.campaigns import credits_of
from filterd.fuzzy.memory import ReportedMemory
from filterd.http_server import AsgiApp, Deferred, HttpEdge
from filterd.inference.online import SiteWeights
from filterd.inference.site_calibration import SiteCalibrations
from filterd.labeller import Labeller
from filterd.mail_reports import MailReports
from filterd.metrics import Metrics
from filterd.model_files import ModelFiles, sharing
from filterd.model_keeper import ModelKeeper
from filterd.pipeline import Pipeline, Settings
from filterd.policies import policies_of, version_of
from filterd.quality import QualityEstimates
from filterd.quality_keeper import QualityKeeper
from filterd.relay.smtp_client import SmtpRelay
from filterd.release import Releaser
from filterd.report_keeper import ReportKeeper
from filterd.report_spool import ReportSpool
from filterd.rule_keeper import RuleKeeper
from filterd.scan.pool import PoolSettings, ScannerPool
from filterd.server import Parts
from filterd.settings import Config
from filterd.store.bell import Bell, Pause
from filterd.store.engine import StorePoisoned, database_url
from filterd.store.sql import SqlStore, open_store
from filterd.store_keeper import StoreKeeper, has_room
from filterd.trial import TrialScanner
from filterd.verdict_buffer import VerdictBuffer

GAUGE_SECONDS = 5.0


def pipeline_settings(config: Config) -> Settings:
    """What the pipeline is told. Raises ConfigError."""
    return Settings(
        policies=policies_of(config),
        stamp=Stamp(
            hostname=config.smtp.hostname or socket.getfqdn(),
            trusted_authserv_ids=frozenset(name.lower() for name in config.smtp.trusted_authserv_ids),
            release_key=state.secret_of(config),
        ),
        scan_down=config.policy.scan_down,
        scan_down_defer_seconds=config.policy.scan_down_defer_seconds,
        is_tagging_when_store_down=config.policy.store_down == "tag",
        audit_ratio=config.learning.audit_ratio,
        policy_version=version_of(config),
    )


@asynccontextmanager
async def releasing(config: Config, store: SqlStore) -> AsyncIterator[Releaser]:
    """What releases held messages from the command line. Raises ConfigError."""
    stamp = pipeline_settings(config).stamp
    metrics = Metrics(CollectorRegistry())
    relay = SmtpRelay(config.smtp, metrics=metrics, hostname=stamp.hostname)
    try:
        yield _releaser(config, store, relay, lambda: stamp, metrics, parent.events_of(config))
    finally:
        await relay.close()


def _releaser(
    config: Config, store: SqlStore, relay: SmtpRelay, stamp: Callable[[], Stamp], metrics: Metrics, events: log.Events
) -> Releaser:
    return Releaser(
        quarantine=store,
        ledger=store,
        inbox=store,
        relay=relay,
        stamp=stamp,
        clock=SystemClock(),
        metrics=metrics,
        events=events,
        is_apart=config.smtp.next_hop_protocol == "lmtp",
    )


def _web(
    config: Config,
    store: SqlStore,
    releaser: Releaser,
    scanners: ScannerPool,
    judge: Judge,
    models: ModelFiles,
    estimates: QualityEstimates,
    probes: Mapping[str, Callable[[], bool]],
    metrics: Metrics,
    events: log.Events,
    webhooks: Webhooks,
) -> AsgiApp:
    # Loaded here: the framework takes a third of a worker's start and a fifth of its memory.
    from filterd.bootstrap_web import web_app
    from filterd.edges.webhooks.routes import routes
    from filterd.promotion import Promoter
    from filterd.traffic import TrafficBooks
    from filterd.web.figures import FigureParts
    from filterd.web.model_parts import ModelParts

    seen = ModelParts(
        registry=models.registry,
        pinned=models.pinned,
        serving=lambda: scanners.models,
        promoter=Promoter(models.registry, store, sharing(config, store.models).meet),
        books=store,
    )
    figures = FigureParts(
        traffic=TrafficBooks(store.review, SystemClock()),
        estimates=estimates,
        questions=store.quality,
        probes=probes,
    )
    return web_app(
        config, store, releaser, scanners, judge, seen, figures, metrics, events, routes(config.sms, webhooks)
    )


async def _digests(
    config: Config, store: SqlStore, relay: SmtpRelay, hostname: str, metrics: Metrics, events: log.Events
) -> None:
    """Send digests until cancelled."""
    from filterd.bootstrap_web import digest_keeper

    await digest_keeper(config, store, relay, hostname, metrics, events).watch()


async def build_worker(
    config: Config, stack: AsyncExitStack, *, has_chores: bool, zygote: Zygote | None = None
) -> Parts:
    """One worker's parts; ``stack`` ends what has a life of its own. Raises ConfigError.

    Scanners are forked from ``zygote`` where there is one.
    """
    clock, metrics, events = SystemClock(), Metrics(CollectorRegistry()), parent.events_of(config)
    settings = pipeline_settings(config)
    keeper = StoreKeeper(clock=clock, metrics=metrics, events=events, fatal=StorePoisoned)
    store = await stack.enter_async_context(open_store(config, clock=clock, on_state=keeper.note, is_migrating=False))
    await keeper.begin(store)
    models = ModelFiles(config)
    scanners = await stack.enter_async_context(
        ScannerPool(
            locate=models.locate,
            settings=_pool_settings(config),
            events=events,
            metrics=metrics,
            zygote=zygote,
        )
    )
    books = await stack.enter_async_context(VerdictBuffer(store, metrics=metrics, events=events))
    memory, correction = ReportedMemory(), SiteWeights()
    trial = TrialScanner(
        scanners,
        trials=models.trials,
        open_candidates=lambda ids: _candidates(config, models, ids, events, metrics, zygote),
        store=store,
        clock=clock,
        metrics=metrics,
        events=events,
    )
    stack.push_async_callback(trial.close)
    calibrations = SiteCalibrations(correction)
    pipeline = Pipeline(
        scanner=verifying(trial, config.dkim, clock=clock, metrics=metrics),
        store=books,
        clock=clock,
        metrics=metrics,
        events=events,
        settings=settings,
        memory=memory,
        correction=calibrations,
    )
    rules = RuleKeeper(store.rules, pipeline, clock=clock, metrics=metrics)
    await rules.try_refresh()
    reports = _report_keeper(config, store, scanners, memory, correction, calibrations, metrics)
    by_mail = Labeller(store, origin="mail", clock=clock, metrics=metrics, events=events)
    by_spool = Labeller(store, origin="spool", clock=clock, metrics=metrics, events=events)
    relay = SmtpRelay(config.smtp, metrics=metrics, hostname=settings.stamp.hostname)
    stack.push_async_callback(relay.close)
    mail = mail_edges(
        config,
        pipeline=pipeline,
        relay=relay,
        reports=ReportDesk(config.learning, MailReports(scanners, by_mail, events=events).take),
        store=store,
        has_room=lambda: has_room(store),
        clock=clock,
        metrics=metrics,
        events=events,
    )
    sms = await sms_parts(
        config.sms, stack, pipeline=pipeline, store=store, clock=clock, metrics=metrics, events=events
    )
    releaser = _releaser(config, store, relay, lambda: pipeline.settings.stamp, metrics, events)
    listening = (config.smtp, config.lmtp, config.milter, config.spamd, config.rspamd)
    channels = {Channel.EMAIL} if any(edge.listen for edge in listening) else set()
    channels |= {Channel.SMS} if sms.adapters else set()

    def can_score() -> bool:
        return channels <= set(scanners.models)

    probes: dict[str, Callable[[], bool]] = {"scanners": can_score, "store": lambda: keeper.is_up}
    estimates = QualityEstimates(store.quality, models=lambda: scanners.models, clock=clock)
    web = partial(
        _web,
        config,
        store,
        releaser,
        scanners,
        pipeline.judge,
        models,
        estimates,
        probes,
        metrics,
        events,
        sms.webhooks,
    )
    # Providers of SMS do not wait; whoever opens the page can.
    app: AsgiApp = web() if sms.adapters else Deferred(web)

    async def reload(new: Config) -> None:
        fresh = pipeline_settings(new)
        await models.follow(new, scanners)
        rules.configure(fresh)

    model_keeper = ModelKeeper(
        models.registry,
        scanners.reload,
        store,
        serving=lambda: scanners.models,
        clock=clock,
        metrics=metrics,
        events=events,
        is_rolling_back=models.is_rolling_back,
    )
    if not can_score():
        events.scan_state("down")
    bell = _bell(config)
    tasks: dict[str, Callable[[], Awaitable[None]]] = {
        "store": lambda: keeper.watch(store),
        "bell": bell.listen,
        "reports": lambda: reports.watch(Pause(bell)),
        "rules": lambda: rules.watch(Pause(bell)),
        "models": model_keeper.follow,
        "trial": trial.watch,
        "outbox": sms.outbox.run,
        "scanners": lambda: _show(metrics.scan_up, can_score),
    }
    tasks["quality"] = QualityKeeper(estimates, metrics=metrics).watch if has_chores else estimates.catch_up
    if has_chores:
        tasks["chores"] = lambda: keeper.chores(store)
        tasks["guard"] = model_keeper.guard
        tasks |= _shared_models(config, store, bell, events)
        if config.web.digest.sender:
            tasks["digests"] = partial(_digests, config, store, relay, settings.stamp.hostname, metrics, events)
        if config.learning.spool_dir:
            tasks["spool"] = ReportSpool(Path(config.learning.spool_dir), by_spool, clock=clock, events=events).watch
    return Parts(
        events=events,
        edges={**mail, "http": _http_edge(config, app, metrics, events)},
        tasks=tasks,
        probes=probes,
        is_broken=lambda: keeper.is_broken,
        reload=reload,
    )


def _shared_models(
    config: Config, store: SqlStore, bell: Bell, events: log.Events
) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """The task that agrees with other hosts, where there can be any."""
    shared = sharing(config, store.models)
    return {"shared models": lambda: shared.watch(Pause(bell), events)} if shared.has_others else {}


def _bell(config: Config) -> Bell:
    """What hears of changes in the database."""
    url = database_url(config.store.url.reveal(), config.server.state_dir)
    return Bell(url, timeout_seconds=config.store.timeout_seconds)


def _report_keeper(
    config: Config,
    store: SqlStore,
    scanners: ScannerPool,
    memory: ReportedMemory,
    correction: SiteWeights,
    calibrations: SiteCalibrations,
    metrics: Metrics,
) -> ReportKeeper:
    """What brings people's labels to bear on near copies, words and calibration."""
    learning = config.learning
    caps = Caps(
        reporter_daily=learning.reporter_daily, sender_daily=learning.sender_daily, campaign=learning.campaign_reports
    )
    return ReportKeeper(
        memory,
        store,
        weigh=partial(credits_of, caps=caps),
        followers=[
            CorrectionKeeper(correction, store, fresh=SiteWeights, models=lambda: scanners.models, metrics=metrics)
        ],
        polled=[CalibrationKeeper(calibrations, store.quality, models=lambda: scanners.models, metrics=metrics)],
        clock=SystemClock(),
        metrics=metrics,
        days=learning.memory_days,
        most=learning.memory_size,
    )


def _pool_settings(config: Config) -> PoolSettings:
    return PoolSettings.of(
        config.scan,
        trusted_authserv_ids=config.smtp.trusted_authserv_ids,
        max_signatures=config.dkim.max_signatures if config.dkim.verify else 0,
        keeps_inputs=config.store.input_retention_days > 0,
        is_explaining=config.store.keeps_words,
    )


def _candidates(
    config: Config,
    models: ModelFiles,
    ids: Mapping[Channel, str],
    events: log.Events,
    metrics: Metrics,
    zygote: Zygote | None,
) -> ScannerPool:
    """One scanner for the bundles on trial."""
    return ScannerPool(
        locate=lambda: models.candidates(ids),
        settings=replace(_pool_settings(config), scanners=1),
        events=events,
        metrics=metrics,
        is_in_service=False,
        zygote=zygote,
    )


async def _show(gauge: Gauge, is_up: Callable[[], bool]) -> None:
    """Keep ``gauge`` at 1 while it is up, until cancelled."""
    while True:
        gauge.set(int(is_up()))
        await asyncio.sleep(GAUGE_SECONDS)


def _http_edge(config: Config, app: AsgiApp, metrics: Metrics, events: log.Events) -> HttpEdge:
    def on_bug(error: BaseException) -> None:
        metrics.session_errors.labels("http").inc()
        events.session_failed("http", error)

    server = config.server
    return HttpEdge(app, certificate=server.http_tls_certificate, key=server.http_tls_key, on_bug=on_bug)
