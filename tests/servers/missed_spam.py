"""The real daemon with its models in front of a sink, and a spam that it lets through."""

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
"""How soon a report acts."""
TEXT = (
    "Hello {name},\r\n\r\nthank you for your patience. Our office has looked at the file of your late uncle once more "
    "and found that the balance may go to you this month. Kindly answer with your full name and a telephone number "
    "where Mr {agent} reaches you in the {time}, and we will arrange the rest between us.\r\n\r\n"
    "With regards\r\n{agent}\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running daemon with two workers, and an administrator's token."""

    ports: Ports
    config: Path
    token: str
    seen: set[str]

    def send(self, text: str, recipient: str = "ann@inbox.example") -> dict[str, object]:
        """Send one mail and return its verdict."""
        return self.send_to(text, recipient)[recipient]

    def send_to(self, text: str, *recipients: str) -> dict[str, dict[str, object]]:
        """Send one mail to several recipients and return the verdict for each."""
        with smtplib.SMTP("127.0.0.1", self.ports.smtp, local_hostname="client.example", timeout=30) as client:
            body = f"From: Office <office@letters.example>\r\nTo: {recipients[0]}\r\nSubject: your file\r\n\r\n{text}"
            client.sendmail("office@letters.example", recipients, body.encode())
        found: dict[str, dict[str, object]] = {}
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            fresh = [row for row in self.call("GET", "/verdicts")["verdicts"] if row["id"] not in self.seen]
            found |= {recipient: row for row in fresh for recipient in row["recipients"]}
            if found.keys() == set(recipients):
                self.seen.update(row["id"] for row in fresh)
                return found
            time.sleep(0.05)
        raise AssertionError("no verdict")

    def call(self, method: str, path: str, **body: object) -> Any:
        """What the API answers."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports.http, timeout=30)) as connection:
            connection.request(method, f"/api/v1{path}", json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            assert response.status < 300, response.read()
            answer = response.read()
            return json.loads(answer) if answer else None


@contextlib.contextmanager
def gateway(folder: Path, store: str = "", extra: str = "") -> Iterator[Gateway]:
    """The daemon in front of a sink; ``store`` is a database, ``extra`` more TOML."""
    ports, config = Ports.free(), folder / "filterd.toml"
    extra += f'[store]\nurl = "{store}"\n' if store else ""
    with on_a_thread(MailSink(folder / "delivered")) as next_hop:
        write_config(config, ports, state=folder / "state", next_hop=next_hop, extra=extra, workers=2)
        token = command(config, "token", "create", "root", "--scope", "admin").split()[-1]
        with daemon(config, ports, folder / "filterd.log"):
            yield Gateway(ports=ports, config=config, token=token, seen=set())


def filled(name: str = "Ann", agent: str = "Dale Porter", time: str = "evening") -> str:
    """A spam that the models let through; another one for other words."""
    return TEXT.format(name=name, agent=agent, time=time)
