"""The killable process: hostile bytes are parsed and scored here and nowhere else.

Started as ``python -P -m filterd.scan.worker FD`` with one end of a socket pair as descriptor FD, or as a fork of the
zygote. It loads the bundles, gives up what it does not need, and answers one request after the other until the socket
closes.
"""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from filterd.core.domains import Domains
from filterd.core.envelope import Channel
from filterd.core.mail_view import view
from filterd.core.message import ParseLimits
from filterd.core.report_mail import read_report
from filterd.core.verdict import Scan, ScanFailure
from filterd.errors import ScanDown, Unscannable
from filterd.forking import SCANNER, show_as
from filterd.inference.loaded import Scorer
from filterd.scan.frames import Answer, Ready, Request, Setup, pack, receive_frame, unpack
from filterd.scan.limits import allow_cpu, confine


class Scanning(Protocol):
    """What scores a message."""

    def scan(self, channel: Channel, raw: bytes) -> Scan:
        """Raises Unscannable or ScanDown."""
        ...


def serve(
    connection: socket.socket,
    wrap: Callable[[Scorer], Scanning] = lambda scorer: scorer,
    domains: Domains | None = None,
) -> None:
    """Load what the first frame says, confine this process, answer requests until the other side closes."""
    setup = unpack(receive_frame(connection), Setup)
    folders = {channel: Path(folder) for channel, folder in setup.folders.items()}
    scorer, refused = Scorer.open(
        folders,
        setup.limits,
        keeps_inputs=setup.keeps_inputs,
        is_explaining=setup.is_explaining,
        trusted_authserv_ids=frozenset(setup.trusted_authserv_ids),
        max_signatures=setup.max_signatures,
        domains=domains,
    )
    gc.collect()
    gc.freeze()
    confine(setup.memory_bytes)
    connection.sendall(
        pack(
            Ready(
                models={channel: model.spec.id for channel, model in scorer.models.items()},
                refused={channel: error.detail for channel, error in refused.items()},
            )
        )
    )
    scanning = wrap(scorer)
    while True:
        try:
            request = unpack(receive_frame(connection), Request)
            raw = receive_frame(connection)
        except EOFError:
            return
        except MemoryError:
            connection.sendall(pack(Answer(detail="memory limit", is_last=True)))
            return
        allow_cpu(setup.cpu_seconds)
        answer, is_last = answer_to(scanning, request, raw, setup.limits)
        connection.sendall(answer)
        if is_last:
            return


def answer_to(scanning: Scanning, request: Request, raw: bytes, limits: ParseLimits) -> tuple[bytes, bool]:
    """The answer to one request as a frame, and whether it is the last; never raises."""
    try:
        if request.is_report:
            return pack(Answer(report=read_report(raw, limits))), False
        if request.is_view:
            return pack(Answer(view=view(raw, limits))), False
        return pack(Answer(scan=scanning.scan(request.channel, raw))), False
    except Exception as exc:  # noqa: BLE001  # whatever a message does to a parser is the message's fault
        answer = _failure(exc)
        return pack(answer), answer.is_last


def _failure(error: Exception) -> Answer:
    if isinstance(error, Unscannable):
        return Answer(detail=error.detail)
    if isinstance(error, ScanDown):
        return Answer(failure=ScanFailure.SCAN_DOWN, detail=error.detail)
    if isinstance(error, MemoryError):
        return Answer(detail="memory limit", is_last=True)
    if isinstance(error, RecursionError):
        return Answer(detail="nesting limit", is_last=True)
    return Answer(detail=f"scanner fault: {type(error).__name__}", is_last=True)


def main() -> None:
    """Serve on the descriptor that the only argument names."""
    run(int(sys.argv[1]))


def run(file: int, domains: Domains | None = None) -> None:
    """Serve on this descriptor until the worker is gone."""
    show_as(SCANNER)
    sys.dont_write_bytecode = True
    with socket.socket(fileno=file) as connection:
        try:
            serve(connection, domains=domains)
        except OSError:
            # The worker is gone; there is nobody left to tell.
            sys.exit(1)


if __name__ == "__main__":
    main()
