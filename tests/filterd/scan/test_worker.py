import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.verdict import Scan, ScanFailure
from filterd.errors import ScanDown, Unscannable
from filterd.scan.frames import Answer, Ready, Request, Setup, frame, pack, receive_frame, unpack
from filterd.scan.worker import answer_to
from filterd.testing import a_scan
from tests.filterd.tiny_bundle import SPAM_MAIL, write_bundle

REQUEST = Request(channel=Channel.EMAIL)


class Raising:
    def __init__(self, error: Exception | None = None, author: str = "") -> None:
        self._error = error
        self._author = author

    def scan(self, channel: Channel, raw: bytes) -> Scan:
        if self._error is not None:
            raise self._error
        return a_scan(0.5, author=self._author)


def _answer(scanning: Raising) -> tuple[Answer, bool]:
    data, is_last = answer_to(scanning, REQUEST, b"", ParseLimits())
    return unpack(data[4:], Answer), is_last


@pytest.mark.parametrize(
    ("error", "failure", "is_last"),
    [
        (Unscannable("too deep"), ScanFailure.UNSCANNABLE, False),
        (ScanDown("no model"), ScanFailure.SCAN_DOWN, False),
        (MemoryError(), ScanFailure.UNSCANNABLE, True),
        (RecursionError(), ScanFailure.UNSCANNABLE, True),
        (KeyError("message text"), ScanFailure.UNSCANNABLE, True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_answer_when_a_message_fails_says_how(error: Exception, failure: ScanFailure, *, is_last: bool) -> None:
    answer, ends = _answer(Raising(error))

    assert (answer.scan, answer.failure, answer.is_last, ends) == (None, failure, is_last, is_last)
    assert "message text" not in answer.detail


def test_answer_when_scored_carries_the_scan() -> None:
    assert _answer(Raising())[0].scan == a_scan(0.5)


def test_answer_when_the_scan_cannot_be_sent_is_unscannable() -> None:
    assert _answer(Raising(author="\ud800"))[0].scan is None


def test_frame_when_received_in_pieces_is_whole() -> None:
    ours, theirs = socket.socketpair()
    payload = bytes(range(256)) * 5_000
    with ours, theirs:
        sender = threading.Thread(target=theirs.sendall, args=(frame(payload),))
        sender.start()

        assert receive_frame(ours) == payload
        sender.join()
        theirs.close()
        with pytest.raises(EOFError):
            receive_frame(ours)


def test_worker_when_it_is_ready_is_confined(tmp_path: Path) -> None:
    """Run as the daemon runs it, and looked at from outside."""
    setup = Setup(
        folders={Channel.EMAIL: str(write_bundle(tmp_path, Channel.EMAIL, id="email-x"))},
        limits=ParseLimits(),
        memory_bytes=100 << 20,
        cpu_seconds=5,
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        worker = subprocess.Popen(
            [sys.executable, "-m", "filterd.scan.worker", str(theirs.fileno())], pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        ours.sendall(pack(setup))
        ready = unpack(receive_frame(ours), Ready)
        limits = {name: resource.prlimit(worker.pid, getattr(resource, name)) for name in LIMITS}
        ours.sendall(pack(REQUEST) + frame(SPAM_MAIL))
        answer = unpack(receive_frame(ours), Answer)
        cpu = resource.prlimit(worker.pid, resource.RLIMIT_CPU)[0]
        ours.close()
        code = worker.wait(timeout=30)

    assert ready.models == {Channel.EMAIL: "email-x"}
    assert limits["RLIMIT_CORE"] == limits["RLIMIT_FSIZE"] == (0, 0)
    assert limits["RLIMIT_NOFILE"][1] <= 32
    assert 100 << 20 < limits["RLIMIT_AS"][1] < 4 << 30
    assert 5 <= cpu < 60
    assert answer.scan is not None
    assert answer.scan.probability > 0.99
    assert code == 0


LIMITS = ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_AS")
