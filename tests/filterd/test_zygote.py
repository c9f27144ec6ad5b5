"""The zygote: what it hands out, what it keeps to itself, and that nobody needs it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.forking import LOST, SCANNER, Forked, Zygote, zygote
from filterd.log import AddressMask, Events, get_logger
from filterd.metrics import Metrics
from filterd.scan.frames import Answer, Ready, Request, Setup, frame, pack, receive_frame, unpack
from filterd.scan.pool import PoolSettings, ScannerPool
from filterd.testing import an_envelope
from tests.filterd.tiny_bundle import SPAM_MAIL, write_bundle
from tests.servers import processes
from tests.servers.gateway import wait_until

pytestmark = pytest.mark.slow  # a zygote imports the whole daemon

SECRET = "FILTERD_STORE__URL"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "email", Channel.EMAIL, id="email-1")


@pytest.fixture(scope="module")
def forks() -> Iterator[Zygote]:
    """A zygote that was started by a process with a secret in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SECRET, "sqlite:///secret")
        with zygote() as made:
            yield made


def _scanner(forks: Zygote) -> tuple[Forked, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    with theirs:
        return forks.fork(SCANNER, [theirs.fileno()]), ours


def _zygote() -> int:
    """The youngest; a fork of one has its name, too, until it has begun."""
    return max({*processes.children(os.getpid())}.intersection(processes.named(os.getpid(), "filterd-zygote")))


def _open_files(pid: int) -> list[str]:
    return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]


def test_scanner_when_forked_scores_and_tells_its_exit_code(forks: Zygote, bundle: Path) -> None:
    """A fork does what a fresh process does, and whoever asked for it hears how it ended."""
    scanner, line = _scanner(forks)
    with line:
        setup = Setup(folders={Channel.EMAIL: str(bundle)}, limits=ParseLimits(), memory_bytes=100 << 20, cpu_seconds=5)
        line.sendall(pack(setup))
        ready = unpack(receive_frame(line), Ready)
        line.sendall(pack(Request(channel=Channel.EMAIL)) + frame(SPAM_MAIL))
        answer = unpack(receive_frame(line), Answer)
        is_running = scanner.poll() is None

    assert ready.models == {Channel.EMAIL: "email-1"}
    assert answer.scan is not None
    assert answer.scan.probability > 0.99
    assert is_running
    assert scanner.wait() == 0


def test_fork_when_nobody_waits_for_it_ends_without_touching_its_files(forks: Zygote) -> None:
    """Whoever gave up has started another process on the same socket: two readers would tear requests apart."""
    ours, theirs = socket.socketpair()
    line, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, its_end:
        ours.sendall(b"for another")
        socket.send_fds(forks._socket, [SCANNER.encode()], [its_end.fileno(), theirs.fileno()])
        line.close()
        # Requests are answered in their order: this one is done when the next has an answer.
        scanner, other = _scanner(forks)
        other.close()
        scanner.wait()
        wait_until(lambda: not processes.children(_zygote()), "ended")

        assert theirs.recv(64) == b"for another"


def test_scanner_when_killed_is_seen_to_be_gone(forks: Zygote) -> None:
    """The exit code is that of the signal, as of any child."""
    scanner, line = _scanner(forks)
    with line:
        scanner.kill()

        assert scanner.wait() == scanner.poll() == -signal.SIGKILL
        scanner.kill()


def test_scanner_when_forked_holds_one_socket_and_no_secret(forks: Zygote) -> None:
    """Nothing of the zygote or of its brothers is open in it, and no secret was in what it was copied from."""
    (first, line), (second, other) = _scanner(forks), _scanner(forks)
    with line, other:
        wait_until(lambda: second.pid in processes.named(os.getpid(), "filterd-scanner"), "closed")
        sockets = [name for name in _open_files(second.pid) if name.startswith("socket:")]
        environ = Path(f"/proc/{_zygote()}/environ").read_bytes()

        assert len(sockets) == 1
        assert not [name for name in _open_files(second.pid) if "pidfd" in name or "eventpoll" in name]
        assert SECRET.encode() not in environ
        assert Path(f"/proc/{second.pid}/stat").read_text(encoding="utf-8").split()[5] == str(second.pid)
    assert first.wait() == second.wait()


def test_zygote_when_it_has_forked_has_one_thread_and_keeps_nothing_open(forks: Zygote) -> None:
    """A fork copies one thread: what another one held would be held for ever (fork(2))."""
    scanner, line = _scanner(forks)
    line.close()
    scanner.wait()
    pid = _zygote()

    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    wait_until(lambda: sum(name.startswith("socket:") for name in _open_files(pid)) == 1, "closed")
    assert not [name for name in _open_files(pid) if "pidfd" in name]


async def test_pool_when_its_zygote_is_gone_starts_scanners_afresh(bundle: Path) -> None:
    """Nothing depends on the zygote but speed and memory."""
    with zygote() as made:
        scanner, line = _scanner(made)
        pid = _zygote()
        os.kill(pid, signal.SIGKILL)
        async with ScannerPool(
            locate=lambda: {Channel.EMAIL: bundle},
            settings=PoolSettings(),
            events=Events(get_logger(), AddressMask(b"k")),
            metrics=Metrics(CollectorRegistry()),
            zygote=made,
        ) as pool:
            scan = await pool.scan(an_envelope(), SPAM_MAIL)
        line.close()

    assert scan.probability > 0.99
    assert scanner.wait() == LOST
