"""The fault matrix: {next hop, upstream, database, disk, model} x what can happen to it x when in the transaction.

Every cell: a message meets the fault, the fault ends, its sender repeats it until it is taken. No cell may end in a
loss, a copy too many, a verdict nobody gave, or a 5xx of ours. Left out by rule:

- a part can do only what it can do: replies (4xx, 5xx, 421) come from a speaker of SMTP only, a sender cannot refuse a
  connection it makes itself, a disk is full here and broken in ``test_disk.py``, a scanner has no connection to
  half-close;
- a next hop that says no has not taken the message: 4xx, 5xx and 421 are said before the final dot has been taken;
- QUIT and RSET to the next hop have no message behind them: one nature of message each.

A few cells run with ``make test``, all of them with ``make faults``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from filterd.demo.sink import on_a_thread
from tests.faults.ledger import Nature, Told
from tests.faults.letters import Letter
from tests.faults.proxy import Fault, Kind, Proxy, SmtpProxy, Where
from tests.faults.rig import Rig, installed, redirect
from tests.faults.sender import Manner, Stage
from tests.servers import postgres
from tests.servers.gateway import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LARGE = 300_000
"""Octets that do not fit between two processes at once: a fault in the body is met in the middle."""
LADDER = "[policy]\nscan_down_defer_seconds = 1.0\n"
NATURES = (Nature.HAM, Nature.SPAM)
CONNECTION = (Kind.REFUSE, Kind.HANG, Kind.HALF_CLOSE, Kind.RESET, Kind.SLOW, Kind.GARBAGE)
SAID = (Kind.SOFT, Kind.HARD, Kind.CLOSING)
NEXT_HOP = [
    (kind, where) for kind, where in itertools.product(Kind, Where) if not (where is Where.DOT and kind in SAID)
]
FEW = {Kind.HANG, Kind.RESET, Kind.GARBAGE}


def cells(table: list[tuple[Any, ...]], is_always: Callable[..., bool]) -> list[Any]:
    """The cells as parameters; those that are not always run are for ``make faults``."""
    return [
        pytest.param(*cell, id="-".join(str(part) for part in cell), marks=[] if is_always(*cell) else pytest.mark.long)
        for cell in table
    ]


def play(
    rig: Rig,
    letter: Letter,
    *,
    stage: Stage | None = None,
    strike: Callable[[], None] | None = None,
    manner: Manner | None = None,
    end: Callable[[], None] = lambda: None,
    is_theirs: bool = False,
) -> Told:
    """One message that meets a fault and is repeated once the fault has ended; what its sender was told at first."""

    async def send() -> Told:
        first = await rig.sender.send(letter, stage=stage, strike=strike, manner=manner, is_theirs=is_theirs)
        await asyncio.to_thread(end)
        if first.told is not Told.ACKED and not (first.told is Told.REFUSED and strike is None and manner is None):
            await rig.sender.deliver(letter)
        return first.told

    return asyncio.run(send())


# --- next hop ------------------------------------------------------------------------------------------------


@contextmanager
def behind_proxy(root: Path, smtp: str = "") -> Iterator[tuple[Rig, SmtpProxy]]:
    """A daemon whose next hop is reached through a proxy."""
    with installed(root, smtp=smtp) as rig:
        port = int(rig.config.read_text(encoding="utf-8").partition('next_hop = "127.0.0.1:')[2].partition('"')[0])
        proxy = SmtpProxy(port)
        with on_a_thread(proxy) as proxied:
            redirect(rig.config, proxied)
            with rig.running():
                yield rig, proxy


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, SmtpProxy]]:
    with behind_proxy(tmp_path_factory.mktemp("pooled")) as both:
        yield both


@pytest.fixture(scope="module")
def parting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, SmtpProxy]]:
    """A daemon that parts from the next hop after every message."""
    with behind_proxy(tmp_path_factory.mktemp("parting"), "next_hop_connections = 0") as both:
        yield both


@pytest.mark.invariant("I1", "I2", "I3", "I4", "I6")
@pytest.mark.parametrize(
    ("kind", "where"), cells(NEXT_HOP, lambda kind, where: kind in FEW and where in (Where.DOT, Where.BODY))
)
def test_next_hop(request: pytest.FixtureRequest, kind: Kind, where: Where) -> None:
    rig, proxy = request.getfixturevalue("parting" if where is Where.QUIT else "pooled")
    nature = Nature.SPAM if where is Where.RSET else Nature.HAM
    letter = Letter(token=f"hop-{kind}-{where}", nature=nature, size=LARGE if where is Where.BODY else 0)
    proxy.struck = 0
    proxy.set(Fault(kind=kind, where=where))

    told = play(rig, letter, end=lambda: proxy.set(None), is_theirs=kind is Kind.HARD)

    has_no_message = where in (Where.QUIT, Where.RSET)
    if has_no_message:
        wait_until(lambda: proxy.struck, "the next hop was told so")
    assert proxy.struck
    if kind is Kind.SLOW and where is Where.BODY:
        assert told is not Told.REFUSED  # on a busy machine slow is slower than the limit
    elif has_no_message or (kind is Kind.SLOW and where is not Where.DOT_LOST):
        assert told is Told.ACKED
    elif kind is Kind.HARD:
        assert told is Told.REFUSED
    else:
        assert told in (Told.DEFERRED, Told.UNCLEAR)
    assert rig.audit(letter).faults() == {}


# --- upstream ------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I1", "I3", "I6")
@pytest.mark.parametrize(
    ("manner", "stage"),
    cells(list(itertools.product(Manner, Stage)), lambda manner, stage: stage is Stage.DOT and manner != Manner.SLOW),
)
def test_upstream(pooled: tuple[Rig, SmtpProxy], manner: Manner, stage: Stage) -> None:
    rig, _ = pooled
    letter = Letter(token=f"upstream-{manner}-{stage}")

    told = play(rig, letter, stage=stage, manner=manner, is_theirs=manner is Manner.GARBAGE)

    if manner is Manner.SLOW or stage is Stage.QUIT:
        assert told is Told.ACKED
    if manner is Manner.HALF_CLOSE and stage is Stage.DOT:
        assert told is Told.ACKED
    assert rig.audit(letter).faults() == {}


# --- database ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Proxy]]:
    """A daemon whose PostgreSQL is reached through a proxy."""
    programs = postgres.find_programs()
    if programs is None:
        assert not os.environ.get("CI"), "no PostgreSQL on this machine"
        pytest.skip("no PostgreSQL on this machine")
    root = tmp_path_factory.mktemp("far")
    with ExitStack() as stack:
        url = stack.enter_context(postgres.running(programs))
        name = ".s.PGSQL.5432"
        proxy = Proxy(Path(url.partition("host=")[2]) / name, listen=root / name)
        stack.enter_context(on_a_thread(proxy))
        rig = stack.enter_context(installed(root, url=f"{url.partition('host=')[0]}host={root}"))
        stack.enter_context(rig.running())
        yield rig, proxy


@pytest.mark.invariant("I1", "I3", "I6", "I8")
@pytest.mark.real
@pytest.mark.parametrize(
    ("kind", "stage", "nature"),
    cells(
        list(itertools.product(CONNECTION, Stage, NATURES)),
        lambda kind, stage, _nature: kind in FEW and stage is Stage.DOT,
    ),
)
def test_postgresql(far: tuple[Rig, Proxy], kind: Kind, stage: Stage, nature: Nature) -> None:
    rig, proxy = far
    letter = Letter(token=f"pg-{kind}-{stage}-{nature}", nature=nature)

    told = play(rig, letter, stage=stage, strike=lambda: proxy.set(Fault(kind=kind)), end=lambda: proxy.set(None))

    # Mail that passes does not need the database.
    assert told is Told.ACKED or (nature is Nature.SPAM and told is Told.DEFERRED)
    assert rig.audit(letter).faults() == {}


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon on SQLite."""
    with installed(tmp_path_factory.mktemp("near"), extra=LADDER) as rig, rig.running():
        yield rig


