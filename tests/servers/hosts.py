"""Several installations on one PostgreSQL, each with a state folder, ports and a next hop of its own, for tests.

A host is processes on one machine, and dies when they are killed. Where it has a network of its own it is cut off from
the database by taking that link down, and hears nothing; where it has none, which needs no right, by a proxy that
resets its connections.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import smtplib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filterd.core.envelope import Channel
from filterd.demo.embedded import command
from filterd.demo.sink import on_a_thread
from filterd.inference.registry import Registry, packaged_models
from tests.faults.ledger import Audit, audit
from tests.faults.letters import Letter, delivered_from, held_from, token_in
from tests.faults.proxy import Fault, Kind, Proxy
from tests.faults.rig import Rig, installed
from tests.filterd.tiny_bundle import BIAS, write_bundle
from tests.servers import networks, postgres, processes
from tests.servers.gateway import wait_until
from tests.servers.networks import Link, Network
from tests.servers.ports import free_port

SECRET = "the same on every host, thirty-two octets or more"
_SOCKET = ".s.PGSQL.5432"
_STEP_SECONDS = 0.05


@dataclass(slots=True, kw_only=True)
class Host:
    """One installation."""

    rig: Rig
    way: Proxy | Link
    """To the database."""
    url: str
    """Of the database itself, past any proxy."""
    token: str = ""
    """Of an administrator, for the API of every host."""

    def cut_off(self) -> None:
        """Take its way to the database away."""
        if isinstance(self.way, Link):
            self.way.take_down()
        else:
            self.way.set(Fault(kind=Kind.REFUSE))

    def connect_again(self) -> None:
        """Give it back."""
        if isinstance(self.way, Link):
            self.way.bring_up()
        else:
            self.way.set(None)

    def die(self) -> None:
        """End every process of it at once, with kill -9."""
        for pid in processes.freeze(self.rig.gateway.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.rig.gateway.process.wait()

    def call(self, method: str, path: str, **body: object) -> Any:
        """What its API answers."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        address, port = self.rig.sender.address, self.rig.ports.http
        with contextlib.closing(http.client.HTTPConnection(address, port, timeout=30)) as connection:
            connection.request(method, f"/api/v1{path}", json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            answer = response.read()
            assert response.status < 300, answer
            return json.loads(answer) if answer else None

    def judged(self, text: str, sender: str, recipient: str = "carol@inbox.example") -> dict[str, Any]:
        """Send one mail; the line of the log about it."""
        before = self._lines(sender)
        address, port = self.rig.sender.address, self.rig.ports.smtp
        with smtplib.SMTP(address, port, local_hostname="client.example", timeout=30) as client:
            body = f"From: Office <office@{sender}>\r\nTo: {recipient}\r\nSubject: your file\r\n\r\n{text}"
            client.sendmail(f"office@{sender}", [recipient], body.encode())
        fresh: list[dict[str, Any]] = wait_until(lambda: self._lines(sender)[len(before) :], f"a verdict on {sender}")
        return fresh[0]

    def _lines(self, sender: str) -> list[dict[str, Any]]:
        return [line for line in self.rig.gateway.events("message.judged") if line["sender"].startswith(f"{sender}:")]

    def model(self) -> str:
        """Id of the bundle that scores mail here, by the metric; empty while there is none."""
        for line in self.rig.gateway.admin("metrics")[1].splitlines():
            if line.startswith('filterd_model_info{channel="email"') and line.endswith(" 1.0"):
                return line.partition('model_id="')[2].partition('"')[0]
        return ""


def seconds_until(condition: Callable[[], bool]) -> float:
    """How long it took."""
    started = time.monotonic()
    wait_until(condition)
    return time.monotonic() - started


def publish(host: Host, id: str, *, bias: float = BIAS) -> None:
    """A small bundle of mail in this host's registry, not in service yet."""
    folder = host.rig.root / "drafts" / id
    write_bundle(folder, Channel.EMAIL, id=id, bias=bias)
    Registry(host.rig.root / "state" / "models", packaged_models()).publish(folder)


def audited(hosts: list[Host]) -> Audit:
    """What does not add up over all hosts together: a sender may turn to another one."""
    letters: dict[str, Letter] = {}
    for host in hosts:
        letters |= host.rig.sender.letters
    raws = [raw for host in hosts for raw in host.rig.hop.taken if token_in(raw)]
    held = [raw for raw in hosts[0].rig.held_bodies() if token_in(raw)]
    return audit(
        [attempt for host in hosts for attempt in host.rig.sender.attempts],
        [delivered_from(raw, letters) for raw in raws],
        [held_from(raw, letters) for raw in held],
    )


@contextlib.contextmanager
def running(root: Path, count: int, *, workers: int = 1, is_apart: bool = False) -> Iterator[list[Host]]:
    """So many hosts that serve; the first one promoted the bundle ``email-first``, and the others have it from it.

    ``is_apart`` gives each a network of its own.
    """
    programs = postgres.find_programs()
    assert programs is not None, "no PostgreSQL: run tests/servers/fetch.sh"
    with contextlib.ExitStack() as stack:
        install = _apart if is_apart else _by_proxies
        hosts = list(install(stack, programs, [root / f"host{n}" for n in range(count)], workers))
        first = hosts[0]
        publish(first, "email-first")
        command(first.rig.config, "model", "promote", "email", "email-first")
        token = command(first.rig.config, "token", "create", "root", "--scope", "admin").split()[-1]
        for host in hosts:
            host.token = token
            stack.enter_context(host.rig.running(is_ready_needed=False))
        for host in hosts:
            wait_until(lambda host=host: host.model() == "email-first", "the bundle on every host")  # type: ignore[misc]  # bound now
            wait_until(lambda host=host: host.rig.gateway.admin("readyz")[0] == 200, "ready")  # type: ignore[misc]
            # The pages load when they are first asked for.
            host.call("GET", "/verdicts")
        yield hosts


def _apart(stack: contextlib.ExitStack, programs: Path, roots: Sequence[Path], workers: int) -> Iterator[Host]:
    """Each in a network of its own."""
    each = stack.enter_context(networks.running(len(roots)))
    addresses = [network.base.ours for network in each]
    server = stack.enter_context(postgres.serving(programs, addresses=addresses, port=free_port()))
    for root, network in zip(roots, each, strict=True):
        rig = _install(stack, root, server.url_at(network.base.ours), workers, network)
        yield Host(rig=rig, way=network.base, url=server.url)


def _by_proxies(stack: contextlib.ExitStack, programs: Path, roots: Sequence[Path], workers: int) -> Iterator[Host]:
    """All in this machine's network."""
    url = stack.enter_context(postgres.running(programs))
    before, _, there = url.partition("host=")
    for root in roots:
        root.mkdir(parents=True)
        proxy = Proxy(Path(there) / _SOCKET, listen=root / _SOCKET)
        stack.enter_context(on_a_thread(proxy))
        yield Host(rig=_install(stack, root, f"{before}host={root}", workers), way=proxy, url=url)


def _install(stack: contextlib.ExitStack, root: Path, url: str, workers: int, network: Network | None = None) -> Rig:
    root.mkdir(parents=True, exist_ok=True)
    rig = stack.enter_context(installed(root, workers=workers, url=url, network=network))
    lines = rig.config.read_text(encoding="utf-8").splitlines()
    # The registry, which hosts share, says what serves; and a busy machine takes its time.
    kept = [line for line in lines if not line.startswith(("email = ", "sms = ", "timeout_seconds = "))]
    text = "\n".join(kept).replace("[server]", f"[server]\nsecret = {json.dumps(SECRET)}")
    rig.config.write_text(text.replace("[scan]", "[scan]\ntimeout_seconds = 20.0"), encoding="utf-8")
    return rig
