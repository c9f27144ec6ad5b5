"""From one machine to another: what was pushed to a store and pulled from it serves, and its id is in the verdict."""

from __future__ import annotations

import json
import os
import shutil
import smtplib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from filterd.core.bundle import SPEC_FILE
from filterd.core.envelope import Channel
from filterd.demo.embedded import Ports, command, daemon, write_config
from filterd.demo.sink import MailSink, on_a_thread
from filterd.demo.webhook_client import signed_request
from filterd.inference.registry import packaged_models
from tests.servers import s3
from tests.servers.log import events_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECRET = "whsec_dGhpcyBpcyBhbiBpbnZlbnRlZCBzZWNyZXQgb2YgdGhlIHRlc3Rz"
HAM = "From: Ann <ann@example.org>\r\nSubject: agenda\r\n\r\nthe agenda for the meeting on Monday\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3Server]:
    with s3.running(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def pulled(server: s3.S3Server, tmp_path: Path) -> dict[Channel, Path]:
    """The packaged bundles under ids of their own, pushed on one machine and pulled on another."""
    url = f"s3://{s3.BUCKET}/{tmp_path.name}"
    for channel in Channel:
        folder = tmp_path / "training" / channel.value
        shutil.copytree(packaged_models() / channel.value, folder)
        tree = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        (folder / SPEC_FILE).write_text(json.dumps({**tree, "id": _id(channel)}), encoding="utf-8")
        assert _trainer(server, "push", str(folder), url) == f"{channel.value}/{_id(channel)}"
    return {
        channel: Path(_trainer(server, "pull", url, f"{channel.value}/latest", "--into", str(tmp_path / "gateway")))
        for channel in Channel
    }


def _id(channel: Channel) -> str:
    return f"{channel.value}-pulled-from-a-store"


def _trainer(server: s3.S3Server, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "trainer"), *arguments],
        env={**os.environ, **server.environ()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _judge_both(tmp_path: Path, extra: str, *, promote: tuple[tuple[str, ...], ...] = ()) -> dict[str, str]:
    """Channel -> id of the model that the daemon's verdict names, after one mail and one SMS."""
    ports = Ports.free()
    config = tmp_path / "filterd.toml"
    with on_a_thread(MailSink(tmp_path / "delivered")) as next_hop:
        generic = f'[sms.generic]\nsecret = "{SECRET}"\n'
        write_config(config, ports, state=tmp_path / "state", next_hop=next_hop, extra=extra + generic, workers=1)
        for arguments in promote:
            command(config, *arguments)
        with daemon(config, ports, tmp_path / "log"):
            _send_both(ports)
            metrics = _page(f"http://127.0.0.1:{ports.admin}/metrics")
    models = {event["channel"]: event["model"] for event in events_in(tmp_path / "log", "message.judged")}
    for channel, model in models.items():
        assert f'filterd_model_info{{channel="{channel}",model_id="{model}"}} 1.0' in metrics
    return models


def _send_both(ports: Ports) -> None:
    with smtplib.SMTP("127.0.0.1", ports.smtp, local_hostname="client.example", timeout=30) as client:
        client.sendmail("ann@example.org", ["bob@example.net"], HAM)
    call = signed_request(
        "generic",
        base_url=f"http://127.0.0.1:{ports.http}",
        secret=SECRET,
        id="1",
        sender="+15550100",
        recipient="+15550101",
        text="see you at lunch",
        now=datetime.now(UTC),
    )
    with urllib.request.urlopen(urllib.request.Request(call.url, call.body, call.headers), timeout=30) as answer:
        assert answer.status == 200


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body.decode()


def test_daemon_when_pulled_bundles_are_pinned_then_verdicts_name_them(
    pulled: dict[Channel, Path], tmp_path: Path
) -> None:
    extra = (
        f"[models]\nemail = {json.dumps(str(pulled[Channel.EMAIL]))}\nsms = {json.dumps(str(pulled[Channel.SMS]))}\n"
    )

    assert _judge_both(tmp_path, extra) == {channel.value: _id(channel) for channel in Channel}


def test_daemon_when_a_pulled_bundle_is_promoted_then_verdicts_name_it(
    pulled: dict[Channel, Path], tmp_path: Path
) -> None:
    promote = (
        ("model", "publish", str(pulled[Channel.SMS])),
        ("model", "promote", "sms", _id(Channel.SMS)),
    )

    models = _judge_both(tmp_path, "", promote=promote)

    assert models["sms"] == _id(Channel.SMS)
    assert models["email"] != _id(Channel.EMAIL)
