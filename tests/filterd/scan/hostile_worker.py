"""A scanner that does what a message tells it to: what a parser bug would look like."""

import ctypes
import os
import socket
import sys

from filterd.core.envelope import Channel
from filterd.core.verdict import Scan
from filterd.inference.loaded import Scorer
from filterd.scan.worker import serve


class Hostile:
    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def scan(self, channel: Channel, raw: bytes) -> Scan:
        if b"DO-HANG" in raw:
            while True:
                pass
        if b"DO-ALLOCATE" in raw:
            hoard = []
            while True:
                hoard.append(bytearray(16 << 20))
        if b"DO-CRASH" in raw:
            ctypes.string_at(0)
        if b"DO-RAISE" in raw:
            raise KeyError("a bug")
        if b"DO-RECURSE" in raw:
            return self.scan(channel, raw)
        if b"DO-WRITE" in raw:
            with open("/tmp/should-not-be-written", "wb") as file:  # noqa: PTH123
                file.write(b"x")
        if b"DO-LOOK" in raw:
            secret = [name for name in os.environ if name.startswith("FILTERD_")]
            raise LookupError(",".join(secret)) if secret else MemoryError
        return self._scorer.scan(channel, raw)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection, Hostile)
