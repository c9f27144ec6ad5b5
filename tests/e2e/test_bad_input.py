"""Each kind of bad input gets one clear line or the documented reply, and nothing is lost."""

from __future__ import annotations

import json
import shutil
import smtplib
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import filterd
from filterd.clock import SystemClock
from filterd.demo.embedded import Ports, command, daemon, environment, get, write_config
from filterd.demo.keys import DemoKeys

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from runner import next_hop  # noqa: E402  # the folder is not a package

pytestmark = pytest.mark.slow

BUNDLES = Path(filterd.__file__).parent / "models"


def run(config: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines on standard error of ``filterd arguments``."""
    done = subprocess.run(
        [sys.executable, "-m", "filterd.cli", *arguments],
        env=environment(config),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "filterd.toml"
    write_config(path, Ports.free(), state=tmp_path / "state", next_hop=9)
    return path


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[smtp]\nnext_hopp = '127.0.0.1:25'\n", "smtp.next_hopp; did you mean smtp.next_hop?"),
        ("[smtp\n", "not valid TOML"),
        ("[smtp]\nmax_hops = 'many'\n", "smtp.max_hops"),
        ("[policy]\ntag_at = 3.0\n", "policy.tag_at"),
        ("[smtp]\nposition = 'after-queue'\n[policy]\nreject_at = 'normal'\n", "policy.reject_at"),
    ],
    ids=["unknown-key", "not-toml", "wrong-type", "out-of-range", "contradiction"],
)
def test_configuration_when_wrong_is_one_line_and_exit_78(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "filterd.toml"
    path.write_text(text, encoding="utf-8")

    code, lines = run(path, "serve")

    assert code == 78
    assert len(lines) == 1, lines
    assert wanted in lines[0]


def test_configuration_when_the_file_is_missing_is_one_line_and_exit_78(tmp_path: Path) -> None:
    code, lines = run(tmp_path / "none.toml", "serve")

    assert code == 78
    assert len(lines) == 1, lines
    assert "none.toml: no such file" in lines[0]


def test_pinned_bundle_when_missing_is_one_line_and_exit_78(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + f"\n[models]\nemail = {json.dumps(str(tmp_path / 'none'))}\n")

    code, lines = run(config, "serve")

    assert code == 78
    assert any("none" in line for line in lines), lines
    assert not any("Traceback" in line for line in lines), lines


def test_pinned_bundle_when_a_byte_changed_is_one_line_and_exit_78(config: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(BUNDLES / "sms", broken)
    graph = bytearray((broken / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (broken / "model.onnx").write_bytes(graph)
    config.write_text(config.read_text() + f"\n[models]\nsms = {json.dumps(str(broken))}\n")

    code, lines = run(config, "serve")

    assert code == 78
    assert any("model.onnx" in line for line in lines), lines
    assert not any("Traceback" in line for line in lines), lines


def test_label_when_the_id_is_unknown_is_one_line_and_exit_2(config: Path) -> None:
    code, lines = run(config, "report", "spam", "0" * 32)

    assert code == 2
    assert len(lines) == 1, lines


def test_check_when_a_file_is_missing_says_so_and_scores_the_rest(config: Path, tmp_path: Path) -> None:
    mail = tmp_path / "1.eml"
    mail.write_bytes(b"From: a@example.org\r\nSubject: lunch\r\n\r\nAt noon?\r\n")
    done = subprocess.run(
        [sys.executable, "-m", "filterd.cli", "check", "--json", str(tmp_path / "none.eml"), str(mail)],
        env=environment(config),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "none.eml" in done.stderr
    assert json.loads(done.stdout)["path"] == str(mail)


def test_database_when_unreachable_ham_flows_and_spam_is_deferred(tmp_path: Path) -> None:
    """I8 and the second row of the table in docs/delivery.md."""
    ports = Ports.free()
    path = tmp_path / "filterd.toml"
    with next_hop(tmp_path / "delivered", "sink") as hop:
        write_config(
            path,
            ports,
            state=tmp_path / "state",
            next_hop=hop,
            workers=1,
            extra='[policy]\nallow = ["ham.example"]\ndeny = ["spam.example"]\n'
            '[store]\nurl = "postgresql://nobody@127.0.0.1:1/none"\ntimeout_seconds = 1.0\n',
        )
        with daemon(path, ports, tmp_path / "filterd.log", is_ready_needed=False), _client(ports) as client:
            assert _send(client, "a@ham.example") == 250
            assert _send(client, "a@spam.example") == 451
            assert _send(client, "b@ham.example") == 250
            with pytest.raises(urllib.error.HTTPError, match="503"):
                get(f"http://127.0.0.1:{ports.admin}/readyz")
    assert len(list((tmp_path / "delivered").glob("*.eml"))) == 2


def test_message_of_26_megabytes_is_refused_with_552(tmp_path: Path) -> None:
    ports = Ports.free()
    path = tmp_path / "filterd.toml"
    with next_hop(tmp_path / "delivered", "sink") as hop:
        write_config(path, ports, state=tmp_path / "state", next_hop=hop, workers=1)
        with daemon(path, ports, tmp_path / "filterd.log"), _client(ports) as client:
            client.ehlo()
            client.mail("a@example.org")
            client.rcpt("bob@example.net")
            body = b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 27_000
            assert _data(client, body) in {552, 421}
        assert not list((tmp_path / "delivered").glob("*.eml"))


class Webhooks:
    """The daemon with every provider turned on, and no customer URL."""

    def __init__(self, ports: Ports, keys: DemoKeys, config: Path) -> None:
        self.base = f"http://127.0.0.1:{ports.http}"
        self.keys = keys
        self.config = config

    def post(self, provider: str, serial: int, *, is_signed: bool = True) -> tuple[int, bytes]:
        url, headers, body = self.keys.sign(
            provider,
            self.base,
            f"sms{serial}",
            sender="+15550100",
            recipient="+15550199",
            text="hello",
            clock=SystemClock(),
        )
        request = urllib.request.Request(url, data=body if is_signed else body + b" ", headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read()

    def verdicts(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads(command(self.config, "verdicts", "--json", "--limit", "1000"))
        return rows


@pytest.fixture(scope="module")
def webhooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhooks]:
    root = tmp_path_factory.mktemp("webhooks")
    ports = Ports.free()
    keys = DemoKeys.generate()
    path = root / "filterd.toml"
    sms = keys.as_toml(f"http://127.0.0.1:{ports.http}", "")
    write_config(path, ports, state=root / "state", next_hop=9, workers=1, extra=sms)
    with daemon(path, ports, root / "filterd.log"):
        yield Webhooks(ports, keys, path)


PROVIDERS = ("twilio", "vonage", "telnyx", "plivo", "generic")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_webhook_when_the_signature_is_bad_is_refused_and_nothing_is_stored(webhooks: Webhooks, provider: str) -> None:
    before = len(webhooks.verdicts())

    status, body = webhooks.post(provider, 1_000, is_signed=False)

    assert status == 403
    assert b"hello" not in body
    assert len(webhooks.verdicts()) == before


@pytest.mark.parametrize("provider", PROVIDERS)
def test_webhook_when_repeated_is_accepted_again_and_judged_once(webhooks: Webhooks, provider: str) -> None:
    before = len(webhooks.verdicts())

    first, _ = webhooks.post(provider, 2_000)
    threads = [threading.Thread(target=webhooks.post, args=(provider, 2_000)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again, _ = webhooks.post(provider, 2_000)

    assert (first // 100, again // 100) == (2, 2)
    assert len(webhooks.verdicts()) == before + 1


def _client(ports: Ports) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", ports.smtp, local_hostname="client.example", timeout=60)


def _data(client: smtplib.SMTP, body: bytes) -> int:
    """The reply to the end of data; 421 where the server hangs up on a client that goes on sending."""
    try:
        return client.data(body)[0]
    except (smtplib.SMTPServerDisconnected, ConnectionError):
        return 421


def _send(client: smtplib.SMTP, sender: str) -> int:
    client.ehlo_or_helo_if_needed()
    client.mail(sender)
    client.rcpt("bob@example.net")
    return client.data(b"Subject: x\r\n\r\nbody\r\n")[0]
