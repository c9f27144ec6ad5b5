"""``filterd model``: which bundles there are, which one serves, promote and roll back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import Channel

if TYPE_CHECKING:
    from filterd.core.bundle import BundleSpec
    from filterd.inference.registry import Registry
    from filterd.settings import Config

app = typer.Typer(help="Show, promote and roll back model bundles.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="Bundle id; `show` takes the one in service without it.")]
ChannelArgument = Annotated[Channel, typer.Argument(help="email or sms.")]


@app.command("list")
def list_bundles(config: ConfigOption = None) -> None:
    """List the published bundles of each channel and mark the one in service."""
    from filterd.commands.context import show_table
    from filterd.inference.registry import read_spec

    settings, registry = _open(config)
    rows = []
    for channel, serving in _serving(settings, registry).items():
        published = {id: registry.folder(channel, id) for id in registry.list(channel)}
        if serving not in published.values():
            published[read_spec(serving).id if serving.is_dir() else "none"] = serving
        for id, folder in published.items():
            mark = "in service" if folder == serving else "previous" if id == registry.previous(channel) else ""
            rows.append((channel.value, id, mark, str(folder)))
    show_table(("channel", "bundle", "", "folder"), rows)


@app.command()
def show(
    channel: ChannelArgument,
    id: Annotated[str, typer.Argument(help="Bundle id; else the one in service.")] = "",
    config: ConfigOption = None,
) -> None:
    """Print what a bundle says about itself: operating points, shapes, corpus, tools, and its card."""
    from filterd.core.bundle import CARD_FILE
    from filterd.inference.registry import read_spec

    settings, registry = _open(config)
    folder = registry.folder(channel, id) if id else _serving(settings, registry)[channel]
    spec: BundleSpec = read_spec(folder)
    typer.echo(spec.to_json(), nl=False)
    card = folder / CARD_FILE
    if card.is_file():
        typer.echo("\n" + card.read_text(encoding="utf-8"), nl=False)


@app.command()
def publish(source: Annotated[Path, typer.Argument(help="Folder of a bundle.")], config: ConfigOption = None) -> None:
    """Copy a bundle into the registry without putting it into service."""
    _, registry = _open(config)
    typer.echo(registry.publish(source))


@app.command()
def promote(
    channel: ChannelArgument, id: Annotated[str, typer.Argument(help="Bundle id.")], config: ConfigOption = None
) -> None:
    """Put a published bundle into service; running daemons take it on SIGHUP."""
    _, registry = _open(config)
    registry.promote(channel, id)
    typer.echo(f"{channel.value}: {id} is in service; reload the daemon (SIGHUP)")


@app.command()
def rollback(channel: ChannelArgument, config: ConfigOption = None) -> None:
    """Put the previous bundle back into service; running daemons take it on SIGHUP."""
    from filterd.errors import UsageError

    _, registry = _open(config)
    previous = registry.previous(channel)
    if previous is None:
        raise UsageError(f"no bundle of channel {channel.value} was in service before")
    registry.promote(channel, previous)
    typer.echo(f"{channel.value}: {previous} is in service; reload the daemon (SIGHUP)")


def _open(option: Path | None) -> tuple[Config, Registry]:
    from filterd import bootstrap
    from filterd.commands.context import read_config

    config = read_config(option)
    return config, bootstrap.registry_of(config)


def _serving(config: Config, registry: Registry) -> dict[Channel, Path]:
    return registry.locate({Channel.EMAIL: config.models.email, Channel.SMS: config.models.sms})
