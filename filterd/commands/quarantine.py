"""``filterd quarantine``: what people do with held messages."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import Channel, MessageId
from filterd.errors import NotFound, RelayUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from filterd.ports import HeldMessage, HeldSummary
    from filterd.release import Released
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

app = typer.Typer(help="List, show, release and delete held messages.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="The message's id, as listed; its first characters are enough.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_PREFIX_CHARS = 8
_ID_CHARS = 32


@app.command("list")
def list_(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    channel: Annotated[Channel | None, typer.Option(help="Only this channel.")] = None,
    query: Annotated[str, typer.Option(help="Part of sender, recipient or subject.")] = "",
    is_json: JsonOption = False,
) -> None:
    """List held messages, newest first."""
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> Sequence[HeldSummary]:
        return await store.list_held(limit=limit, channel=channel, query=query)

    found = context.with_store(config, work)
    if is_json:
        _print_json([_tree(summary) for summary in found])
        return
    titles = ("id", "received", "sender", "recipients", "reason", "p(spam)", "subject")
    context.show_table(titles, [_cells(summary) for summary in found])


@app.command()
def show(
    id: IdArgument,
    config: ConfigOption = None,
    is_raw: Annotated[bool, typer.Option("--raw", help="Write the message itself, as it was received.")] = False,
    is_json: JsonOption = False,
) -> None:
    """Show what is known of one message and its header; its body only with --raw."""
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> HeldMessage:
        return await store.held(await _resolve(store, id))

    held = context.with_store(config, work)
    if is_raw:
        sys.stdout.buffer.write(held.raw)
    elif is_json:
        _print_json(_tree(held.summary))
    else:
        for name, value in _tree(held.summary).items():
            typer.echo(f"{name}: {context.visible(str(value))}")
        if held.envelope.channel is Channel.EMAIL:
            typer.echo()
            for line in held.raw[:65_536].partition(b"\r\n\r\n")[0].decode("utf-8", "replace").split("\n"):
                typer.echo(context.visible(line.removesuffix("\r").replace("\t", " ")))


@app.command()
def release(
    id: IdArgument,
    config: ConfigOption = None,
    is_ham: Annotated[bool, typer.Option("--ham", help="Say that it is ham: the next model learns from it.")] = False,
) -> None:
    """Hand a held message on, past the filter."""
    from filterd.commands import context

    async def work(store: SqlStore, config: Config) -> Released:
        from filterd import bootstrap

        async with bootstrap.releasing(config, store) as releaser:
            return await releaser.release(await _resolve(store, id), context.user_name(), label_ham=is_ham)

    released = context.with_store(config, work)
    reply = context.visible(released.reply.render().replace("\r\n", " "))
    if not released.delivered:
        raise RelayUnavailable(f"{released.id} is still held; the next hop said: {reply}")
    typer.echo(f"{released.id} released: {reply}")


@app.command()
def delete(id: IdArgument, config: ConfigOption = None) -> None:
    """Delete a held message for good."""
    from filterd.commands import context

    async def work(store: SqlStore, config: Config) -> MessageId:
        from filterd import parent

        message = await _resolve(store, id)
        await store.delete_held(message, context.user_name())
        parent.events_of(config).deleted(message, context.user_name())
        return message

    typer.echo(f"{context.with_store(config, work)} deleted")


async def _resolve(store: SqlStore, text: str) -> MessageId:
    """The id that ``text`` is, or is the unmistakable beginning of. Raises NotFound and UsageError."""
    text = text.strip().lower()
    if not text or len(text) > _ID_CHARS or not set(text) <= set("0123456789abcdef"):
        raise NotFound(f"{text!r} is not the id of a message")
    if len(text) == _ID_CHARS:
        return MessageId(text)
    if len(text) < _PREFIX_CHARS:
        raise UsageError(f"give at least {_PREFIX_CHARS} characters of the id")
    before = MessageId(f"{int(text, 16) + 1:0{len(text)}x}".ljust(_ID_CHARS, "0"))
    found = [s.id for s in await store.list_held(limit=2, before=before) if s.id.startswith(text)]
    if not found:
        raise NotFound(f"no held message {text}...")
    if len(found) > 1:
        raise UsageError(f"several messages begin with {text}")
    return found[0]


def _cells(summary: HeldSummary) -> tuple[str, ...]:
    first, *rest = summary.recipients or ("",)
    return (
        summary.id,
        f"{summary.received_at:%Y-%m-%d %H:%M}",
        summary.sender or "<>",
        f"{first} +{len(rest)}" if rest else first,
        summary.reason.value,
        "-" if summary.probability is None else f"{summary.probability:.3f}",
        summary.subject,
    )


def _tree(summary: HeldSummary) -> dict[str, Any]:
    tree = {name: getattr(summary, name) for name in summary.__slots__}
    return tree | {"received_at": summary.received_at.isoformat(), "recipients": list(summary.recipients)}


def _print_json(tree: Any) -> None:
    import json

    typer.echo(json.dumps(tree))
