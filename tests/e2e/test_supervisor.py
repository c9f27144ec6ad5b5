"""The processes of the daemon: shared sockets, restarts, drain, reload, readiness, systemd."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from tests.servers.gateway import PATIENCE_SECONDS, Gateway, running, wait_until, write_settings

pytestmark = pytest.mark.slow
HAM = "From: Ann <ann@example.org>\r\nSubject: agenda\r\n\r\nthe agenda for Monday\r\n"
SPAM = "From: Eve <eve@example.com>\r\nSubject: hello\r\n\r\nlottery winner\r\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def next_hop(root: Path) -> Iterator[int]:
    with on_a_thread(MailSink(root / "delivered")) as port:
        yield port


def _send(gateway: Gateway, text: str) -> None:
    with smtplib.SMTP("127.0.0.1", gateway.ports.smtp, local_hostname="client.example", timeout=30) as client:
        client.sendmail("ann@example.org", ["bob@example.net"], text)


def _client_in_data(gateway: Gateway) -> smtplib.SMTP:
    """A client whose message has begun and has not ended."""
    client = smtplib.SMTP("127.0.0.1", gateway.ports.smtp, local_hostname="client.example", timeout=30)
    client.ehlo()
    client.mail("ann@example.org")
    client.rcpt("bob@example.net")
    client.putcmd("data")
    assert client.getreply()[0] == 354
    return client


def _delivered(root: Path) -> int:
    return len(list((root / "delivered").glob("*.eml")))


def test_daemon_when_running_delivers_ham_holds_spam_and_counts_both(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop, workers=2)
    with running(root, config, ports) as gateway:
        _send(gateway, HAM)
        _send(gateway, SPAM)

        assert _delivered(root) == 1
        assert gateway.metric("filterd_messages_total") == 2
        assert gateway.metric('filterd_messages_total{action="quarantine",channel="email",reason="spam"}') == 1
        assert gateway.metric("filterd_workers_ready") == 2
        assert {event["action"] for event in gateway.events("message.judged")} == {"accept", "quarantine"}
        assert "ann@example.org" not in (root / "log").read_text(encoding="utf-8")
    assert (root / "state/secret").stat().st_mode & 0o777 == 0o600
    assert (root / "state").stat().st_mode & 0o777 == 0o700


def test_worker_when_killed_is_started_again_and_goes_on_counting(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop)
    with running(root, config, ports) as gateway:
        _send(gateway, HAM)
        (before,) = gateway.workers()
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: gateway.workers() not in ([], [before]))
        wait_until(lambda: gateway.admin("readyz")[0] == 200)
        _send(gateway, HAM)

        assert gateway.metric("filterd_messages_total") == 2
        assert gateway.metric("filterd_worker_restarts_total") == 1
        assert gateway.metric("filterd_in_flight") == 0
        assert [event["code"] for event in gateway.events("worker.exited")] == [-9]
    assert gateway.process.returncode == 0


def test_worker_when_it_dies_five_times_ends_the_daemon(root: Path, next_hop: int) -> None:
    """The zygote dies with the first one: the others are started without it."""
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop)
    with running(root, config, ports) as gateway:
        for turn in range(5):
            victim = wait_until(gateway.workers)[0]
            if not turn:
                os.kill(gateway.zygote(), signal.SIGKILL)
            os.kill(victim, signal.SIGKILL)
            wait_until(partial(_has_gone, gateway, victim))
        code = gateway.process.wait(PATIENCE_SECONDS)

    assert code == 1


def test_zygote_when_it_dies_is_missed_once_and_mail_goes_on(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop)
    with running(root, config, ports) as gateway:
        assert not gateway.events("zygote.lost")
        victim = wait_until(gateway.workers)[0]
        os.kill(gateway.zygote(), signal.SIGKILL)
        wait_until(lambda: gateway.events("zygote.lost"))
        os.kill(victim, signal.SIGKILL)
        wait_until(partial(_has_gone, gateway, victim))
        _send(gateway, HAM)

        assert gateway.metric("filterd_messages_total") == 1
    assert len(gateway.events("zygote.lost")) == 1


def _has_gone(gateway: Gateway, pid: int) -> bool:
    return gateway.process.poll() is not None or pid not in gateway.workers()


def test_sigterm_finishes_the_message_in_flight_and_refuses_new_ones(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop)
    with running(root, config, ports) as gateway:
        client = _client_in_data(gateway)
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: gateway.events("server.stopping"))
        wait_until(lambda: _refused(ports.smtp))
        client.send(HAM.encode() + b".\r\n")
        code, _ = client.getreply()
        gateway.process.wait(PATIENCE_SECONDS)
        client.close()

    assert code == 250
    assert _delivered(root) == 1
    assert gateway.process.returncode == 0
    assert gateway.events("server.stopped")[0]["abandoned"] == 0


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_second_sigterm_stops_at_once(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop)
    with running(root, config, ports) as gateway:
        client = _client_in_data(gateway)
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: gateway.events("server.stopping"))
        gateway.signal(signal.SIGTERM)
        gateway.process.wait(10)
        client.close()

    assert gateway.process.returncode == 0


def test_sighup_reads_the_policy_again_and_keeps_it_when_the_new_one_is_wrong(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop)
    with running(root, config, ports) as gateway:
        _send(gateway, SPAM)
        assert _delivered(root) == 0

        write_settings(root, ports, next_hop=next_hop, extra='[policy]\nquarantine_at = "off"\n')
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(gateway.events("server.reloaded")) == 1)
        _send(gateway, SPAM)
        assert _delivered(root) == 1

        write_settings(root, ports, next_hop=next_hop, extra='[policy]\nquarantine_at = "norml"\n')
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(gateway.events("server.reloaded")) == 2)
        _send(gateway, SPAM)
        assert _delivered(root) == 2

        write_settings(
            root, ports, next_hop=next_hop, extra='[scan]\ntimeout_seconds = 5.0\n[policy]\ntag_at = "off"\n'
        )
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(gateway.events("server.reloaded")) == 3)

    loaded, refused, waiting = gateway.events("server.reloaded")
    assert loaded["result"] == "loaded"
    assert refused["result"] == "refused"
    assert "did you mean 'normal'" in refused["detail"]
    assert waiting["detail"] == "restart needed for: scan.timeout_seconds"


def test_daemon_without_database_delivers_ham_defers_spam_and_is_not_ready(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    extra = '[store]\nurl = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"\n'
    config = write_settings(root, ports, next_hop=next_hop, extra=extra)
    with running(root, config, ports, is_ready_needed=False) as gateway:
        wait_until(lambda: gateway.events("server.started"))
        status, body = gateway.admin("readyz")
        _send(gateway, HAM)
        with pytest.raises(smtplib.SMTPDataError) as deferred:
            _send(gateway, SPAM)

    assert status == 503
    assert json.loads(body)["missing"] == ["worker w0: store"]
    assert _delivered(root) == 1
    assert deferred.value.smtp_code == 451


def test_systemd_is_told_ready_reloading_and_stopping(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop)
    path = root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(1)
        heard: list[str] = []
        done = threading.Event()
        thread = threading.Thread(target=_hear, args=(systemd, heard, done))
        thread.start()
        try:
            with running(
                root, config, ports, environ={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "900000"}
            ) as gateway:
                wait_until(lambda: "WATCHDOG=1" in heard)
                gateway.signal(signal.SIGHUP)
                wait_until(lambda: gateway.events("server.reloaded"))
        finally:
            done.set()
            thread.join()

    states = [line for line in heard if not line.startswith(("STATUS=", "WATCHDOG=", "MONOTONIC_USEC="))]
    assert states == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    assert any(line.startswith("MONOTONIC_USEC=") for line in heard)


def _hear(systemd: socket.socket, heard: list[str], done: threading.Event) -> None:
    while not done.is_set():
        try:
            heard += systemd.recv(4096).decode().split("\n")
        except TimeoutError:
            continue


def test_supervisor_when_killed_takes_its_workers_along(root: Path, next_hop: int) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop, workers=2)
    with running(root, config, ports) as gateway:
        workers = gateway.workers()
        gateway.process.kill()
        gateway.process.wait()

        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "workers gone")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ('[policy]\nquarantine_at = "norml"\n', "policy.quarantine_at: no operating point is named 'norml'"),
        ("[policy]\nquarantine = 1\n", "unknown setting policy.quarantine; did you mean policy.quarantine_at?"),
        ('[sms.telnyx]\npublic_key = "not base64"\n', "sms.telnyx.public_key"),
    ],
    ids=["operating-point", "unknown-key", "provider-key"],
)
def test_wrong_configuration_is_one_line_and_exit_code_78(root: Path, extra: str, said: str) -> None:
    config = write_settings(root, Ports.free(), next_hop=1, extra=extra)

    done = _serve(config)

    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].startswith("filterd: ")
    assert said in done.stderr.splitlines()[-1]


def test_port_in_use_is_one_line_and_exit_code_78(root: Path) -> None:
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=1)
    with socket.create_server(("127.0.0.1", ports.smtp)):
        done = _serve(config)

    assert done.returncode == 78
    assert done.stderr == f"filterd: smtp.listen: cannot listen on 127.0.0.1:{ports.smtp}: address already in use\n"


def test_damaged_pinned_bundle_is_one_line_and_exit_code_78(root: Path) -> None:
    config = write_settings(root, Ports.free(), next_hop=1)
    (root / "bundle-email/model.onnx").write_bytes(b"damaged")

    done = _serve(config)

    assert done.returncode == 78
    assert done.stderr.startswith("filterd: models.email: the bundle at ")
    assert len(done.stderr.splitlines()) == 1


def _serve(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "filterd", "serve", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
