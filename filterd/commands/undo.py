"""``filterd undo``: take labels back, one or many; what they did ends at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import MessageId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from filterd.settings import Config
    from filterd.store.sql import SqlStore

_Moment = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])]


def run(
    message: Annotated[str, typer.Option(help="Labels on the message with this id.")] = "",
    reporter: Annotated[str, typer.Option(help="Labels by this reporter.")] = "",
    sender_domain: Annotated[str, typer.Option(help="Labels on mail from this domain and those below it.")] = "",
    campaign: Annotated[str, typer.Option(help="Labels on the message with this id and on near copies of it.")] = "",
    since: _Moment = None,
    until: _Moment = None,
    is_rehearsal: Annotated[bool, typer.Option("--dry-run", help="Only say how many labels are meant.")] = False,
    config: ConfigOption = None,
) -> None:
    """Revoke labels that fit everything given (times in UTC); the ledger keeps them, and who revoked them."""
    from filterd.commands import context
    from filterd.feedback_ports import Labels

    labels = Labels(
        message=MessageId(message) if message else None,
        reporter=reporter,
        sender_domain=sender_domain,
        campaign=MessageId(campaign) if campaign else None,
        since=since.replace(tzinfo=UTC) if since else None,
        until=until.replace(tzinfo=UTC) if until else None,
    )

    async def work(store: SqlStore, _config: Config) -> Sequence[int]:
        return await store.revoke(labels, context.user_name(), is_rehearsal=is_rehearsal)

    found = context.with_store(config, work)
    count = "1 label" if len(found) == 1 else f"{len(found)} labels"
    typer.echo(f"{count} would be revoked" if is_rehearsal else f"{count} revoked")
