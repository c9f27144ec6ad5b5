"""The composition root: the only place that constructs adapters."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from filterd import __version__, log, preflight, state
from filterd import config as configuration
from filterd.admin import AdminApp
from filterd.calibration_keeper import CalibrationKeeper
from filterd.clock import SystemClock
from filterd.config import Loaded
from filterd.core.envelope import Channel
from filterd.core.headers import Stamp
from filterd.core.influence import Caps
from filterd.correction_keeper import CorrectionKeeper
from filterd.edges.smtp import SmtpEdge
from filterd.edges.webhooks.judge import SmsJudge
from filterd.edges.webhooks.outbox import Outbox
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.receive import Webhooks
from filterd.edges.webhooks.routes import routes
from filterd.errors import BundleError, ConfigError
from filterd.fuzzy.campaigns import weights
from filterd.fuzzy.memory import ReportedMemory
from filterd.http_server import AsgiApp, HttpEdge
from filterd.inference.online import SiteWeights
from filterd.inference.registry import Registry, packaged_models
from filterd.inference.site_calibration import SiteCalibrations
from filterd.listeners import Listener
from filterd.metrics import Metrics, SupervisorMetrics
from filterd.notify import Notifier
from filterd.pipeline import Pipeline, Settings
from filterd.policies import policies_of, version_of
from filterd.quality_keeper import QualityKeeper
from filterd.relay.http import HttpForwarder
from filterd.relay.smtp_client import SmtpRelay
from filterd.release import Releaser
from filterd.report_keeper import ReportKeeper
from filterd.scan.pool import PoolSettings, ScannerPool
from filterd.server import Parts
from filterd.settings import Config
from filterd.store.engine import StorePoisoned, database_url
from filterd.store.sql import SqlStore, open_store
from filterd.store_keeper import StoreKeeper, has_room
from filterd.supervisor import Supervisor
from filterd.verdict_buffer import VerdictBuffer
from filterd.web.api import ApiParts
from filterd.web.app import build_app
from filterd.worker_process import WorkerProcess

GAUGE_SECONDS = 5.0
_METRICS_FOLDER = "metrics"


def check(config: Config) -> None:
    """Raises ConfigError, in one line, for everything that would stop the daemon from serving well."""
    preflight.check(config)
    adapters_of(config.sms)
    database_url(config.store.url.reveal(), config.server.state_dir)
    state.prepare(config)
    state.secret_of(config)


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


def events_of(config: Config) -> log.Events:
    """The log, with the installation's own key for addresses. Raises ConfigError."""
    return log.Events(log.get_logger(), log.AddressMask(state.secret_of(config)))


def registry_of(config: Config) -> Registry:
    """The bundles on disk."""
    folder = config.models.directory or Path(config.server.state_dir) / "models"
    return Registry(Path(folder), packaged_models())


@asynccontextmanager
async def releasing(config: Config, store: SqlStore) -> AsyncIterator[Releaser]:
    """What releases held messages from the command line. Raises ConfigError."""
    stamp = pipeline_settings(config).stamp
    metrics = Metrics(CollectorRegistry())
    relay = SmtpRelay(config.smtp, metrics=metrics, hostname=stamp.hostname)
    try:
        yield _releaser(store, relay, lambda: stamp, metrics, events_of(config))
    finally:
        await relay.close()


def _releaser(
    store: SqlStore, relay: SmtpRelay, stamp: Callable[[], Stamp], metrics: Metrics, events: log.Events
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
    )


def _api_parts(store: SqlStore, releaser: Releaser, metrics: Metrics, events: log.Events) -> ApiParts:
    return ApiParts(
        quarantine=store,
        ledger=store,
        tokens=store,
        questions=store.quality,
        releaser=releaser,
        clock=SystemClock(),
        metrics=metrics,
        events=events,
    )


