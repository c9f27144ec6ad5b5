"""``filterd report``: a person says what a message really was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import MessageId, is_message_id
from filterd.core.headers import find_id
from filterd.core.verdict import Label
from filterd.errors import NotFound, UsageError

if TYPE_CHECKING:
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

_HEADER_BYTES = 1_048_576


def run(
    label: Annotated[Label, typer.Argument(help="What the message really was.")],
    message: Annotated[str, typer.Argument(help="Its id, or a file with the mail as it was delivered.")],
    recipient: Annotated[
        str, typer.Option("--for", help="Address of the recipient who says so; without it, you say so for everybody.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Report a message as spam or ham: near copies are treated so at once, and the next model learns from it."""
    from filterd.commands import context

    id = MessageId(message) if is_message_id(message) else id_in(Path(message))

    async def work(store: SqlStore, config: Config) -> bool:
        from filterd import parent
        from filterd.clock import SystemClock
        from filterd.core.verdict import Feedback

        # Whoever may write to the database is the administrator.
        feedback = Feedback(
            message_id=id,
            label=label,
            reporter=recipient or context.user_name(),
            given_at=SystemClock().now(),
            origin="cli",
            recipient=recipient,
            is_for_all=not recipient,
        )
        is_new = await store.add_feedback(feedback)
        parent.events_of(config).feedback(feedback, is_new=is_new)
        return is_new

    is_new = context.with_store(config, work)
    typer.echo(f"{id} reported as {label.value}" if is_new else f"{id} was reported as {label.value} already")


def id_in(path: Path) -> MessageId:
    """The id in the X-Filterd-Id header of a delivered mail. Raises NotFound and UsageError."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise NotFound(f"{path} is neither the id of a message nor a file") from None
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from None
    found = find_id(head)
    if found is None:
        raise NotFound(f"{path} has no X-Filterd-Id header: it did not pass this filter")
    return found
