"""A private PostgreSQL for tests: its own folder, a Unix socket and nothing else; gone when the test is.

Uses what ``tests/servers/fetch.sh`` unpacked, else what the machine has. PostgreSQL refuses to run as root: root
starts it as an unprivileged user that exists everywhere.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships none
from sqlalchemy import make_url

UNPACKED = Path(__file__).parents[2] / ".servers" / "tree"
USERS = ("postgres", "nobody", "daemon")
_START_SECONDS = 60.0


def find_programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None where there is none."""
    for root in (UNPACKED, Path("/")):
        for folder in sorted(root.glob("usr/lib/postgresql/*/bin"), reverse=True):
            if (folder / "initdb").exists() and (folder / "postgres").exists():
                return folder
    return None


@contextmanager
def running(programs: Path, *, is_durable: bool = False) -> Iterator[str]:
    """A server for as long as the context lasts; the URL of its database ``postgres``.

    ``is_durable`` leaves PostgreSQL's flushing on, which tests of anything else need not wait for.
    """
    folder = Path(tempfile.mkdtemp(prefix="filterd-pg-"))
    as_user = _identity(folder)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", **_libraries(programs)}
    options: dict[str, Any] = {"env": environment, "cwd": folder, **as_user}
    durable = [] if is_durable else ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    try:
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "filterd", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            **options,
        )
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", *durable],
                stdout=log,
                stderr=log,
                **options,
            )
        try:
            _wait(server, folder)
            yield f"postgresql+asyncpg://filterd@/postgres?host={folder}"
        finally:
            # SIGINT is PostgreSQL's fast shutdown: open connections are cut.
            server.send_signal(signal.SIGINT)
            server.wait(_START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """The URL of an empty database on a running server; dropped afterwards."""
    url = make_url(server_url)
    name = f"test_{uuid.uuid4().hex}"
    server = await asyncpg.connect(user=url.username, host=url.query["host"], database=url.database)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        yield url.set(database=name).render_as_string(hide_password=False)
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


async def cut_connections(database: str) -> None:
    """End every connection to ``database`` but the one that says so."""
    url = make_url(database)
    server = await asyncpg.connect(user=url.username, host=url.query["host"], database=url.database)
    try:
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await server.close()


def _identity(folder: Path) -> dict[str, Any]:
    """Whom to run as; the folder is theirs."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next(known[name] for name in USERS if name in known)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _libraries(programs: Path) -> dict[str, str]:
    if not programs.is_relative_to(UNPACKED):
        return {}
    folders = [str(folder) for folder in UNPACKED.glob("usr/lib/*-linux-gnu")]
    return {"LD_LIBRARY_PATH": ":".join(folders)}


def _wait(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Until the server says in its pid file that it is ready."""
    status = folder / "data" / "postmaster.pid"
    for _ in range(int(_START_SECONDS / 0.05)):
        if server.poll() is not None:
            break
        try:
            if status.read_text().rstrip().endswith("ready"):
                return
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
