"""``filterd verdicts``: what was decided about the latest messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import Channel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from filterd.ports import VerdictRow
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

TITLES = ("id", "channel", "action", "reason", "outcome", "p(spam)", "sender")


def run(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    channel: Annotated[Channel | None, typer.Option(help="Only this channel.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the latest verdicts, newest first."""
    import json

    import msgspec

    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> Sequence[VerdictRow]:
        return await store.recent(limit=limit, channel=channel)

    rows = context.with_store(config, work)
    if is_json:
        typer.echo(json.dumps(msgspec.to_builtins(rows)))
        return
    context.show_table(TITLES, [_cells(row) for row in rows])


def _cells(row: VerdictRow) -> tuple[str, ...]:
    probability = "-" if row.probability is None else f"{row.probability:.4f}"
    return (
        row.id,
        row.channel.value,
        row.action.value,
        row.reason.value,
        row.outcome,
        probability,
        row.sender or "<>",
    )
