"""The admin port: metrics of all workers in one page, liveness, readiness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from filterd.admin import AdminApp, forget_worker
from filterd.core.envelope import Peer
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.metrics import Metrics, SupervisorMetrics
from filterd.settings import ServerSettings
from filterd.testing import a_scan, an_envelope

WORKER = """
import sys
from prometheus_client import CollectorRegistry
from filterd.metrics import Metrics, use_stable_identity
use_stable_identity(sys.argv[1])
metrics = Metrics(CollectorRegistry())
metrics.feedback.labels("spam").inc(int(sys.argv[2]))
metrics.in_flight.set(int(sys.argv[3]))
"""


def _worker(folder: Path, name: str, feedback: int, in_flight: int) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", WORKER, name, str(feedback), str(in_flight)], env=environ, check=True)


async def _get(app: AdminApp, path: str, *, method: str = "GET", accept: str = "") -> tuple[int, str, str]:
    sent: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    scope["headers"] = [(b"accept", accept.encode())]
    await app(scope, None, send)
    headers = dict(sent[0]["headers"])
    return sent[0]["status"], headers[b"content-type"].decode(), sent[1]["body"].decode()


def _app(folder: Path, missing: list[str] | None = None) -> AdminApp:
    registry = CollectorRegistry()
    SupervisorMetrics(registry).workers.set(2)
    status = {"ready": not missing, "missing": missing or []}
    return AdminApp(metrics_folder=folder, own_registry=registry, status=lambda: status)


def _value(page: str, name: str, **labels: str) -> float:
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


async def test_metrics_add_up_workers_and_survive_their_restart(tmp_path: Path) -> None:
    _worker(tmp_path, "w0", 2, 1)
    _worker(tmp_path, "w1", 3, 1)
    forget_worker(tmp_path, "w0")
    _worker(tmp_path, "w0", 4, 0)
    _, _, page = await _get(_app(tmp_path), "/metrics")

    assert _value(page, "filterd_feedback_total", label="spam") == 9
    assert _value(page, "filterd_in_flight") == 1
    assert _value(page, "filterd_workers_ready") == 2
    assert _value(page, "filterd_messages_total") == 0


async def test_metrics_when_a_worker_died_forget_its_gauges_only(tmp_path: Path) -> None:
    _worker(tmp_path, "w0", 2, 7)
    forget_worker(tmp_path, "w0")
    _, _, page = await _get(_app(tmp_path), "/metrics")

    assert _value(page, "filterd_feedback_total", label="spam") == 2
    assert _value(page, "filterd_in_flight") == 0


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"])
async def test_metrics_say_which_format_they_are_in(tmp_path: Path, accept: str) -> None:
    status, content_type, page = await _get(_app(tmp_path), "/metrics", accept=accept)

    assert status == 200
    assert content_type.startswith("text/plain")
    assert "# EOF" not in page


async def test_readiness_names_what_is_missing(tmp_path: Path) -> None:
    ready, _, _ = await _get(_app(tmp_path), "/readyz")
    status, content_type, page = await _get(_app(tmp_path, ["worker w0: store"]), "/readyz")

    assert ready == 200
    assert (status, content_type) == (503, "application/json")
    assert json.loads(page)["missing"] == ["worker w0: store"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/healthz", 200), ("GET", "/other", 404), ("POST", "/metrics", 405)]
)
async def test_other_pages(tmp_path: Path, method: str, path: str, status: int) -> None:
    assert (await _get(_app(tmp_path), path, method=method))[0] == status


def test_d13_metrics_when_everything_was_counted_stay_below_500_series() -> None:
    """Labels come from closed lists: what messages bring adds no series."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    SupervisorMetrics(registry)
    before = _series(registry)
    metrics.model_info.labels("email", "email-1").set(1)
    metrics.model_info.labels("sms", "sms-1").set(1)
    hostile = replace(an_envelope("x" * 300 + "@" + "y" * 200), peer=Peer(address="\n", helo="\r\nevil 1"))
    scan = replace(a_scan(), signals=("evil{le=1}",), author="a@b", model="unheard-of")
    for action in Action:
        for reason in Reason:
            decision = Decision(action=action, reason=reason, scan=scan, detail="evil")
            outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
            metrics.observe(Verdict.of(hostile, 1, decision, outcome, {"scan": 0.1}))

    assert _series(registry) == before | {
        ("filterd_model_info", (("channel", channel), ("model_id", f"{channel}-1"))) for channel in ("email", "sms")
    }
    assert len(before) <= 500


def _series(registry: CollectorRegistry) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """As several processes tell them: without the time each counter was made."""
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {(s.name, tuple(sorted(s.labels.items()))) for s in samples if not s.name.endswith("_created")}


def test_d13_metrics_have_a_listener_of_their_own_on_loopback() -> None:
    settings = ServerSettings()

    assert settings.admin_listen.startswith("127.0.0.1:")
    assert settings.admin_listen != settings.http_listen


@pytest.mark.parametrize(
    ("missing", "query", "code", "named"),
    [
        (["worker w0: store", "worker w1: store"], "?exclude=store", 200, []),
        (["worker w0: store", "worker w1: scanners"], "?exclude=store", 503, ["worker w1: scanners"]),
        (["worker w0: store"], "?exclude=scanners", 503, ["worker w0: store"]),
        (["worker w0: store", "stopping"], "?exclude=store&exclude=scanners", 503, ["stopping"]),
        (["worker w0: store"], "?exclude", 503, ["worker w0: store"]),
    ],
    ids=["the only one", "another one", "one that is there", "several", "none"],
)
async def test_readiness_when_a_part_is_excluded_does_not_look_at_it(
    tmp_path: Path, missing: list[str], query: str, code: int, named: list[str]
) -> None:
    """Pods that share a database must not all leave the service with it: wanted mail flows without."""
    status, _, page = await _get(_app(tmp_path, missing), f"/readyz{query}")

    assert status == code
    assert json.loads(page) == {"ready": code == 200, "missing": named}
