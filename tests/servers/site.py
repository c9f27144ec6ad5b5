"""A running daemon with two workers, spoken to as a mail server and through its API."""

from __future__ import annotations

import contextlib
import http.client
import json
import smtplib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filterd.demo.embedded import Ports, command, daemon, write_config
from filterd.demo.sink import MailSink, on_a_thread

EFFECT_SECONDS = 2.0
"""What people decide acts in every worker after this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running daemon with two workers, and an administrator's token."""

    ports: Ports
    config: Path
    token: str
    seen: set[str]

    def send(self, text: str, recipient: str = "ann@inbox.example") -> dict[str, object]:
        """Send one mail and return its verdict."""
        with smtplib.SMTP("127.0.0.1", self.ports.smtp, local_hostname="client.example", timeout=30) as client:
            body = f"From: Office <office@letters.example>\r\nTo: {recipient}\r\nSubject: your file\r\n\r\n{text}"
            client.sendmail("office@letters.example", [recipient], body.encode())
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            fresh = [row for row in self.call("GET", "/verdicts")["verdicts"] if row["id"] not in self.seen]
            if fresh:
                self.seen.update(row["id"] for row in fresh)
                return fresh[0]  # type: ignore[no-any-return]
            time.sleep(0.05)
        raise AssertionError("no verdict")

    def call(self, method: str, path: str, **body: object) -> Any:
        """What the API answers."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports.http, timeout=30)) as connection:
            connection.request(method, f"/api/v1{path}", json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            assert response.status < 300, response.read()
            return json.loads(response.read())


@contextlib.contextmanager
def gateway(folder: Path, store: str = "", settings: str = "") -> Iterator[Gateway]:
    ports, config = Ports.free(), folder / "filterd.toml"
    extra = settings + (f'[store]\nurl = "{store}"\n' if store else "")
    with on_a_thread(MailSink(folder / "delivered")) as next_hop:
        write_config(config, ports, state=folder / "state", next_hop=next_hop, extra=extra, workers=2)
        token = command(config, "token", "create", "root", "--scope", "admin").split()[-1]
        with daemon(config, ports, folder / "filterd.log"):
            yield Gateway(ports=ports, config=config, token=token, seen=set())