@pytest.mark.invariant("I1", "I3", "I6", "I8")
@pytest.mark.parametrize(
    ("kind", "stage", "nature"),
    cells(
        list(itertools.product((Kind.HANG, Kind.SLOW), Stage, NATURES)),
        lambda kind, stage, _nature: kind is Kind.HANG and stage is Stage.DOT,
    ),
)
def test_sqlite(near: Rig, kind: Kind, stage: Stage, nature: Nature) -> None:
    """Another process holds the lock: until the message has been answered, or for a third of a second."""
    letter = Letter(token=f"sqlite-{kind}-{stage}-{nature}", nature=nature)
    other = sqlite3.connect(near.root / "state/filterd.db", isolation_level=None, check_same_thread=False, timeout=5)
    timer = threading.Timer(0.3, other.rollback)

    def strike() -> None:
        other.execute("BEGIN IMMEDIATE")
        if kind is Kind.SLOW:
            timer.start()

    def end() -> None:
        if kind is Kind.SLOW:
            timer.join()
        else:
            other.rollback()

    try:
        told = play(near, letter, stage=stage, strike=strike, end=end)
    finally:
        other.close()

    assert told is Told.ACKED or (nature is Nature.SPAM and kind is Kind.HANG and told is Told.DEFERRED)
    assert near.audit(letter).faults() == {}


