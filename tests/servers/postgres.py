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
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships none
from sqlalchemy import URL, make_url

from tests.servers import processes
from tests.servers.networks import BITS

UNPACKED = Path(__file__).parents[2] / ".servers" / "tree"
PORT = 5432
USERS = ("postgres", "nobody", "daemon")
_START_SECONDS = 60.0


def find_programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None where there is none."""
    for root in (UNPACKED, Path("/")):
        for folder in sorted(root.glob("usr/lib/postgresql/*/bin"), reverse=True):
            if (folder / "initdb").exists() and (folder / "postgres").exists():
                return folder
    return None


@dataclass(slots=True, kw_only=True)
class Server:
    """One data folder and the server that runs on it, if one does."""

    programs: Path
    folder: Path
    """Of the socket and the log; its owner is whom the server runs as."""
    data: Path
    settings: Sequence[str] = ()
    """``name=value``, beside what every server of a test has."""
    addresses: Sequence[str] = ()
    """Where it listens beside its socket; whoever reaches one of them is let in."""
    port: int = PORT
    """At its addresses, and in the name of its socket."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its database ``postgres``."""
        port = "" if self.port == PORT else f"&port={self.port}"
        return f"postgresql+asyncpg://filterd@/postgres?host={self.folder}{port}"

    def url_at(self, address: str) -> str:
        """The same by one of its addresses."""
        return f"postgresql+asyncpg://filterd@{address}:{self.port}/postgres"

    def create(self) -> None:
        """A new data folder."""
        self.data.mkdir(mode=0o700)
        _identity(self.data)
        subprocess.run(
            [self.programs / "initdb", "-D", self.data, "-U", "filterd", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            **self._options(),
        )
        with (self.data / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.writelines(f"host all all {address}/{BITS} trust\n" for address in self.addresses)

    def start(self) -> None:
        """Start it; it may not be ready yet."""
        # What a killed server left may say "ready", or name a process that is now somebody else.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for stale in self.folder.glob(".s.PGSQL.*"):
            stale.unlink()
        listening = (f"listen_addresses={','.join(self.addresses)}", f"port={self.port}")
        settings = [word for setting in (*listening, *self.settings) for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data, "-k", self.folder, *settings],
                stdout=log,
                stderr=log,
                **self._options(),
            )

    def wait(self) -> None:
        """Until the server says in its pid file that it is ready."""
        status = self.data / "postmaster.pid"
        for _ in range(int(_START_SECONDS / 0.05)):
            if self._process is None or self._process.poll() is not None:
                break
            try:
                if status.read_text().rstrip().endswith("ready"):
                    return
            except FileNotFoundError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Let it end in order, if it runs."""
        if self._process is not None:
            # SIGINT is PostgreSQL's fast shutdown: open connections are cut.
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_START_SECONDS)
            self._process = None

    def freeze(self) -> None:
        """Stop every process of it where it is."""
        if self._process is not None and self._process.poll() is None:
            processes.freeze(self._process.pid)

    def kill(self) -> None:
        """Kill it and every process of its own."""
        if self._process is not None and self._process.poll() is None:
            for pid in processes.freeze(self._process.pid):
                os.kill(pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def _options(self) -> dict[str, Any]:
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", **libraries(self.programs)}
        return {"env": environment, "cwd": self.folder, **_identity(self.folder)}


@contextmanager
def running(programs: Path) -> Iterator[str]:
    """A server for as long as the context lasts, which flushes nothing; the URL of its database ``postgres``."""
    with serving(programs) as server:
        yield server.url


@contextmanager
def serving(programs: Path, *, addresses: Sequence[str] = (), port: int = PORT) -> Iterator[Server]:
    """The same server itself, at those addresses too."""
    folder = Path(tempfile.mkdtemp(prefix="filterd-pg-"))
    settings = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
    server = Server(
        programs=programs, folder=folder, data=folder / "data", settings=settings, addresses=addresses, port=port
    )
    try:
        server.create()
        server.start()
        try:
            server.wait()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _connected(url: URL) -> AsyncIterator[asyncpg.Connection]:
    server = await asyncpg.connect(user=url.username, host=url.query["host"], database=url.database)
    try:
        yield server
    finally:
        await server.close()


async def make_database(server_url: str, name: str) -> None:
    """Make an empty database on a running server."""
    async with _connected(make_url(server_url)) as server:
        await server.execute(f"CREATE DATABASE {name}")


@asynccontextmanager
async def fresh_database(server_url: str, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a new database on a running server, empty or a copy of ``template``; dropped afterwards."""
    url = make_url(server_url)
    name = f"test_{uuid.uuid4().hex}"
    async with _connected(url) as server:
        await server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield url.set(database=name).render_as_string(hide_password=False)
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def cut_connections(database: str) -> None:
    """End every connection to ``database`` but the one that says so."""
    async with _connected(make_url(database)) as server:
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _identity(folder: Path) -> dict[str, Any]:
    """Whom to run as, for ``subprocess``; the folder is theirs afterwards."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next(known[name] for name in USERS if name in known)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def libraries(programs: Path) -> dict[str, str]:
    if not programs.is_relative_to(UNPACKED):
        return {}
    folders = [str(folder) for folder in UNPACKED.glob("usr/lib/*-linux-gnu")]
    return {"LD_LIBRARY_PATH": ":".join(folders)}
