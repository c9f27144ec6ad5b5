"""``filterd import``: what other filters left behind: training mail, lists, thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.verdict import Label
from filterd.errors import NotFound, UsageError

if TYPE_CHECKING:
    from filterd.core.foreign_rules import ForeignRules
    from filterd.importing import Batch, Imported
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

app = typer.Typer(help="Take over mail, lists and thresholds of other filters.", no_args_is_help=True)

_Rehearsal = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
_QUEUE = 16
_WORDLIST = (
    "wordlist.db holds counts of words, and no mail: nothing of it can be imported. Import the folders that bogofilter "
    "was trained with: filterd import maildir FOLDER --label spam"
)


@app.command()
def maildir(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Maildirs, mboxes, folders of messages.")],
    label: Annotated[Label, typer.Option(help="What all of it is.")],
    recipient: Annotated[str, typer.Option("--for", help="Whose mail it is: acts on theirs at once.")] = "",
    batch: Annotated[str, typer.Option(help="Name to undo it by; without it, the recipient or the label.")] = "",
    is_rehearsal: _Rehearsal = False,
    config: ConfigOption = None,
) -> None:
    """Take mail as labelled examples: the next model learns from them. Doing it again changes nothing."""
    from filterd.commands import context
    from filterd.importing import Batch

    given = Batch(name=batch or recipient or label.value, label=label, recipient=recipient)

    async def work(store: SqlStore, config: Config) -> Imported:
        return await _take(given, paths, None if is_rehearsal else store, config)

    done = context.with_store(config, work)
    for name in done.unread:
        typer.echo(f"filterd: {name}: breaks a limit, left out", err=True)
    total = done.new + done.repeated
    typer.echo(
        f"{done.new} {'would be ' if is_rehearsal else ''}imported as {label.value}, {done.repeated} known already"
    )
    typer.echo(f"the model in service calls {done.agreed} of {total} so by itself")
    if done.new and not is_rehearsal:
        typer.echo(f"undo: filterd undo --by {given.reporter}")


@app.command()
def spamassassin(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="local.cf, user_prefs.")],
    scope: Annotated[
        str, typer.Option("--for", help="Recipient or domain the lists hold for; without it, everybody.")
    ] = "",
    is_rehearsal: _Rehearsal = False,
    config: ConfigOption = None,
) -> None:
    """Take lists of senders as rules set at run time; what filterd cannot say is listed."""
    from filterd.core.foreign_rules import read_spamassassin

    for path in paths:
        try:
            found = read_spamassassin(_text(path), scope)
        except ValueError as exc:
            raise UsageError(f"--for: {exc}") from None
        new = 0 if is_rehearsal else _give(found, config)
        known = "" if is_rehearsal else f", {len(found.entries) - new} hold already"
        typer.echo(f"{path}: {len(found.entries) if is_rehearsal else new} rules{known}, {len(found.skipped)} skipped")
        _tell(path, found, has_entries=is_rehearsal)
    if not is_rehearsal:
        typer.echo("undo: filterd undo --by import:spamassassin")


@app.command()
def bogofilter(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="bogofilter.cf or .bogofilter.cf.")],
) -> None:
    """Say what the thresholds of bogofilter come near to, and what of it cannot be imported. Writes nothing."""
    from filterd.core.foreign_rules import read_bogofilter

    if path.name.endswith(".db"):
        raise UsageError(_WORDLIST)
    _tell(path, read_bogofilter(_text(path)), has_entries=False)
    typer.echo(_WORDLIST)


async def _take(batch: Batch, paths: list[Path], store: SqlStore | None, config: Config) -> Imported:
    from dataclasses import replace
    from itertools import chain

    from filterd import parent
    from filterd.clock import SystemClock
    from filterd.core.envelope import Channel
    from filterd.errors import BundleError
    from filterd.importing import Importer
    from filterd.mail_folders import messages_in
    from filterd.metrics import Metrics
    from filterd.model_files import ModelFiles
    from filterd.scan.pool import PoolSettings, ScannerPool

    pool = ScannerPool(
        locate=ModelFiles(config).locate,
        settings=replace(PoolSettings.of(config.scan, keeps_inputs=True), scanners=1, queue_per_scanner=_QUEUE),
        events=parent.events_of(config),
        metrics=Metrics.unread(),
    )
    async with pool:
        if Channel.EMAIL not in pool.models:
            raise BundleError(pool.trouble)
        importer = Importer(pool, store, clock=SystemClock())
        return await importer.take(batch, chain.from_iterable(messages_in(path) for path in paths))


def _give(found: ForeignRules, option: Path | None) -> int:
    """How many of the entries are new."""
    from filterd.commands import context

    async def work(store: SqlStore, config: Config) -> int:
        from filterd import parent
        from filterd.clock import SystemClock
        from filterd.rule_desk import RuleDesk
        from filterd.rule_ports import RuleOrigin

        desk = RuleDesk(store.rules, origin=RuleOrigin.CLI, clock=SystemClock(), events=parent.events_of(config))
        added = [await desk.give(entry, "import:spamassassin") for entry in found.entries]
        return sum(each.is_new for each in added)

    return context.with_store(option, work)


def _tell(path: Path, found: ForeignRules, *, has_entries: bool) -> None:
    from filterd.commands.context import visible
    from filterd.core.overlay import told

    for entry in found.entries if has_entries else ():
        typer.echo(f"  {visible(told(entry))}")
    for skipped in found.skipped:
        typer.echo(f"  skipped {path}:{skipped.line}: {visible(skipped.text)}: {skipped.why}")
    for hint in found.hints:
        typer.echo(f"  hint: {visible(hint)}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror}") from None
