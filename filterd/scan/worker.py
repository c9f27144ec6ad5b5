"""The killable process: hostile bytes are parsed and scored here and nowhere else.

Started as ``python -P -m filterd.scan.worker FD`` with one end of a socket pair as descriptor FD. It loads the
bundles, gives up what it does not need, and answers one request after the other until the socket closes.
"""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.verdict import Scan, ScanFailure
from filterd.errors import BundleError, ScanDown, Unscannable
from filterd.inference.loaded import Scorer
from filterd.scan.frames import Answer, Ready, Request, Setup, pack, receive_frame, unpack
from filterd.scan.limits import allow_cpu, confine


class Scanning(Protocol):
    """What scores a message."""

    def scan(self, channel: Channel, raw: bytes) -> Scan:
        """Raises Unscannable or ScanDown."""
        ...


Opener = Callable[[Mapping[Channel, Path], ParseLimits], tuple[Scorer, Mapping[Channel, BundleError]]]


def serve(connection: socket.socket, wrap: Callable[[Scorer], Scanning] = lambda scorer: scorer) -> None:
    """Load what the first frame says, confine this process, answer requests until the other side closes."""
    setup = unpack(receive_frame(connection), Setup)
    folders = {channel: Path(folder) for channel, folder in setup.folders.items()}
    scorer, refused = Scorer.open(folders, setup.limits)
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
        answer = answer_to(scanning, request, raw)
        connection.sendall(pack(answer))
        if answer.is_last:
            return


def answer_to(scanning: Scanning, request: Request, raw: bytes) -> Answer:
    """The answer to one request; never raises."""
    try:
        return Answer(scan=scanning.scan(request.channel, raw))
    except Unscannable as exc:
        return Answer(detail=exc.detail)
    except ScanDown as exc:
        return Answer(failure=ScanFailure.SCAN_DOWN, detail=exc.detail)
    except MemoryError:
        return Answer(detail="memory limit", is_last=True)
    except RecursionError:
        return Answer(detail="nesting limit", is_last=True)
    except Exception as exc:  # noqa: BLE001  # whatever a message does to a parser is the message's fault
        return Answer(detail=f"scanner fault: {type(exc).__name__}", is_last=True)


def main() -> None:
    """Serve on the descriptor that the only argument names."""
    sys.dont_write_bytecode = True
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except OSError:
            # The worker is gone; there is nobody left to tell.
            sys.exit(1)


if __name__ == "__main__":
    main()
