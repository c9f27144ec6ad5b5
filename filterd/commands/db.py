"""``filterd db``: the tables, copies of them, and what is to be forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from filterd.commands.config import ConfigOption
from filterd.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from filterd.settings import Config
    from filterd.store.sql import SqlStore

T = TypeVar("T")

app = typer.Typer(
    help="Upgrade and copy the database, and forget what is old or asked to be forgotten.", no_args_is_help=True
)


@app.command()
def upgrade(config: ConfigOption = None) -> None:
    """Create or upgrade the tables. The daemon does the same when it starts."""

    async def work(store: SqlStore) -> str:
        await store.migrate()
        return await store.revision()

    typer.echo(f"at revision {_as_it_is(config, work)}")


@app.command()
def current(config: ConfigOption = None) -> None:
    """Print the revision of the tables, and the one this version of filterd needs."""
    from filterd.store import migrate

    revision = _as_it_is(config, lambda store: store.revision())
    typer.echo(f"at revision {revision or 'none'}, needs {migrate.newest()}")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Say whether the tables are what this version of filterd needs; exit 78 if not."""
    differences = _as_it_is(config, lambda store: store.differences())
    if differences:
        raise ConfigError(f"the tables differ from what this version needs, run filterd db upgrade: {differences[0]}")
    typer.echo("ok")


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="What `filterd db current` of the older version needs.")],
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
) -> None:
    """Take the tables back to what an older version needs, with the daemon stopped; see docs/operations.md."""
    import asyncio

    from filterd.store import migrate

    stopped = _stopped(config)
    if not is_sure:
        typer.confirm(f"Delete whatever revision {revision} has no place for?", abort=True)
    asyncio.run(migrate.take_back(stopped, revision))
    typer.echo(f"at revision {revision}")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; a file that is there is replaced.", resolve_path=True)],
    config: ConfigOption = None,
) -> None:
    """Copy a SQLite database while the daemon runs, and check the copy."""
    from filterd.commands import context
    from filterd.store import backup

    size_bytes = backup.save(backup.file_of(context.read_config(config), "pg_dump"), file)
    typer.echo(f"{file}: {size_bytes} bytes")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `filterd db backup` made.", resolve_path=True)],
    config: ConfigOption = None,
) -> None:
    """Put a copy of a SQLite database in its place, with the daemon stopped."""
    from filterd.store import backup

    database = backup.file_of(_stopped(config), "pg_restore")
    backup.put_back(file, database)
    typer.echo(f"{database}: as in {file}")


@app.command()
def purge(config: ConfigOption = None) -> None:
    """Delete what is past its retention days. The daemon does so by itself."""
    from filterd.clock import SystemClock
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> Mapping[str, int]:
        return await store.purge(SystemClock().now())

    _print_counts("purged", context.with_store(config, work))


@app.command()
def erase(
    address: Annotated[str, typer.Argument(help="Mail address or phone number.")],
    config: ConfigOption = None,
) -> None:
    """Delete everything that names an address as sender or recipient."""
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> Mapping[str, int]:
        return await store.erase(address, context.user_name())

    _print_counts("erased", context.with_store(config, work))


def _stopped(option: Path | None) -> Config:
    """The configuration of a daemon that does not run on this machine. Raises UsageError."""
    from filterd.commands import context, ready

    config = context.read_config(option)
    if ready.is_running(config.server.admin_listen):
        raise UsageError("stop the daemon first")
    return config


def _as_it_is(option: Path | None, work: Callable[[SqlStore], Awaitable[T]]) -> T:
    """What ``work`` returned on a store whose tables nobody has touched yet."""
    import asyncio

    from filterd.commands import context
    from filterd.store.sql import open_store

    config = context.read_config(option)

    async def opened() -> T:
        async with open_store(config, is_migrating=False) as store:
            return await work(store)

    return asyncio.run(opened())


def _print_counts(what: str, counts: Mapping[str, int]) -> None:
    typer.echo(f"{what}: " + ", ".join(f"{table} {count}" for table, count in counts.items()))
