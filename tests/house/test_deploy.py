"""The files of ``deploy/`` are code: they load, they use what exists, and the alerts fire when they should."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house import reference

ROOT = reference.ROOT
DEPLOY = ROOT / "deploy"
UNPACKED = ROOT / ".servers/tree"
METRIC = re.compile(r"\bfilterd_[a-z_]+\b")


def _tool(name: str) -> str:
    """A tool of the machine or of ``.servers``; a missing one fails in continuous integration."""
    unpacked = UNPACKED / "usr/bin" / name
    path = shutil.which(name) or (str(unpacked) if unpacked.exists() else None)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing: run tests/servers/fetch.sh")
        pytest.skip(f"{name} is missing: run tests/servers/fetch.sh")
    return path


def _run(*command: str, cwd: Path = ROOT) -> str:
    environ = dict(os.environ)
    if command[0].startswith(str(UNPACKED)):
        libraries = [str(path) for path in (UNPACKED / "usr/lib").glob("*-linux-gnu*")]
        environ["LD_LIBRARY_PATH"] = ":".join([*libraries, *(f"{path}/systemd" for path in libraries)])
        environ["SYSTEMD_UNIT_PATH"] = f"{UNPACKED}/lib/systemd/system:{UNPACKED}/usr/lib/systemd/system"
    done = subprocess.run(
        command, cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_dashboard_asks_only_for_metrics_that_exist() -> None:
    board = json.loads((DEPLOY / "grafana/filterd.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]

    assert len(queries) > 15
    assert {name for query in queries for name in METRIC.findall(query)} <= reference.metric_names()


def test_dashboard_shows_every_metric() -> None:
    text = (DEPLOY / "grafana/filterd.json").read_text(encoding="utf-8")
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in reference.metric_names()}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in METRIC.findall(text)}

    assert families - shown <= {
        "filterd_reloads_total",
        "filterd_relay_connections",
        "filterd_model_loaded_timestamp_seconds",
    }


def test_alerts_ask_only_for_metrics_that_exist_and_name_a_runbook() -> None:
    text = (DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8")
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    names = re.findall(r"- alert: (\w+)", text)

    assert {name for query in re.findall(r"expr: .*(?:\n {12}.*)*", text) for name in METRIC.findall(query)} <= (
        reference.metric_names()
    )
    assert [name for name in names if f"docs/operations.md#{name.lower()}" not in text] == []
    assert [name for name in names if f"### {name}\n" not in operations] == []


def test_every_alert_is_made_to_fire() -> None:
    """``promtool`` runs what is written there; an alert that is only expected to be silent is not tested."""
    rules, tests = ((DEPLOY / "prometheus" / name).read_text("utf-8") for name in ("alerts.yml", "alerts_test.yml"))
    fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts:", tests))

    assert set(re.findall(r"- alert: (\w+)", rules)) - fired == set()


@pytest.mark.real
def test_alert_rules_are_valid_and_fire_when_they_should() -> None:
    promtool = _tool("promtool")

    _run(promtool, "check", "config", "deploy/prometheus/prometheus.yml")
    _run(promtool, "test", "rules", "alerts_test.yml", cwd=DEPLOY / "prometheus")


@pytest.mark.real
def test_dashboard_queries_are_valid(tmp_path: Path) -> None:
    board = json.loads((DEPLOY / "grafana/filterd.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"query:{i}", "expr": query.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for i, query in enumerate(queries)
    ]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")

    _run(_tool("promtool"), "check", "rules", str(path))


UNITS = {
    "filterd.service": ("/opt/filterd/.venv/bin/filterd", "/bin/kill"),
    "filterd-retrain.service": ("/opt/filterd/.venv/bin/trainer",),
}
"""Unit -> its programs."""
HIGHEST = 1.5
"""Exposure level by systemd's own count; a unit that says nothing of it has 9.6."""


@pytest.mark.real
@pytest.mark.parametrize("name", UNITS)
def test_unit_is_hardened(tmp_path: Path, name: str) -> None:
    analyze = _tool("systemd-analyze")
    unit = tmp_path / name
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    # Neither the installation nor procps need be on the machine that checks the unit.
    for program in UNITS[name]:
        assert program in text
        text = text.replace(program, "/bin/true")
    unit.write_text(text, encoding="utf-8")

    verified = _run(analyze, "verify", str(unit))
    audited = _run(analyze, "security", "--offline=yes", "--threshold=15", "--no-pager", str(unit))

    assert name not in verified
    assert float(re.findall(r"exposure level for .*: ([0-9.]+)", audited)[0]) <= HIGHEST


@pytest.mark.real
def test_timer_is_valid_and_starts_a_unit_that_exists() -> None:
    analyze = _tool("systemd-analyze")
    timer = (DEPLOY / "systemd/filterd-retrain.timer").read_text(encoding="utf-8")
    (when,) = re.findall(r"(?m)^OnCalendar=(.*)$", timer)

    assert "Normalized form" in _run(analyze, "calendar", when)
    assert (DEPLOY / "systemd/filterd-retrain.service").is_file()
