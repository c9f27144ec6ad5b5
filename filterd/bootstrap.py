"""The composition root: the only place that constructs adapters."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from filterd import config as configuration
from filterd import log, preflight, state
from filterd.admin import AdminApp
from filterd.config import Loaded
from filterd.core.headers import Stamp
from filterd.errors import ConfigError
from filterd.http_server import HttpEdge
from filterd.listeners import Listener
from filterd.metrics import SupervisorMetrics
from filterd.notify import Notifier
from filterd.pipeline import Settings
from filterd.policies import policies_of
from filterd.server import Parts
from filterd.settings import Config
from filterd.supervisor import Supervisor
from filterd.worker_process import WorkerProcess

_METRICS_FOLDER = "metrics"


def check(config: Config) -> None:
    """Raises ConfigError, in one line, for everything that would stop the daemon from serving well."""
    preflight.check(config)
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
    )


def events_of(config: Config) -> log.Events:
    """The log, with the installation's own key for addresses. Raises ConfigError."""
    return log.Events(log.get_logger(), log.AddressMask(state.secret_of(config)))


def build_worker(config: Config) -> Parts:
    """One worker's parts. Raises ConfigError."""
    events = events_of(config)

    async def reload(new: Config) -> None:
        pipeline_settings(new)

    return Parts(events=events, edges={}, reload=reload)


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
