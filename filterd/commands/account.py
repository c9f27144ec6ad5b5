"""``filterd account``: who may sign in to the pages."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.account_names import addresses_of, domains_of, login_of, made_password, own_addresses
from filterd.commands.config import ConfigOption
from filterd.core.access import Role
from filterd.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from filterd.account_ports import Account
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

app = typer.Typer(help="Create, change, list and remove accounts of the pages.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Login, best an e-mail address.")]
AddressOption = Annotated[list[str] | None, typer.Option(help="An address or number of theirs; several times.")]
DomainOption = Annotated[list[str] | None, typer.Option(help="A domain a moderator looks after; several times.")]


@app.command()
def add(
    name: NameArgument,
    role: Annotated[Role, typer.Option(help="What they are here for.")] = Role.USER,
    address: AddressOption = None,
    domain: DomainOption = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input instead of making one.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Create an account and print its password: it is shown this once and stored as a hash only.

    A name that is an e-mail address is an address of theirs, unless others are given.
    """
    from filterd.account_ports import Account
    from filterd.clock import SystemClock
    from filterd.commands import context

    login = login_of(name)
    password, is_made = _password(is_read=password_stdin)
    account = Account(
        name=login,
        role=role,
        addresses=own_addresses(login, address or []),
        domains=domains_of(domain or []),
        password_hash=_hashed(password),
        created_at=SystemClock().now(),
    )

    async def work(store: SqlStore, _config: Config) -> None:
        await store.accounts.add_account(account, context.user_name())

    context.with_store(config, work)
    typer.echo(password if is_made else f"{login} added")


@app.command()
def change(
    name: NameArgument,
    role: Annotated[Role | None, typer.Option(help="What they are here for.")] = None,
    address: AddressOption = None,
    domain: DomainOption = None,
    disable: Annotated[bool | None, typer.Option("--disable/--enable", help="Whether they may sign in.")] = None,
    config: ConfigOption = None,
) -> None:
    """Change an account; what is not given stays. Its sessions end."""

    def changed(account: Account) -> Account:
        return replace(
            account,
            role=role or account.role,
            addresses=addresses_of(address) if address else account.addresses,
            domains=domains_of(domain) if domain else account.domains,
            is_disabled=account.is_disabled if disable is None else disable,
        )

    _change(name, changed, config)
    typer.echo(f"{login_of(name)} changed")


@app.command()
def password(
    name: NameArgument,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input instead of making one.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Give an account a new password and print it. Its sessions end."""
    new, is_made = _password(is_read=password_stdin)
    stored = _hashed(new)
    _change(name, lambda account: replace(account, password_hash=stored), config)
    typer.echo(new if is_made else f"{login_of(name)} changed")


@app.command()
def link(name: NameArgument, config: ConfigOption = None) -> None:
    """Print a link that signs in once, within a quarter of an hour."""
    from filterd import state
    from filterd.clock import SystemClock
    from filterd.commands import context
    from filterd.web.passwords import Passwords
    from filterd.web.sign_in import SignIn

    async def work(store: SqlStore, config: Config) -> str:
        account = await _meant(store, name)
        sign_in = SignIn(store.accounts, passwords=Passwords(), clock=SystemClock(), key=state.secret_of(config))
        return f"{config.web.public_url}/sign-in/once/{await sign_in.link(account)}"

    typer.echo(context.with_store(config, work))


@app.command("list")
def list_(config: ConfigOption = None) -> None:
    """List the accounts."""
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> Sequence[Account]:
        return await store.accounts.list_accounts()

    rows = [
        (
            account.name,
            account.role,
            " ".join(account.addresses),
            " ".join(account.domains),
            "disabled" if account.is_disabled else "",
        )
        for account in context.with_store(config, work)
    ]
    context.show_table(("name", "role", "addresses", "domains", ""), rows)


@app.command()
def remove(name: NameArgument, config: ConfigOption = None) -> None:
    """Remove an account and end its sessions."""
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> None:
        await store.accounts.remove_account(login_of(name), context.user_name())

    context.with_store(config, work)
    typer.echo(f"{login_of(name)} removed")


def _change(name: str, change: Callable[[Account], Account], config: ConfigOption) -> None:
    from filterd.commands import context

    async def work(store: SqlStore, _config: Config) -> None:
        await store.accounts.change_account(change(await _meant(store, name)), context.user_name())

    context.with_store(config, work)


async def _meant(store: SqlStore, name: str) -> Account:
    account = await store.accounts.find_account(login_of(name))
    if account is None:
        raise NotFound(f"no account {login_of(name)}")
    return account


def _password(*, is_read: bool) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    from filterd.web.passwords import check_length

    if not is_read:
        return made_password(), True
    read = sys.stdin.readline().rstrip("\r\n")
    check_length(read)
    return read, False


def _hashed(password: str) -> str:
    import asyncio

    from filterd.web.passwords import Passwords

    return asyncio.run(Passwords().hash(password))
