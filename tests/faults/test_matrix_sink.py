"""The next hop's column of the fault matrix once more, with Postfix's own smtp-sink as the next hop."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.ledger import Delivered, Nature, Told, audit
from tests.faults.letters import Letter, delivered_from
from tests.faults.rig import Rig, installed, redirect
from tests.servers import postfix
from tests.servers.gateway import wait_until
from tests.servers.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(300)]

FAULTS = {"5xx": ("-f", ""), "4xx": ("-r", ""), "close": ("-q", ""), "421": ("-Q", ""), "hang": ("-W", ":3")}
"""What it does -> smtp-sink's option, and what follows the command there."""
DUMP = ("-d", "%s.")
COMMANDS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")
CELLS = [
    (fault, command)
    for fault, command in itertools.product(FAULTS, COMMANDS)
    if not (command == "EHLO" and fault == "5xx")  # then HELO is tried, and is as good
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An installation whose next hop is started by each test."""

    rig: Rig
    port: int
    dumps: Path

    def sink(self, *options: str) -> AbstractContextManager[None]:
        """smtp-sink for as long as the block lasts."""
        return postfix.smtp_sink(self.port, *options, folder=self.dumps, backlog=9)

    def taken(self, letter: Letter) -> list[Delivered]:
        """The sink's copies; it writes lines of its own in front, ends lines with LF and adds an empty one."""
        raws = [path.read_bytes() for path in self.dumps.iterdir()]
        mine = [raw for raw in raws if f"X-Token: {letter.token}\n".encode() in raw]
        return [
            delivered_from(re.sub(rb"\n\Z", b"", raw).replace(b"\n", b"\r\n"), {letter.token: letter}) for raw in mine
        ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    postfix.require()
    root = tmp_path_factory.mktemp("sink")
    dumps = root / "dumps"
    dumps.mkdir()
    for folder in (dumps, *dumps.parents[:3]):  # the sink gives up root before it writes
        folder.chmod(folder.stat().st_mode | 0o011)
    dumps.chmod(0o777)
    port = free_port()
    with installed(root) as rig:
        redirect(rig.config, port)
        with rig.running():
            yield Site(rig=rig, port=port, dumps=dumps)


@pytest.mark.parametrize(("fault", "command"), CELLS)
def test_smtp_sink(site: Site, fault: str, command: str) -> None:
    # The token is part of an address, which ends in no dot.
    letter = Letter(token=f"sink-{fault}-{command.replace('.', 'dot')}", nature=Nature.HAM)
    option, more = FAULTS[fault]
    sender = site.rig.sender
    is_theirs = fault == "5xx" and command != "CONNECT"

    # It writes down what it then refuses: that it did not take.
    dump = () if fault in ("4xx", "5xx") else DUMP
    with site.sink(option, f"{command}{more}", *dump):
        first = asyncio.run(sender.send(letter, is_theirs=is_theirs))
    with site.sink(*DUMP):
        asyncio.run(sender.deliver(letter))

    assert first.told in ((Told.REFUSED,) if is_theirs else (Told.DEFERRED, Told.UNCLEAR))
    wait_until(lambda: site.taken(letter), "the dump")
    attempts = [attempt for attempt in sender.attempts if attempt.token == letter.token]
    assert audit(attempts, site.taken(letter), []).faults() == {}
