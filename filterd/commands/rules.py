"""``filterd rules``: who always or never gets through, and from where on mail is tagged or held, set at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import MessageId
from filterd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from filterd.core.overlay import ListKind, RuntimeRule
    from filterd.core.policy import Threshold
    from filterd.rule_desk import RuleDesk
    from filterd.rule_ports import AddedRule, RuleRow
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

app = typer.Typer(help="Allow and block senders and set thresholds, without a restart.", no_args_is_help=True)

EntryArgument = Annotated[str, typer.Argument(help="An address, domain, phone number or network.")]
ScopeOption = Annotated[
    str, typer.Option("--for", help="Recipient address, number or domain it holds for; without it, everybody.")
]
MessageOption = Annotated[str, typer.Option("--message", help="Id of the message it is given at.")]
AtOption = Annotated[str, typer.Option(help="strict, normal, lenient, a probability, or off.")]


@app.command("list")
def list_(
    scope: Annotated[
        str | None, typer.Option("--for", help="Only of this recipient or domain; empty for those for everybody.")
    ] = None,
    has_revoked: Annotated[bool, typer.Option("--revoked", help="Also those that were revoked.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    config: ConfigOption = None,
) -> None:
    """List rules that were set at run time, newest first."""
    from filterd.commands import context
    from filterd.core.overlay import known_scope

    try:
        wanted = None if scope is None else known_scope(scope)
    except ValueError as exc:
        raise UsageError(f"--for: {exc}") from None

    async def work(store: SqlStore, _config: Config) -> Sequence[RuleRow]:
        return await store.rules.list(scope=wanted, has_revoked=has_revoked, limit=limit)

    rows = [_cells(row) for row in context.with_store(config, work)]
    context.show_table(("rule", "for", "what", "by", "given", "revoked"), rows)


@app.command()
def allow(
    entry: EntryArgument, scope: ScopeOption = "", message: MessageOption = "", config: ConfigOption = None
) -> None:
    """Let a sender's mail always pass; running daemons go by it within two seconds."""
    from filterd.core.overlay import ListKind

    _give(_entry(scope, ListKind.ALLOW, entry), message, config)


@app.command()
def block(
    entry: EntryArgument, scope: ScopeOption = "", message: MessageOption = "", config: ConfigOption = None
) -> None:
    """Never let a sender's mail pass; running daemons go by it within two seconds."""
    from filterd.core.overlay import ListKind

    _give(_entry(scope, ListKind.DENY, entry), message, config)


@app.command()
def threshold(
    scope: ScopeOption = "",
    tag_at: AtOption = "",
    quarantine_at: AtOption = "",
    is_enabled: Annotated[
        bool | None, typer.Option("--filter/--no-filter", help="Whether anything is filtered at all.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Say from where on mail is tagged and held; what is left out stays as it is."""
    from filterd.core.overlay import Thresholds

    try:
        rule = Thresholds.of(
            scope, tag_at=_threshold(tag_at), quarantine_at=_threshold(quarantine_at), is_enabled=is_enabled
        )
    except ValueError as exc:
        raise UsageError(str(exc)) from None
    _give(rule, "", config)


@app.command()
def revoke(
    number: Annotated[int, typer.Argument(help="The rule's number, as listed.")], config: ConfigOption = None
) -> None:
    """Take a rule back; of thresholds, those of the scope before them hold again."""
    from filterd.commands import context

    async def work(store: SqlStore, config: Config) -> None:
        await _desk(store, config).take_back(number, context.user_name())

    context.with_store(config, work)
    typer.echo(f"rule {number} revoked")


def _give(rule: RuntimeRule, message: str, option: Path | None) -> None:
    from filterd.commands import context

    async def work(store: SqlStore, config: Config) -> AddedRule:
        given_at = MessageId(message) if message else None
        return await _desk(store, config).give(rule, context.user_name(), given_at)

    added = context.with_store(option, work)
    typer.echo(f"rule {added.id} {'holds' if added.is_new else 'holds already'}")


def _desk(store: SqlStore, config: Config) -> RuleDesk:
    from filterd import parent
    from filterd.clock import SystemClock
    from filterd.rule_desk import RuleDesk
    from filterd.rule_ports import RuleOrigin

    return RuleDesk(store.rules, origin=RuleOrigin.CLI, clock=SystemClock(), events=parent.events_of(config))


def _entry(scope: str, kind: ListKind, entry: str) -> RuntimeRule:
    from filterd.core.overlay import ListEntry

    try:
        return ListEntry.of(scope, kind, entry)
    except ValueError as exc:
        raise UsageError(str(exc)) from None


def _threshold(text: str) -> Threshold | None:
    try:
        return float(text)
    except ValueError:
        return text or None


def _cells(row: RuleRow) -> tuple[str, ...]:
    from filterd.core.overlay import told

    given = row.given
    return (
        str(row.id),
        given.rule.scope or "everybody",
        told(given.rule),
        given.by,
        f"{given.given_at:%Y-%m-%d %H:%M}",
        f"{row.revoked_at:%Y-%m-%d %H:%M} by {row.revoked_by}" if row.revoked_at else "",
    )
