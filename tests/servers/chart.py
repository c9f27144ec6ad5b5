"""Renders the Helm chart with Helm's own engine, in a process of its own: a Go runtime does not belong into pytest's.

As a program it reads a JSON list of values from standard input and prints what became of each: the manifests, or the
error. In front of them stands what ``helm lint`` says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # without types

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/filterd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What one set of values leads to."""

    error: str
    files: Mapping[str, str]

    def manifests(self) -> list[dict[str, Any]]:
        """Every object."""
        assert self.error == ""
        found: list[dict[str, Any]] = []
        for name, text in self.files.items():
            if name.endswith(".yaml"):
                found += [each for each in yaml.safe_load_all(text) if each]
        return found

    def one(self, kind: str, part: str = "") -> dict[str, Any]:
        """The object of that kind whose name ends in ``part``."""
        (found,) = (m for m in self.manifests() if m["kind"] == kind and m["metadata"]["name"].endswith(part))
        return found


def render(sets: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[Rendered]]:
    """What lint says of the chart, and each set of values rendered; skips where Helm's engine is not installed."""
    if find_spec("helm_python") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("helm is missing: pip install --require-hashes -r requirements/deploy.lock")
        pytest.skip("helm is missing: pip install --require-hashes -r requirements/deploy.lock")
    done = subprocess.run(
        [sys.executable, "-m", "tests.servers.chart"],
        cwd=ROOT,
        input=json.dumps(list(sets)),
        capture_output=True,
        text=True,
        check=True,
    )
    lint, *rendered = json.loads(done.stdout)
    return lint, [Rendered(**each) for each in rendered]


def _main() -> None:
    helm = import_module("helm_python")

    answers: list[Any] = [helm.lint(str(CHART))["messages"]]
    with helm.Chart.load(str(CHART)) as chart:
        for values in json.load(sys.stdin):
            try:
                files = chart.render(values, name="mail", namespace="mail")
                answers.append({"error": "", "files": files})
            except helm.HelmError as exc:
                answers.append({"error": str(exc), "files": {}})
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    _main()
