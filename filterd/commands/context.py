"""What the commands that work on the store have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

T = TypeVar("T")


def read_config(option: Path | None) -> Config:
    """The effective configuration. Raises ConfigError."""
    from filterd import config as configuration

    return configuration.load(configuration.find(option, os.environ), os.environ).config


def with_store(option: Path | None, work: Callable[[SqlStore, Config], Awaitable[T]]) -> T:
    """What ``work`` returned, given the configured store. Raises ConfigError and StoreUnavailable."""
    import asyncio

    return asyncio.run(opened(option, work))


async def opened(option: Path | None, work: Callable[[SqlStore, Config], Awaitable[T]]) -> T:
    """The same, for commands that have a loop already."""
    from filterd import log
    from filterd.store.sql import open_store

    config = read_config(option)
    # What a person did is told on standard output and kept in the audit table; standard error is for what failed.
    log.configure(config.server.log_format, "warning", process="cli")
    async with open_store(config) as store:
        return await work(store, config)


def user_name() -> str:
    """Who sits at the command line, for the audit trail."""
    import getpass

    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def show_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows: with colours and lines on a terminal, else as plain text, one line each, separated by tabs."""
    cells = [[visible(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in (titles, *cells):
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*titles, box=None, pad_edge=False)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def visible(text: str) -> str:
    """``text`` without what would steer the terminal: a sender chooses these words."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
