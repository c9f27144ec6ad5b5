"""``filterd token``: who may use the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from filterd.account_names import token_name_of
from filterd.account_ports import Scope
from filterd.commands.config import ConfigOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from filterd.account_ports import Token
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

app = typer.Typer(help="Create, list and revoke API tokens.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what it is for; shown as the reporter of its labels.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given several times.")],
    config: ConfigOption = None,
) -> None:
    """Create a token and print it: it is shown this once and stored as a hash only."""
    from filterd.account_ports import Token
    from filterd.clock import SystemClock
    from filterd.commands import context
    from filterd.core.secret_digest import digest
    from filterd.web.auth import new_secret

    secret = new_secret()
    token = Token(name=token_name_of(name), scopes=tuple(dict.fromkeys(scope)), created_at=SystemClock().now())

    async def work(store: SqlStore, _config: Config) -> None:
        await store.add_token(token, digest(secret), context.user_name())

    context.with_store(config, work)
    typer.echo(secret)


@app.command("list")
def list_(config: ConfigOption = None) -> None:
    """List the tokens, without their secrets."""
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> Sequence[Token]:
        return await store.list_tokens()

    rows = [
        (token.name, " ".join(token.scopes), f"{token.created_at:%Y-%m-%d %H:%M}")
        for token in context.with_store(config, work)
    ]
    context.show_table(("name", "scopes", "created"), rows)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The token's name.")],
    config: ConfigOption = None,
) -> None:
    """Revoke a token: it is refused from now on."""
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> None:
        await store.revoke_token(name, context.user_name())

    context.with_store(config, work)
    typer.echo(f"{name} revoked")
