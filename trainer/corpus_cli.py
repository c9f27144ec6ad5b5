"""``trainer corpus``: messages as Parquet, written, counted and de-duplicated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from filterd.core.envelope import Channel

app = typer.Typer(help="Write messages as Parquet; count and de-duplicate them.", no_args_is_help=True)

OutArgument = Annotated[str, typer.Argument(metavar="PARQUET", help="A new folder, or s3://bucket/prefix")]
LocationArgument = Annotated[str, typer.Argument(metavar="PARQUET", help="A file, a folder or s3://bucket/prefix")]
MemoryOption = Annotated[str, typer.Option(help="Most memory for rows; what does not fit is spilled to $TMPDIR")]


@app.command()
def export(
    channel: Annotated[Channel, typer.Option(help="email or sms")],
    out: OutArgument,
    data: Annotated[Path | None, typer.Option(help="Folder of the corpora, as of `train`")] = None,
) -> None:
    """Write the labelled messages of a channel's corpora; prints how many."""
    from trainer import parquet, rows
    from trainer.cli import data_folder
    from trainer.sources.catalogue import sources_of

    read = (example for source in sources_of(channel) for example in source.examples(data_folder(data)))
    typer.echo(parquet.write(rows.example_tables(read), out, rows.EXAMPLES))


@app.command()
def past(
    out: OutArgument,
    channel: Annotated[Channel, typer.Option(help="email or sms")],
    since: Annotated[str, typer.Option(help="How far back: 24h, 7d")] = "24h",
    config: Annotated[
        Path | None, typer.Option(help="The gateway's file; else $FILTERD_CONFIG, else /etc/filterd/filterd.toml")
    ] = None,
) -> None:
    """Write what a gateway has judged lately, as the model read it, for `replay --past`; prints how many."""
    import os
    from datetime import UTC, datetime

    from filterd import config as settings
    from trainer import parquet, rows
    from trainer.cli import span
    from trainer.sources import feedback

    gateway = settings.load(settings.find(config, os.environ), os.environ).config
    read = feedback.past(gateway, channel, datetime.now(UTC) - span(since))
    typer.echo(parquet.write(rows.past_tables(read), out, rows.PAST))


@app.command()
def stats(location: LocationArgument, memory: MemoryOption = "4GB") -> None:
    """Count messages, distinct ones, dates and groups by corpus and label, and texts that are ham and spam."""
    from trainer.counting import statistics

    typer.echo("\n".join(statistics(location, memory).lines()))


@app.command()
def dedup(location: LocationArgument, out: OutArgument, memory: MemoryOption = "4GB") -> None:
    """Write the first of all messages that are the same: of prepared ones those of equal folded text."""
    from trainer.counting import deduplicate

    before, after = deduplicate(location, out, memory)
    typer.echo(f"{before} messages, {after} of them distinct")