# --- disk ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon whose state is on a disk of 8 MB."""
    root = tmp_path_factory.mktemp("small")
    state = root / "state"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(state)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a file system")
    try:
        with installed(root) as rig:
            text = rig.config.read_text(encoding="utf-8")
            rig.config.write_text(text.replace("[store]", "[store]\nmin_free_bytes = 65536"), encoding="utf-8")
            with rig.running():
                yield rig
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)


@pytest.mark.invariant("I1", "I2", "I8")
@pytest.mark.parametrize(
    ("stage", "nature"),
    cells(list(itertools.product(Stage, NATURES)), lambda stage, _nature: stage in (Stage.MAIL, Stage.DOT)),
)
def test_full_disk(small: Rig, stage: Stage, nature: Nature) -> None:
    letter = Letter(token=f"disk-{stage}-{nature}", nature=nature, size=LARGE)
    balloon = small.root / "state/balloon"

    def fill() -> None:
        with balloon.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1_024))
            except OSError:
                return

    told = play(small, letter, stage=stage, strike=fill, end=balloon.unlink)

    if stage is Stage.MAIL:
        assert told is Told.DEFERRED
        assert small.sender.attempts[-2].reply.startswith("452")
    elif nature is Nature.HAM:
        assert told is Told.ACKED
    assert small.audit(letter).faults() == {}


# --- model ---------------------------------------------------------------------------------------------------


def tell(rig: Rig, number: signal.Signals) -> None:
    """Send every scanner a signal."""
    for pid in rig.scanners():
        os.kill(pid, number)


@pytest.mark.invariant("I1", "I2", "I9")
@pytest.mark.parametrize(
    ("kind", "stage", "nature"),
    cells(
        list(itertools.product((Kind.HANG, Kind.RESET, Kind.SLOW), Stage, NATURES)),
        lambda kind, stage, _nature: kind in FEW and stage is Stage.DOT,
    ),
)
def test_scanner(near: Rig, kind: Kind, stage: Stage, nature: Nature) -> None:
    """The scanner stops, dies, or stops for a third of a second."""
    wait_until(near.scanners, "scanners")
    letter = Letter(token=f"scanner-{kind}-{stage}-{nature}", nature=nature)

    def strike() -> None:
        tell(near, signal.SIGKILL if kind is Kind.RESET else signal.SIGSTOP)
        if kind is Kind.SLOW:
            threading.Timer(0.3, tell, (near, signal.SIGCONT)).start()

    told = play(near, letter, stage=stage, strike=strike, end=lambda: tell(near, signal.SIGCONT))

    assert told in (Told.ACKED, Told.DEFERRED)
    assert near.audit(letter).faults() == {}


@pytest.mark.invariant("I1", "I9")
@pytest.mark.parametrize(
    ("stage", "nature"),
    cells(list(itertools.product(Stage, NATURES)), lambda stage, _nature: stage is Stage.DOT),
)
def test_no_model(near: Rig, stage: Stage, nature: Nature) -> None:
    """The scanner dies and no other can start: mail waits, then passes, and never with a verdict."""
    wait_until(lambda: near.gateway.admin("readyz")[0] == 200 and near.scanners(), "ready")
    is_scored = stage is Stage.QUIT
    letter = Letter(token=f"model-{stage}-{nature}", nature=nature if is_scored else Nature.UNSCORED)

    def strike() -> None:
        for name in ("email", "sms"):
            (near.root / f"bundle-{name}").rename(near.root / f"away-{name}")
        tell(near, signal.SIGKILL)

    try:
        told = play(near, letter, stage=stage, strike=strike)
    finally:
        for name in ("email", "sms"):
            (near.root / f"away-{name}").rename(near.root / f"bundle-{name}")
        near.gateway.signal(signal.SIGHUP)

    assert told in (Told.ACKED, Told.DEFERRED)
    assert near.audit(letter).faults() == {}
