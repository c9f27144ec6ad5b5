"""A real S3 server (moto's) in a process of its own on loopback, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import processes
from tests.servers.gateway import PATIENCE_SECONDS
from tests.servers.ports import free_port

BUCKET = "models"
SECRET = "an-invented-secret-key"
_KEY = "AWS4-HMAC-SHA256 Credential=an-invented-key/20260101/us-east-1/s3/aws4_request"
"""Without a key the server takes a request for a stranger's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server with one bucket."""

    endpoint: str

    def environ(self) -> dict[str, str]:
        """The variables that lead a client here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "an-invented-key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """What the server answers; it looks at no signature unless told to."""
        url = f"{self.endpoint}/{urllib.parse.quote(path)}"
        headers = {"Content-Type": "application/octet-stream", "Authorization": _KEY}
        asked = urllib.request.Request(url, data=body, method=method, headers=headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    @contextmanager
    def asking_for_signatures(self) -> Iterator[None]:
        """Requests with an unknown key are refused until the end of the block."""
        self.request("POST", "moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self.request("POST", "moto-api/reset-auth", b"inf")


@contextmanager
def running(log: Path) -> Iterator[S3Server]:
    """The server until the end of the block."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with processes.running(command, log, os.environ) as process:
        server = S3Server(endpoint=f"http://127.0.0.1:{port}")
        _wait_until_ready(process, server, log)
        server.request("PUT", BUCKET)
        yield server


def _wait_until_ready(process: subprocess.Popen[bytes], server: S3Server, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.request("GET", "")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the S3 server did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
