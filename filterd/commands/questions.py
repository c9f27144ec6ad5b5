"""``filterd questions``: the few messages whose label would help most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from filterd.questions import Asked
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

TITLES = ("id", "why", "action", "p(spam)", "sender", "words")
_WORDS = 5


def run(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many.")] = 5,
) -> None:
    """Name the messages whose label would help most; answer with `filterd report`."""
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> Sequence[Asked]:
        from filterd.clock import SystemClock
        from filterd.questions import ask

        return await ask(store.quality, store, SystemClock(), limit)

    context.show_table(TITLES, [_cells(asked) for asked in context.with_store(config, work)])


def _cells(asked: Asked) -> tuple[str, ...]:
    row = asked.verdict
    return (
        row.id,
        asked.why.value,
        row.action.value,
        "-" if row.probability is None else f"{row.probability:.4f}",
        row.sender or "<>",
        " ".join(found.token for found in row.evidence[:_WORDS]),
    )
