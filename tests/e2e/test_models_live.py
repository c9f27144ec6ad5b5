"""Promoted, rolled back and tried models, in a daemon that is never told to reload."""

from __future__ import annotations

import json
import re
import shutil
import smtplib
import sqlite3
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx2
import pytest

from filterd.core.bundle import SPEC_FILE
from filterd.demo.embedded import Ports, command, daemon, write_config
from filterd.demo.sink import MailSink, on_a_thread
from filterd.inference.registry import packaged_models

NEXT = "email-20990101T000000-00000001"
SPAM = "$500 FREE casino bonus, play now and WIN BIG!!! http://casino.example/bonus guaranteed instant cash payout"
EFFECT_SECONDS = 40.0
"""Longest wait: a busy machine needs a while to load a model twice."""


def send(port: int, text: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=30) as client:
        message = f"From: Ann <ann@letters.example>\r\nSubject: for you\r\n\r\n{text}\r\n"
        client.sendmail("ann@letters.example", ["bob@inbox.example"], message)


def wait_for_model(config: Path, port: int, id: str) -> None:
    """Until a message is judged by the bundle ``id``."""
    deadline = time.monotonic() + EFFECT_SECONDS
    models: list[str] = []
    while time.monotonic() < deadline:
        send(port, "the agenda for the meeting on Monday")
        time.sleep(0.5)
        models = [row["model"] for row in json.loads(command(config, "verdicts", "--json", "--limit", "1"))]
        if models == [id]:
            return
    raise AssertionError(f"still judged by {models}")


def publish_next(folder: Path, config: Path) -> dict[str, Any]:
    """A bundle like the one that serves, under the id ``NEXT``; its spec."""
    source = folder / NEXT
    shutil.copytree(packaged_models() / "email", source)
    tree: dict[str, Any] = json.loads((source / SPEC_FILE).read_text(encoding="utf-8"))
    (source / SPEC_FILE).write_text(json.dumps({**tree, "id": NEXT}), encoding="utf-8")
    command(config, "model", "publish", str(source))
    return tree


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_promoted_tried_and_damaged_bundles_in_a_running_daemon(tmp_path: Path) -> None:
    ports, config = Ports.free(), tmp_path / "filterd.toml"
    with on_a_thread(MailSink(tmp_path / "delivered")) as next_hop:
        write_config(config, ports, state=tmp_path / "state", next_hop=next_hop, workers=1)
        with daemon(config, ports, tmp_path / "filterd.log"):
            tree = publish_next(tmp_path, config)
            command(config, "model", "promote", "email", NEXT)
            wait_for_model(config, ports.smtp, NEXT)

            command(config, "model", "shadow", "email", NEXT)
            metrics = ""
            for _ in range(60):
                send(ports.smtp, SPAM)
                with urllib.request.urlopen(f"http://127.0.0.1:{ports.admin}/metrics", timeout=10) as page:
                    metrics = page.read().decode()
                if 'filterd_trials_total{channel="email",result="both_spam"} 0' not in metrics:
                    break
                time.sleep(0.5)
            assert 'filterd_trials_total{channel="email",result="both_ham"}' in metrics
            assert 'filterd_trials_total{channel="email",result="both_spam"} 0' not in metrics
            assert 'result="candidate_spam"} 0' in metrics

            # The file that is promoted next is damaged on disk: the incumbent goes on.
            damaged = NEXT.replace("00000001", "00000002")
            folder = tmp_path / "state" / "models" / "email" / damaged
            shutil.copytree(tmp_path / "state" / "models" / "email" / NEXT, folder)
            (folder / SPEC_FILE).write_text(json.dumps({**tree, "id": damaged}), encoding="utf-8")
            command(config, "model", "promote", "email", damaged)
            wait_for_model(config, ports.smtp, damaged)
            model = folder / "model.onnx"
            model.write_bytes(model.read_bytes()[:-1] + b"\0")
            command(config, "model", "promote", "email", NEXT)
            wait_for_model(config, ports.smtp, NEXT)
            (tmp_path / "state" / "models" / "email" / "current").write_text(f"{damaged}\n{NEXT}\n", encoding="ascii")
            time.sleep(4)
            wait_for_model(config, ports.smtp, NEXT)
            assert "model.refused" in (tmp_path / "filterd.log").read_text(encoding="utf-8")


class Administrator:
    """Somebody who has signed in to the pages."""

    def __init__(self, client: httpx2.Client, password: str) -> None:
        self.client = client
        signed_in = client.post("/sign-in", data={"name": "root", "password": password})
        assert signed_in.status_code == 303, signed_in.text

    def confirm(self, path: str, *named: str) -> None:
        """Open a page that asks, see that it names these versions, and press its button."""
        page = self.client.get(path)
        assert page.status_code == 200, page.text
        assert [id for id in named if f"<code>{id}</code>" not in page.text] == []
        form = page.text[page.text.index('class="actions"') :]
        fields = dict(re.findall(r'name="([a-z_]+)" value="([^"]*)"', form))
        done = self.client.post(path, data=fields)
        assert done.status_code == 303, done.text


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_bundles_promoted_and_rolled_back_by_the_page_judge_the_next_message(tmp_path: Path) -> None:
    ports, config = Ports.free(), tmp_path / "filterd.toml"
    with on_a_thread(MailSink(tmp_path / "delivered")) as next_hop:
        origin = f"http://127.0.0.1:{ports.http}"
        extra = f'[web]\npublic_url = "{origin}"'
        write_config(config, ports, state=tmp_path / "state", next_hop=next_hop, workers=2, extra=extra)
        packaged = publish_next(tmp_path, config)["id"]
        password = command(config, "account", "add", "root", "--role", "administrator").strip()
        with daemon(config, ports, tmp_path / "filterd.log"), httpx2.Client(base_url=origin, timeout=60) as client:
            root = Administrator(client, password)
            wait_for_model(config, ports.smtp, packaged)

            root.confirm(f"/models/email/{NEXT}/promote", packaged, NEXT)
            wait_for_model(config, ports.smtp, NEXT)

            root.confirm("/models/email/roll-back", NEXT, packaged)
            wait_for_model(config, ports.smtp, packaged)

            overview = client.get("/").text
            assert packaged in client.get("/models").text
            assert '<svg class="chart plot"' in overview
            assert "does not answer just now" not in overview
    with sqlite3.connect(tmp_path / "state" / "filterd.db") as database:
        rows = database.execute("SELECT event, target, by FROM audit WHERE event LIKE '%rol%' OR event = 'promoted'")
        assert rows.fetchall() == [("promoted", NEXT, "root"), ("rolled back to", packaged, "root")]
