"""The cost of a stored verdict, of a replayed message, and of hosts that have nothing to do."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships none
from sqlalchemy import make_url

from filterd.clock import SystemClock, mint_id
from filterd.core.envelope import Channel, MessageId
from filterd.core.message import ParseLimits
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Scan, Verdict
from filterd.feedback_ports import PastMessage
from filterd.inference.loaded import LoadedModel, Scorer
from filterd.inference.registry import packaged_models
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import an_envelope
from tests.bench.messages import sample
from tests.servers import hosts as installations
from tests.servers import postgres, processes
from tests.servers.gateway import wait_until
from trainer.replay import replay

MODEL = packaged_models() / "email"
_VERDICTS, _BATCH = 6_000, 100
"""So many verdicts, in batches as a worker gathers them in a quarter of a second at 400 a second."""
_ROUNDS = 3
_IDLE_SECONDS = 15.0
_RELAYED = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250, enhanced="2.0.0", lines=("Ok",)))


def scans() -> list[Scan]:
    """What the scanner found in a few hundred mails, inputs and words kept as they are by default."""
    scorer = Scorer({Channel.EMAIL: LoadedModel.open(MODEL, ParseLimits())}, ParseLimits(), keeps_inputs=True)
    return [scorer.scan(Channel.EMAIL, raw) for raw in sample()[0][:300]]


def store_lines(folder: Path) -> list[str]:
    """CPU, octets and write-ahead log of a verdict with its input, on PostgreSQL and SQLite."""
    found = scans()
    programs = postgres.find_programs()
    assert programs is not None, "no PostgreSQL: run tests/servers/fetch.sh"
    with postgres.running(programs) as url:
        there = asyncio.run(_stored(database_url(url, ""), found))
    here = asyncio.run(_stored(database_url("", str(folder)), found))
    size = (folder / "filterd.db").stat().st_size / _VERDICTS
    kept = sum(len(scan.tokens) for scan in found) / len(found)
    return [
        f"{_VERDICTS:,} verdicts of mail in batches of {_BATCH}, with {kept / 1000:.1f} kB each that the model read.",
        "",
        "| database | us of a worker | us of the database | kB stored | kB of WAL |",
        "|---|---:|---:|---:|---:|",
        f"| PostgreSQL | {there['worker']:.0f} | {there['server']:.0f} | {there['kB']:.1f} | {there['wal']:.1f} |",
        f"| SQLite | {here['worker']:.0f} | - | {size / 1000 / _ROUNDS:.1f} | - |",
    ]


def _verdict(scan: Scan, number: int) -> Verdict:
    envelope = an_envelope("alice@example.org", f"user{number % 5_000}@example.net", id=mint_id(SystemClock()))
    decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, detail="", threshold=0.9, scan=scan)
    return Verdict.of(envelope, 5_000, decision, _RELAYED, {"total": 0.01})


async def _stored(url: Any, found: list[Scan]) -> dict[str, float]:
    """Per verdict: microseconds of CPU here and in the server, kB in its tables and in its log."""
    is_server = url.get_backend_name() == "postgresql"
    best: dict[str, float] = {}
    async with SqlStore(url, clock=SystemClock()) as store:
        await store.migrate()
        for _ in range(_ROUNDS):
            verdicts = [_verdict(found[n % len(found)], n) for n in range(_VERDICTS)]
            before = await _server(url) if is_server else {}
            started = time.process_time()
            for start in range(0, _VERDICTS, _BATCH):
                await store.record(*verdicts[start : start + _BATCH])
            spent = {"worker": 1e6 * (time.process_time() - started) / _VERDICTS}
            if is_server:
                after = await _server(url)
                spent |= {name: (after[name] - before[name]) / _VERDICTS for name in after}
            best = {name: min(value, best.get(name, value)) for name, value in spent.items()}
    return best


async def _server(url: Any) -> dict[str, float]:
    """Microseconds of CPU of the server, kB of the database, kB of its log so far."""
    folder = Path(url.query["host"])
    pid = int((folder / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])
    server = await asyncpg.connect(user=url.username, host=str(folder), database=url.database)
    size = await server.fetchval("SELECT pg_database_size(current_database())")
    wal = await server.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    await server.close()
    return {"server": 1e6 * processes.cpu_seconds(pid), "kB": size / 1000, "wal": float(wal) / 1000}


def replay_lines() -> list[str]:
    """CPU of a message that two bundles score again."""
    past = [
        PastMessage(
            id=MessageId(f"{n:032x}"),
            received_at=datetime(2026, 1, 1, tzinfo=UTC),
            sender="ann@example.org",
            recipients=("bob@example.net",),
            action=Action.ACCEPT,
            probability=scan.probability,
            label=None,
            hashing=scan.hashing,
            tokens=scan.tokens,
        )
        for n, scan in enumerate(scans())
    ]
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.process_time()
        replay(past, MODEL, MODEL)
        best = min(best, 1000 * (time.process_time() - started) / len(past))
    return [f"{len(past)} mails replayed with two bundles: {best:.2f} ms of CPU each, the least of {_ROUNDS} rounds."]


def fleet_lines(folder: Path) -> list[str]:
    """What three idle hosts of two workers ask of PostgreSQL, and how soon one hears of what was said on another."""
    with installations.running(folder / "fleet", 3, workers=2) as hosts:
        url = make_url(hosts[0].url)
        pid = int((Path(str(url.query["host"])) / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])
        workers = [worker for host in hosts for worker in host.rig.gateway.workers()]
        time.sleep(_IDLE_SECONDS)
        rates = [_idle(url, pid, workers) for _ in range(_ROUNDS)]
        transactions, server, ours = (min(rate[i] for rate in rates) for i in range(3))
        delays = sorted(_rule_seconds(hosts, n) for n in range(5))
        pointers = sorted(_pointer_seconds(hosts, n) for n in range(3))
    idle = (
        f"3 hosts of 2 workers, idle, one PostgreSQL, the least of {_ROUNDS} rounds of {_IDLE_SECONDS:.0f} s: "
        f"{transactions:.1f} transactions/s, {server:.2f} % of a core in the server, {ours:.2f} % of a core in all six "
        "workers."
    )
    delay = (
        f"Another host knew a rule {delays[0]:.2f} to {delays[-1]:.2f} s after the reply to who gave it, median "
        f"{delays[len(delays) // 2]:.2f} s, and had fetched and pointed to a promoted bundle {pointers[0]:.2f} to "
        f"{pointers[-1]:.2f} s after it; the time to look there is in these."
    )
    return [idle, "", delay]


def _idle(url: Any, pid: int, workers: list[int]) -> tuple[float, float, float]:
    """Transactions a second, percent of a core in the server and in the workers."""

    def now() -> tuple[float, float, float, float]:
        transactions = asyncio.run(_transactions(url))
        ours = sum(processes.own_cpu_seconds(worker) for worker in workers)
        return time.monotonic(), float(transactions), processes.cpu_seconds(pid), ours

    before = now()
    time.sleep(_IDLE_SECONDS)
    after = now()
    seconds = after[0] - before[0]
    return (
        (after[1] - before[1]) / seconds,
        100 * (after[2] - before[2]) / seconds,
        100 * (after[3] - before[3]) / seconds,
    )


async def _transactions(url: Any) -> int:
    server = await asyncpg.connect(user=url.username, host=url.query["host"], database=url.database)
    query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"
    count: int = await server.fetchval(query, url.database)
    await server.close()
    return count


def _rule_seconds(hosts: list[installations.Host], number: int) -> float:
    first, _, third = hosts
    before = third.rig.gateway.metric("filterd_rule_to_effect_seconds_count")
    first.call("POST", "/rules", kind="deny", scope="ann@inbox.example", entry=f"n{number}.letters.example")
    started = time.monotonic()
    wait_until(lambda: third.rig.gateway.metric("filterd_rule_to_effect_seconds_count") > before)
    return time.monotonic() - started


def _pointer_seconds(hosts: list[installations.Host], number: int) -> float:
    first, _, third = hosts
    id = f"email-n{number}"
    installations.publish(first, id)
    pointer = third.rig.root / "state" / "models" / "email" / "current"
    first.call("POST", "/models/email/promote", id=id)
    started = time.monotonic()
    wait_until(lambda: pointer.read_text(encoding="ascii").startswith(f"{id}\n"))
    return time.monotonic() - started
