"""The parent process put together: what it needs itself and no more, so that it is small and its workers start soon."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from filterd import config as configuration
from filterd import log, preflight, state
from filterd.admin import AdminApp
from filterd.config import Loaded
from filterd.edges.webhooks.providers import adapters_of
from filterd.errors import ConfigError
from filterd.forking import Zygote
from filterd.http_server import HttpEdge
from filterd.listeners import Listener
from filterd.metrics import SupervisorMetrics
from filterd.notify import Notifier
from filterd.settings import Config
from filterd.supervisor import Supervisor
from filterd.worker_process import WorkerProcess

_METRICS_FOLDER = "metrics"


def check(config: Config) -> None:
    """Raises ConfigError, in one line, for everything that would stop the daemon from serving well."""
    preflight.check(config)
    adapters_of(config.sms)
    if config.models.public_key:
        from filterd.inference.signature import public_key

        public_key(Path(config.models.public_key))
    if config.learning.spool_dir:
        from filterd import report_spool

        report_spool.prepare(Path(config.learning.spool_dir))
    if config.store.url:
        from filterd.store.engine import database_url

        database_url(config.store.url.reveal(), config.server.state_dir)
    state.prepare(config)
    state.secret_of(config)


def events_of(config: Config) -> log.Events:
    """The log, with the installation's own key for addresses. Raises ConfigError."""
    return log.Events(log.get_logger(), log.AddressMask(state.secret_of(config)))


def build_supervisor(
    loaded: Loaded, environ: Mapping[str, str], listeners: Sequence[Listener], runtime_dir: Path, zygote: Zygote
) -> tuple[Supervisor, HttpEdge]:
    """The parent process and its admin port. Raises ConfigError."""
    metrics_folder = _empty_folder(runtime_dir / _METRICS_FOLDER)
    events = events_of(loaded.config)
    registry = CollectorRegistry()
    workers = [
        WorkerProcess(name=f"w{i}", listeners=listeners, metrics_folder=metrics_folder, environ=environ, zygote=zygote)
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
        has_zygote=lambda: zygote.is_there,
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
