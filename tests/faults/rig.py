"""A real daemon between a sender that remembers and a next hop that records, and the books to audit."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from filterd import config as configuration
from filterd.core.envelope import Channel
from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from filterd.failpoints import VARIABLE
from filterd.ports import HeldState
from filterd.store.schema import HeldRecord
from filterd.store.sql import open_store
from tests.faults.ledger import Audit, Record, audit
from tests.faults.letters import Letter, delivered_from, held_from, record_from, token_in
from tests.faults.sender import Sender
from tests.servers.gateway import LOOPBACK, Gateway, running, write_settings
from tests.servers.log import events_in
from tests.servers.networks import Network

SMTP_LIMITS = """
next_hop_timeout_seconds = 1.0
connect_timeout_seconds = 1.0
idle_timeout_seconds = 2.0
data_timeout_seconds = 4.0
"""
LIMITS = """
[scan]
timeout_seconds = 1.0
[store]
timeout_seconds = 1.0
"""
"""Every limit so short that a whole matrix takes minutes."""
IN_CUSTODY = tuple(state.value for state in (HeldState.PENDING, HeldState.HELD, HeldState.RELEASING))
"""What somebody will act on: pending ones become held by themselves."""


class RecordingHop(MailSink):
    """A next hop that keeps what it took in memory, in the process that audits."""

    def __init__(self, address: str = LOOPBACK) -> None:
        super().__init__(Path(os.devnull).parent)
        self._address = address
        self.taken: list[bytes] = []

    async def start(self, host: str = "", port: int = 0) -> int:
        """Listen; the port in use."""
        return await super().start(host or self._address, port)

    def _keep(self, raw: bytes) -> None:
        self.count += 1
        self.taken.append(raw)


@dataclass(slots=True, kw_only=True)
class Rig:
    """One installation and everything said to and by it."""

    root: Path
    ports: Ports
    config: Path
    hop: RecordingHop
    sender: Sender
    failpoints: Path
    network: Network | None = None
    """Its own; None where it shares this machine's."""
    gateways: list[Gateway] = field(default_factory=list)

    @property
    def gateway(self) -> Gateway:
        """The daemon that runs now."""
        return self.gateways[-1]

    @contextmanager
    def running(self, *, is_ready_needed: bool = True) -> Iterator[Gateway]:
        """The daemon until the end of the block; killed without ceremony if the block fails or kills it."""
        # Compiled files are kept even where the tests are told not to: a daemon that is killed starts often.
        environ = {VARIABLE: str(self.failpoints), "PYTHONDONTWRITEBYTECODE": ""}
        with running(
            self.root,
            self.config,
            self.ports,
            environ=environ,
            is_ready_needed=is_ready_needed,
            under=self.network.enter if self.network else (),
            address=self.sender.address,
        ) as gateway:
            self.gateways.append(gateway)
            yield gateway

    def arm(self, name: str, order: str) -> None:
        """Let a failpoint strike once."""
        draft = self.failpoints / f".{name}"
        draft.write_text(order, encoding="ascii")
        draft.rename(self.failpoints / name)

    def was_reached(self, name: str) -> bool:
        """Whether an armed failpoint has struck."""
        return not (self.failpoints / name).exists()

    def scanners(self) -> list[int]:
        """Process ids of the scanners that run now."""
        return self.gateway.scanners()

    def held_bodies(self) -> list[bytes]:
        """The bodies of the mail in custody."""
        return asyncio.run(self._held_bodies())

    async def _held_bodies(self) -> list[bytes]:
        config = configuration.load(self.config, {}).config
        statement = select(HeldRecord.body).where(
            HeldRecord.channel == Channel.EMAIL.value, HeldRecord.state.in_(IN_CUSTODY)
        )
        async with open_store(config, is_migrating=False) as store:
            rows = await store._read(lambda connection: connection.execute(statement).all())
        return [zlib.decompress(row.body) for row in rows]

    def records(self) -> list[Record]:
        """What the log says became of each message: one line each, written before the sender hears of it."""
        judged = events_in(self.root / "log", "message.judged")
        return [record for event in judged if (record := record_from(event)) is not None]

    def audit(self, only: Letter | None = None) -> Audit:
        """What does not add up so far; with one letter only, or with all."""
        letters = self.sender.letters if only is None else {only.token: only}

        def mine(raws: Sequence[bytes]) -> list[bytes]:
            return [raw for raw in raws if only is None or token_in(raw) == only.token]

        return audit(
            [attempt for attempt in self.sender.attempts if attempt.token in letters],
            [delivered_from(raw, letters) for raw in mine(list(self.hop.taken))],
            [held_from(raw, letters) for raw in mine(self.held_bodies())],
            [record for record in self.records() if only is None or record.token == only.token],
        )


@contextmanager
def installed(
    root: Path,
    *,
    workers: int = 1,
    smtp: str = "",
    extra: str = "",
    url: str = "",
    state: Path | None = None,
    network: Network | None = None,
) -> Iterator[Rig]:
    """A configured installation whose daemon does not run yet; its next hop does.

    ``smtp`` and ``extra`` are more lines for that section and for the end of the configuration; ``url`` names a
    database other than SQLite, ``state`` a state folder elsewhere than in ``root``, ``network`` one of its own.
    """
    ours, theirs = (network.mail.ours, network.mail.theirs) if network else (LOOPBACK, LOOPBACK)
    if network:
        smtp += f'relay_networks = ["{ours}/32"]\n'
    hop = RecordingHop(ours)
    ports = Ports.free()
    with ExitStack() as stack:
        next_hop = stack.enter_context(on_a_thread(hop))
        config = write_settings(root, ports, next_hop=next_hop, workers=workers, state=state, ours=ours, theirs=theirs)
        text = config.read_text(encoding="utf-8").replace("[models]", f"{SMTP_LIMITS}{smtp}\n[models]")
        config.write_text(f"{text}{LIMITS}url = {json.dumps(url)}\n{extra}", encoding="utf-8")
        failpoints = root / "failpoints"
        failpoints.mkdir()
        yield Rig(
            root=root,
            ports=ports,
            config=config,
            hop=hop,
            sender=Sender(port=ports.smtp, address=theirs),
            failpoints=failpoints,
            network=network,
        )
        shutil.rmtree(failpoints, ignore_errors=True)


def redirect(config: Path, port: int) -> None:
    """Let the configuration name another next hop: a proxy in front of the recording one."""
    lines = config.read_text(encoding="utf-8").splitlines()
    changed = [f"next_hop = {json.dumps(f'127.0.0.1:{port}')}" if x.startswith("next_hop = ") else x for x in lines]
    config.write_text("\n".join(changed) + "\n", encoding="utf-8")