async def build_worker(config: Config, stack: AsyncExitStack, *, has_chores: bool) -> Parts:
    """One worker's parts; ``stack`` ends what has a life of its own. Raises ConfigError."""
    clock, metrics, events = SystemClock(), Metrics(CollectorRegistry()), events_of(config)
    settings = pipeline_settings(config)
    keeper = StoreKeeper(clock=clock, metrics=metrics, events=events, fatal=StorePoisoned)
    store = await stack.enter_async_context(open_store(config, clock=clock, on_state=keeper.note, is_migrating=False))
    await keeper.begin(store)
    models = _Models(config)
    scanners = await stack.enter_async_context(
        ScannerPool(
            locate=models.locate,
            settings=PoolSettings.of(config.scan, keeps_inputs=config.store.input_retention_days > 0),
            events=events,
            metrics=metrics,
        )
    )
    books = await stack.enter_async_context(VerdictBuffer(store, metrics=metrics, events=events))
    memory, correction = ReportedMemory(), SiteWeights()
    calibrations = SiteCalibrations(correction)
    pipeline = Pipeline(
        scanner=scanners,
        store=books,
        clock=clock,
        metrics=metrics,
        events=events,
        settings=settings,
        memory=memory,
        correction=calibrations,
    )
    learning = config.learning
    caps = Caps(
        reporter_daily=learning.reporter_daily, sender_daily=learning.sender_daily, campaign=learning.campaign_reports
    )
    reports = ReportKeeper(
        memory,
        store,
        weigh=partial(weights, caps=caps),
        followers=[
            CorrectionKeeper(correction, store, fresh=SiteWeights, models=lambda: scanners.models, metrics=metrics)
        ],
        polled=[CalibrationKeeper(calibrations, store.quality, models=lambda: scanners.models, metrics=metrics)],
        clock=clock,
        metrics=metrics,
        days=learning.memory_days,
        most=learning.memory_size,
    )
    relay = SmtpRelay(config.smtp, metrics=metrics, hostname=settings.stamp.hostname)
    stack.push_async_callback(relay.close)
    smtp = SmtpEdge(
        config.smtp,
        process=pipeline.process,
        next_hop=relay,
        clock=clock,
        metrics=metrics,
        events=events,
        hostname=settings.stamp.hostname,
        has_room=lambda: has_room(store),
    )
    adapters = adapters_of(config.sms)
    judge = SmsJudge(
        pipeline=pipeline,
        inbox=store,
        is_tagging_spam=config.sms.spam_delivery == "tag",
        retry_seconds=config.sms.forward_retry_seconds,
    )
    outbox = Outbox(
        adapters=adapters,
        inbox=store,
        ledger=store,
        judge=judge,
        forwarder=await stack.enter_async_context(
            HttpForwarder(timeout_seconds=config.sms.forward_timeout_seconds, user_agent=f"filterd/{__version__}")
        ),
        clock=clock,
        metrics=metrics,
        events=events,
        settings=config.sms,
    )
    webhooks = Webhooks(
        adapters=adapters,
        inbox=store,
        judge=judge,
        wake_outbox=outbox.wake,
        clock=clock,
        metrics=metrics,
        events=events,
    )
    releaser = _releaser(store, relay, lambda: pipeline.settings.stamp, metrics, events)
    app = build_app(_api_parts(store, releaser, metrics, events), routes(config.sms, webhooks))
    channels = {Channel.EMAIL} if config.smtp.listen else set()
    channels |= {Channel.SMS} if adapters else set()

    async def reload(new: Config) -> None:
        fresh = pipeline_settings(new)
        await models.follow(new, scanners)
        pipeline.settings = fresh

    def can_score() -> bool:
        return channels <= set(scanners.models)

    if not can_score():
        events.scan_state("down")
    tasks: dict[str, Callable[[], Awaitable[None]]] = {
        "store": lambda: keeper.watch(store),
        "reports": reports.watch,
        "outbox": outbox.run,
        "scanners": lambda: _show(metrics.scan_up, can_score),
    }
    if has_chores:
        quality = QualityKeeper(store.quality, models=lambda: scanners.models, clock=clock, metrics=metrics)
        tasks |= {"chores": lambda: keeper.chores(store), "quality": quality.watch}
    return Parts(
        events=events,
        edges={"smtp": smtp, "http": _http_edge(config, app, metrics, events)},
        tasks=tasks,
        probes={"scanners": can_score, "store": lambda: keeper.is_up},
        is_broken=lambda: keeper.is_broken,
        reload=reload,
    )


async def _show(gauge: Gauge, is_up: Callable[[], bool]) -> None:
    """Keep ``gauge`` at 1 while it is up, until cancelled."""
    while True:
        gauge.set(int(is_up()))
        await asyncio.sleep(GAUGE_SECONDS)


class _Models:
    """Which bundles the scanners serve, by the configuration that holds now."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def locate(self) -> Mapping[Channel, Path]:
        """Raises BundleError."""
        models = self._config.models
        return registry_of(self._config).locate({Channel.EMAIL: models.email, Channel.SMS: models.sms})

    async def follow(self, config: Config, scanners: ScannerPool) -> None:
        """Serve what ``config`` names. Raises BundleError and goes on as before."""
        before = self._config
        self._config = config
        try:
            await scanners.reload()
        except BundleError:
            self._config = before
            raise


def _http_edge(config: Config, app: AsgiApp, metrics: Metrics, events: log.Events) -> HttpEdge:
    def on_bug(error: BaseException) -> None:
        metrics.session_errors.labels("http").inc()
        events.session_failed("http", error)

    server = config.server
    return HttpEdge(app, certificate=server.http_tls_certificate, key=server.http_tls_key, on_bug=on_bug)


def build_supervisor(
    loaded: Loaded, environ: Mapping[str, str], listeners: Sequence[Listener], runtime_dir: Path
) -> tuple[Supervisor, HttpEdge]:
    """The parent process and its admin port. Raises ConfigError."""
    metrics_folder = _empty_folder(runtime_dir / _METRICS_FOLDER)
    events = events_of(loaded.config)
    registry = CollectorRegistry()
    workers = [
        WorkerProcess(name=f"w{i}", listeners=listeners, metrics_folder=metrics_folder, environ=environ)
        for i in range(loaded.config.server.workers or os.cpu_count() or 1)
    ]

    def reread() -> Loaded:
        found = configuration.load(loaded.path, environ)
        preflight.check(found.config)
        return found

    supervisor = Supervisor(
        loaded=loaded,
        reread=reread,
        workers=workers,
        listeners=listeners,
        metrics=SupervisorMetrics(registry),
        metrics_folder=metrics_folder,
        events=events,
        notify=Notifier(environ),
    )
    admin = AdminApp(metrics_folder=metrics_folder, own_registry=registry, status=supervisor.status)
    return supervisor, HttpEdge(admin, on_bug=lambda exc: events.session_failed("admin", exc))


def _empty_folder(folder: Path) -> Path:
    """Metric files of an earlier run would be added to this one's."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
    except OSError as exc:
        raise ConfigError(f"server.runtime_dir: {folder} cannot be made: {exc.strerror}") from None
    return folder
