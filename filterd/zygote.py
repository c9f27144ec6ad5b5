"""The process that workers and scanners are forked from: it has imported everything, and holds nothing.

Started as ``python -P -m filterd.zygote FD`` by the supervisor's program, whose requests come over FD
(``filterd.forking``). It has one thread, runs no event loop, opens no file, and never sees configuration, secret or
message; onnxruntime, which starts a thread as soon as it is imported, is left to the scanners. Ends when the supervisor
is gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lxml.html  # noqa: F401  # found there by what is forked

from filterd import worker
from filterd.core import auth_results, explain, fingerprint, mail_view, report_mail, tokens  # noqa: F401  # the same
from filterd.core.domains import Domains
from filterd.forking import GO, SCANNER, WORKER, ZYGOTE, Zygote, show_as
from filterd.inference import registry  # noqa: F401  # the same

_MOST_FILES = 250
"""The kernel passes 253 descriptors at once (SCM_MAX_FD)."""
_MOST_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    pid: int
    line: socket.socket
    """Where its end is told."""


class _Forker:
    """Carries out requests; everything that is open here is known to its selector."""

    def __init__(self, supervisor: socket.socket, domains: Domains) -> None:
        self._domains = domains
        self._selector = selectors.DefaultSelector()
        self._supervisor = supervisor
        self._selector.register(supervisor, selectors.EVENT_READ)

    def run(self) -> Callable[[], None] | None:
        """None when the supervisor is gone; in a child, what it is to do."""
        while True:
            for key, _ in self._selector.select():
                if isinstance(key.data, _Child):
                    self._bury(key.fd, key.data)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                program, files = _request(key.fileobj)
                if files:
                    work = self._fork(program, files)
                    if work is not None:
                        return work
                elif key.fileobj is self._supervisor:
                    return None
                else:
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()

    def _fork(self, program: str, files: Sequence[int]) -> Callable[[], None] | None:
        """None in this process; in the child, what it is to do."""
        line = socket.socket(fileno=files[0])
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = os.fork()
        except OSError:
            pid = -1
        if not pid:
            self._let_go()
            ours.close()
            os.setsid()
            with line:
                is_wanted = line.recv(_MOST_BYTES) == GO
            return _work(program, files[1:], theirs, self._domains) if is_wanted else _nothing
        theirs.close()
        for each in files[1:]:
            os.close(each)
        if pid < 0:
            line.close()
            ours.close()
            return None
        # A worker asks for its scanners over it; with a scanner it ends at once.
        self._selector.register(ours, selectors.EVENT_READ)
        self._announce(_Child(pid=pid, line=line))
        return None

    def _announce(self, child: _Child) -> None:
        descriptor = os.pidfd_open(child.pid)
        self._selector.register(descriptor, selectors.EVENT_READ, child)
        _say(child.line, child.pid, descriptor)

    def _bury(self, descriptor: int, child: _Child) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(child.pid, 0)
        _say(child.line, os.waitstatus_to_exitcode(status))
        with contextlib.suppress(OSError):
            # What the child did not live to read would reach the other end as an error, in front of the code.
            child.line.recv(_MOST_BYTES, socket.MSG_DONTWAIT)
        child.line.close()

    def _let_go(self) -> None:
        """Close, in a child, everything that was the zygote's."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
            else:
                os.close(key.fd)
                key.data.line.close()
        self._selector.close()


def _request(sock: socket.socket) -> tuple[str, list[int]]:
    """A program and its descriptors; no descriptors from whoever is gone."""
    try:
        said, files, _, _ = socket.recv_fds(sock, _MOST_BYTES, _MOST_FILES)
    except OSError:
        return "", []
    return said.decode("ascii", "replace"), files


def _say(line: socket.socket, number: int, *descriptors: int) -> None:
    try:
        socket.send_fds(line, [str(number).encode()], descriptors)
    except OSError:
        # Whoever asked is gone.
        return


def _work(program: str, files: Sequence[int], zygote: socket.socket, domains: Domains) -> Callable[[], None]:
    """What the child does."""
    if program == WORKER:
        return lambda: worker.run(files, Zygote(zygote))
    assert program == SCANNER
    zygote.close()
    with Path(os.devnull).open("wb") as nowhere:
        for standard in (1, 2):
            os.dup2(nowhere.fileno(), standard)
    return lambda: _scan(files[0], domains)


def _nothing() -> None:
    """End: whoever asked has gone, or waits no longer and uses its files otherwise."""


def _scan(file: int, domains: Domains) -> None:
    # Not before the fork: it imports onnxruntime.
    from filterd.scan.worker import run  # noqa: PLC0415

    run(file, domains)


def main() -> None:
    """Fork until the supervisor is gone; in a child, do its work."""
    show_as(ZYGOTE)
    os.close(os.pidfd_open(os.getpid()))  # where there is none, before anybody relies on it
    domains = Domains()
    domains.registrable("example.com")  # reads the list of suffixes: several megabytes that scanners share
    forker = _Forker(socket.socket(fileno=int(sys.argv[1])), domains)
    gc.collect()
    gc.freeze()
    work = forker.run()
    if work is not None:
        work()


if __name__ == "__main__":
    main()
