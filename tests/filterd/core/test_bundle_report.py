"""A bundle's report is read as far as it goes, and refused where it is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from filterd.core.bundle_report import BundleReport, pooled, report_from_json
from filterd.errors import ContractMismatch
from filterd.inference.registry import packaged_models

ROW = {
    "corpus": "uci",
    "ham": 200,
    "spam": 50,
    "points": {"normal": {"ham": 200, "spam": 50, "ham_lost": 1, "spam_caught": 40}},
}
GATE = {
    "incumbent": "old",
    "rules": [
        {"rule": "size", "result": "yes", "figures": "4 MB", "refuses": False},
        {"rule": "ham loss", "result": "no", "figures": "3 %", "refuses": True},
    ],
}


def test_figures_history_and_gate_are_read() -> None:
    text = json.dumps({"rows": [ROW], "history": {"loss": [0.5, 0.25]}, "gate": GATE, "seed": 7})

    report = report_from_json(text)

    (uci,) = report.corpora
    assert (uci.ham_loss("normal"), uci.spam_catch("normal")) == (0.005, 0.8)
    assert (uci.ham_loss("strict"), uci.spam_catch("strict")) == (None, None)
    assert report.history == {"loss": (0.5, 0.25)}
    assert [finding.rule for finding in report.gate] == ["size", "ham loss"]
    assert (report.is_refused, report.gate_incumbent) == (True, "old")


def test_report_of_nothing_says_nothing() -> None:
    assert report_from_json("{}") == BundleReport()
    assert pooled((), "normal") == (None, None)


def test_every_corpus_counts_once() -> None:
    small = {**ROW, "ham": 2, "spam": 0, "points": {"normal": {"ham_lost": 1, "spam_caught": 0}}}

    report = report_from_json(json.dumps({"rows": [ROW, small]}))

    loss, catch = pooled(report.corpora, "normal")
    assert loss == pytest.approx(0.2525)
    assert catch == 0.8


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_reports_of_the_packaged_bundles_are_read(channel: str) -> None:
    report = report_from_json((packaged_models() / channel / "report.json").read_text(encoding="utf-8"))

    assert len(report.corpora) > 5
    assert report.history["loss"]


@pytest.mark.parametrize(
    "tree", [[], {"rows": [{}]}, {"rows": 1}, {"history": {"loss": ["x"]}}, {"gate": {"rules": [{}]}}, {"history": []}]
)
def test_what_is_no_report_is_refused(tree: Any) -> None:
    with pytest.raises(ContractMismatch, match=r"report\.json"):
        report_from_json(json.dumps(tree))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(ContractMismatch):
        report_from_json("{")
