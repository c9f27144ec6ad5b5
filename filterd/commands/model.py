"""``filterd model``: which bundles there are, which one serves, promote and roll back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import Channel

if TYPE_CHECKING:
    from filterd.core.bundle import BundleSpec
    from filterd.inference.registry import Registry
    from filterd.inference.shelf import Shelf, Standing
    from filterd.promotion import Change, Promoter
    from filterd.settings import Config

app = typer.Typer(help="Show, promote and roll back model bundles.", no_args_is_help=True)

_ROLE = {False: "scores beside the one in service for", True: "decides for"}
IdArgument = Annotated[str, typer.Argument(help="Bundle id; `show` takes the one in service without it.")]
ChannelArgument = Annotated[Channel, typer.Argument(help="email or sms.")]


@app.command("list")
def list_bundles(config: ConfigOption = None) -> None:
    """List the published bundles of each channel and mark the one in service."""
    from filterd.commands.context import show_table

    rows = [
        (shelf.channel.value, version.id, ", ".join(sorted(map(_standing, version.standings))), str(version.folder))
        for shelf in map(partial(_shelf, config), Channel)
        for version in shelf.versions
    ]
    show_table(("channel", "bundle", "", "folder"), rows)


@app.command()
def show(
    channel: ChannelArgument,
    id: Annotated[str, typer.Argument(help="Bundle id; else the one in service.")] = "",
    config: ConfigOption = None,
) -> None:
    """Print what a bundle says about itself: operating points, shapes, corpus, tools, and its card."""
    from filterd import model_files
    from filterd.core.bundle import CARD_FILE
    from filterd.inference.registry import read_spec

    settings, registry = _open(config)
    folder = registry.folder(channel, id) if id else model_files.serving(settings)[channel]
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
    """Put a published bundle into service; running daemons take it within a second or two."""
    _change(config, lambda promoter, by: promoter.promote(channel, id, by))
    typer.echo(f"{channel.value}: {id} is in service")


@app.command()
def rollback(channel: ChannelArgument, config: ConfigOption = None) -> None:
    """Put the previous bundle back into service; running daemons take it within a second or two."""
    changed = _change(config, lambda promoter, by: promoter.roll_back(channel, by))
    typer.echo(f"{channel.value}: {changed.id} is in service")


@app.command()
def shadow(
    channel: ChannelArgument,
    id: Annotated[str, typer.Argument(help="Bundle id; without one, say what is on trial.")] = "",
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Part of the recipients.")] = 1.0,
    decides: Annotated[bool, typer.Option("--decide", help="Let it decide for them: a canary.")] = False,
    is_off: Annotated[bool, typer.Option("--off", help="End the trial.")] = False,
    config: ConfigOption = None,
) -> None:
    """Let a published bundle score live messages beside the one in service, and list what it would do otherwise."""
    from filterd.model_ports import Trial

    if is_off:
        ended = _change(config, lambda promoter, by: promoter.end_trial(channel, by))
        typer.echo(f"{channel.value}: {ended.id or 'nothing'} was on trial")
    elif id:
        trial = Trial(id=id, share=share, decides=decides)
        _change(config, lambda promoter, by: promoter.try_out(channel, trial, by))
        typer.echo(f"{channel.value}: {id} {_ROLE[decides]} {share:.0%} of the recipients")
    else:
        _show_trial(config, channel)


@app.command()
def sign(
    folder: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    key: Annotated[Path, typer.Option(help="PEM file, made by `openssl genpkey -algorithm ed25519`.")],
) -> None:
    """Sign a bundle, for gateways with models.public_key."""
    from filterd.inference.registry import read_bundle
    from filterd.inference.signature import sign as sign_bundle

    spec = read_bundle(folder).spec
    sign_bundle(folder, key)
    typer.echo(f"{spec.id} is signed")


def _show_trial(config: Path | None, channel: Channel) -> None:
    from filterd.commands import context

    trial = _open(config)[1].trial(channel)
    if trial is None:
        typer.echo(f"{channel.value}: nothing is on trial")
        return
    typer.echo(f"{channel.value}: {trial.id} {_ROLE[trial.decides]} {trial.share:.0%} of the recipients")
    found = context.with_store(config, lambda store, _: store.disagreements(channel, trial.id))
    rows = [(f.message, f"{f.candidate_probability:.4f}", f"{f.incumbent_probability:.4f}") for f in found]
    context.show_table(("message", "p(spam) of the candidate", "in service"), rows)


def _change(option: Path | None, change: Callable[[Promoter, str], Awaitable[Change]]) -> Change:
    """What was changed; models change without a database, too."""
    import asyncio

    from filterd.commands import context
    from filterd.promotion import Promoter

    async def carry_out() -> Change:
        promoter = Promoter(lambda: _open(option)[1], _Trail(option), partial(_share, option))
        return await change(promoter, context.user_name())

    changed = asyncio.run(carry_out())
    if changed.unaudited:
        typer.echo(f"filterd: not in the audit trail: {changed.unaudited}", err=True)
    return changed


async def _share(option: Path | None) -> None:
    """Bring this host's registry and those of the hosts on the same database together."""
    from filterd.commands import context
    from filterd.model_files import sharing

    await context.opened(option, lambda store, config: sharing(config, store.models).meet())


class _Trail:
    """Implements ``model_ports.AuditTrail``; opens the store only when there is something to write down."""

    def __init__(self, option: Path | None) -> None:
        self._option = option

    async def note(self, event: str, target: str, by: str, note: str = "") -> None:
        """See ``model_ports.AuditTrail``."""
        from filterd.commands import context

        await context.opened(self._option, lambda store, _: store.note(event, target, by, note))


def _open(option: Path | None) -> tuple[Config, Registry]:
    from filterd import model_files
    from filterd.commands.context import read_config

    config = read_config(option)
    return config, model_files.registry_of(config)


def _shelf(option: Path | None, channel: Channel) -> Shelf:
    from filterd.inference.shelf import shelf_of
    from filterd.model_files import pinned

    config, registry = _open(option)
    return shelf_of(registry, channel, pinned(config)[channel])


def _standing(standing: Standing) -> str:
    return standing.value.replace("_", " ")
