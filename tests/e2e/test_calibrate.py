"""A site's labels change what the model's number means there, in every worker, until it is undone."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from filterd.core.bundle import Calibration
from filterd.core.calibration import chained, probability
from filterd.core.envelope import Channel
from filterd.demo.embedded import command, get
from filterd.inference.registry import packaged_models, read_spec
from tests.filterd import composed
from tests.servers.missed_spam import EFFECT_SECONDS, Gateway, gateway

OFFER = "Congratulations, claim your free prize now: cheap pills, casino bonus, wire the fee today and earn cash fast."
NOTE = "Shall we move the project meeting to Tuesday? I attach the minutes of the last one for the committee."


def read(running: Gateway, text: str) -> tuple[float, float]:
    """Probability, and the log-odds before any calibration."""
    row = running.send(text)
    return float(str(row["probability"])), float(str(row["logit"])) + float(str(row["correction"]))


def is_calibrated(read: tuple[float, float], calibration: Calibration) -> bool:
    return read[0] == pytest.approx(probability(read[1], calibration), abs=2e-3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_calibrate_when_labels_suffice_acts_in_every_worker_until_undone(tmp_path: Path) -> None:
    own = read_spec(packaged_models() / Channel.EMAIL.value).calibration
    with gateway(tmp_path, extra="[learning]\naudit_ratio = 1.0\n") as running:
        texts = [f"{OFFER if n % 2 else ''} {composed.text(n, 150)} {'' if n % 2 else NOTE}" for n in range(30)]
        sent = sorted((float(str(row["logit"])), str(row["id"])) for row in map(running.send, texts))
        asked = running.call("GET", "/questions?limit=3")["questions"]
        assert [question["why"] for question in asked] == ["audit"] * 3
        assert {question["id"] for question in asked} <= {id for _, id in sent}
        for place, (_, id) in enumerate(sent[:15]):
            give(running, id, "spam" if place >= 14 else "ham")
        with pytest.raises(subprocess.CalledProcessError):
            command(running.config, "calibrate")
        for _, id in sent[15:]:
            give(running, id, "spam")

        told = command(running.config, "calibrate")

        found = re.search(r"scale ([\d.]+), bias ([+-][\d.]+)", told)
        assert told.endswith("applied\n"), told
        assert found is not None
        site = chained(own, Calibration(scale=float(found[1]), bias=float(found[2])))
        time.sleep(EFFECT_SECONDS)
        after = [read(running, composed.text(100 + n, 60)) for n in range(6)]
        assert all(is_calibrated(each, site) for each in after)
        assert not any(is_calibrated(each, own) for each in after if 0.05 < each[0] < 0.95)

        command(running.config, "calibrate", "--undo")
        time.sleep(EFFECT_SECONDS)
        assert all(is_calibrated(read(running, composed.text(100 + n, 60)), own) for n in range(6))

        shown = audited(running)
        assert (shown["waiting"], shown["ham"], shown["spam"]) == (12, 14, 16)


def audited(running: Gateway) -> dict[str, float]:
    """The audit of mail as the metrics show it, once the worker that counts has seen the last messages."""
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        page = get(f"http://127.0.0.1:{running.ports.admin}/metrics")
        found = re.findall(r'^filterd_audit_messages\{channel="email",state="(\w+)"\} (\S+)$', page, re.MULTILINE)
        shown = {state: float(value) for state, value in found}
        if shown.get("waiting") == 12 and shown.get("ham"):
            assert 'filterd_ham_loss_ratio{bound="estimate",channel="email"}' in page
            return shown
        time.sleep(1)
    raise AssertionError(f"the audit shows {found}")


def give(running: Gateway, id: str, label: str) -> None:
    running.call("POST", "/feedback", id=id, label=label)
