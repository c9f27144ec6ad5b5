"""``filterd undo`` and ``filterd events``: what people did, and taking it back; what it did ends at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import MessageId
from filterd.deed_ports import DeedKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from filterd.deed_ports import Deed, Selection
    from filterd.settings import Config
    from filterd.store.sql import SqlStore
    from filterd.undoing import TakenBack, Undoing

_Moment = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])]
_Message = Annotated[str, typer.Option(help="What was done about the message with this id.")]
_By = Annotated[str, typer.Option("--by", "--reporter", help="What this person, program or reporter did.")]
_Domain = Annotated[str, typer.Option(help="What was done about senders of this domain and those below it.")]
_Campaign = Annotated[str, typer.Option(help="What was done about the message with this id and near copies of it.")]
_Kinds = Annotated[list[DeedKind] | None, typer.Option("--kind", help="Only these; without it, all kinds.")]


def run(
    message: _Message = "",
    by: _By = "",
    sender_domain: _Domain = "",
    campaign: _Campaign = "",
    since: _Moment = None,
    until: _Moment = None,
    kinds: _Kinds = None,
    is_rehearsal: Annotated[bool, typer.Option("--dry-run", help="Only say what is meant.")] = False,
    config: ConfigOption = None,
) -> None:
    """Revoke labels, rules, releases and promotions that fit everything given (times in UTC), and say who did."""
    from filterd.commands import context

    meant = _selection(message, by, sender_domain, campaign, since, until, kinds)

    async def work(store: SqlStore, config: Config) -> TakenBack:
        undoing = _undoing(store, config)
        return await (undoing.rehearse if is_rehearsal else undoing.undo)(meant, context.user_name())

    found = context.with_store(config, work)
    typer.echo(f"{_counted(found)} {'would be revoked' if is_rehearsal else 'revoked'}")
    for line in _consequences(found):
        typer.echo(line)


def events(
    message: _Message = "",
    by: _By = "",
    sender_domain: _Domain = "",
    campaign: _Campaign = "",
    since: _Moment = None,
    until: _Moment = None,
    kinds: _Kinds = None,
    has_revoked: Annotated[bool, typer.Option("--revoked", help="Also those that were revoked.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    config: ConfigOption = None,
) -> None:
    """List labels, rules, releases and promotions, newest first: what `filterd undo` would revoke."""
    from filterd.commands import context

    meant = _selection(message, by, sender_domain, campaign, since, until, kinds)

    async def work(store: SqlStore, config: Config) -> Sequence[Deed]:
        return await _undoing(store, config).find(meant, has_revoked=has_revoked, limit=limit)

    rows = [_cells(deed) for deed in context.with_store(config, work)]
    context.show_table(("at", "kind", "number", "what", "message", "by", "revoked"), rows)


def _selection(
    message: str,
    by: str,
    sender_domain: str,
    campaign: str,
    since: datetime | None,
    until: datetime | None,
    kinds: list[DeedKind] | None,
) -> Selection:
    from filterd.deed_ports import Selection

    return Selection(
        message=MessageId(message) if message else None,
        by=by,
        sender_domain=sender_domain,
        campaign=MessageId(campaign) if campaign else None,
        since=since.replace(tzinfo=UTC) if since else None,
        until=until.replace(tzinfo=UTC) if until else None,
        kinds=frozenset(kinds) if kinds else frozenset(DeedKind),
    )


def _undoing(store: SqlStore, config: Config) -> Undoing:
    from filterd import model_files, parent
    from filterd.undoing import Undoing

    return Undoing(store.deeds, lambda: model_files.registry_of(config), events=parent.events_of(config))


def _counted(found: TakenBack) -> str:
    """``2 labels, 1 rule``: what there is of, or ``0 labels``."""
    undone = found.undone
    kinds = {
        "label": undone.labels,
        "rule": undone.rules,
        "release": undone.releases,
        "promotion": undone.promotions,
    }
    counts = [f"{len(ids)} {kind}{'' if len(ids) == 1 else 's'}" for kind, ids in kinds.items() if ids]
    return ", ".join(counts) or "0 labels"


def _consequences(found: TakenBack) -> list[str]:
    lines = []
    if found.undone.releases:
        lines.append("what was released is delivered and cannot be called back; the label and entries it gave are gone")
    lines += [f"{channel.value}: {id} is in service" for channel, id in found.serving.items()]
    if found.seen_by:
        lines.append(f"seen by: {', '.join(found.seen_by)}; the next training leaves them out")
    return lines


def _cells(deed: Deed) -> tuple[str, ...]:
    return (
        f"{deed.at:%Y-%m-%d %H:%M:%S}",
        deed.kind.value,
        str(deed.number),
        deed.what,
        deed.message or "",
        deed.by,
        f"{deed.revoked_at:%Y-%m-%d %H:%M} by {deed.revoked_by}" if deed.revoked_at else "",
    )
