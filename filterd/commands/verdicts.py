"""``filterd verdicts``: what was decided about the latest messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import Channel

if TYPE_CHECKING:
    from filterd.config import Loaded
    from filterd.ports import VerdictRow


def run(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    channel: Annotated[Channel | None, typer.Option(help="Only this channel.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> None:
    """List the latest verdicts, newest first."""
    import asyncio
    import os

    from filterd import config as configuration

    loaded = configuration.load(configuration.find(config, os.environ), os.environ)
    rows = asyncio.run(_latest(loaded, limit, channel))
    typer.echo(_as_json(rows) if is_json else _as_table(rows))


async def _latest(loaded: Loaded, limit: int, channel: Channel | None) -> Sequence[VerdictRow]:
    from filterd.store.sql import open_store

    async with open_store(loaded.config) as store:
        return await store.recent(limit=limit, channel=channel)


def _as_json(rows: Sequence[VerdictRow]) -> str:
    import msgspec

    return msgspec.json.encode([msgspec.to_builtins(row) for row in rows]).decode()


def _as_table(rows: Sequence[VerdictRow]) -> str:
    lines = [f"{'id':32}  {'channel':7} {'action':10} {'reason':11} {'outcome':8} {'p(spam)':>8}  sender"]
    for row in rows:
        probability = "-" if row.probability is None else f"{row.probability:.4f}"
        lines.append(
            f"{row.id:32}  {row.channel.value:7} {row.action.value:10} {row.reason.value:11} {row.outcome:8} "
            f"{probability:>8}  {row.sender or '<>'}"
        )
    return "\n".join(lines)
