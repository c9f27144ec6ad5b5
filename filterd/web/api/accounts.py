"""Accounts of the pages: listed, made, changed and removed. The last administrator is the caller's to keep."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import AfterValidator, BaseModel, Field

from filterd.account_names import addresses_of, domains_of, login_of, made_password, own_addresses
from filterd.account_ports import Account
from filterd.core.access import Role
from filterd.core.digest import Schedule
from filterd.errors import NotFound
from filterd.web.api.document import problems
from filterd.web.api.parts import AdminToken, Body, parts_of, text_of
from filterd.web.catalogue import LANGUAGES
from filterd.zones import known_zone

_MOST = 200
Names = Annotated[tuple[Annotated[str, Field(max_length=320)], ...], Field(max_length=_MOST)]


def _schedule(text: str) -> str:
    """Raises ValueError."""
    if text:
        known_zone(Schedule.of(text).zone)
    return text


def _language(text: str) -> str:
    """Raises ValueError."""
    if text and text not in LANGUAGES:
        raise ValueError(f"must be one of {', '.join(LANGUAGES)}, or empty")
    return text


Digest = Annotated[str, Field(max_length=100), AfterValidator(_schedule)]
"""``daily 07:00 Europe/Berlin``; ``off``, ``daily``, ``workdays`` or ``weekly``. Empty: as everybody's."""
Language = Annotated[str, Field(max_length=10), AfterValidator(_language)]
"""Of the pages and digests; empty follows the browser."""


class AccountIn(Body):
    """Somebody who may sign in."""

    name: Annotated[str, Field(max_length=320)]
    role: Role = Role.USER
    addresses: Names = ()
    """Theirs; empty takes the name, where that is one."""
    domains: Names = ()
    """Those a moderator looks after."""
    elsewhere: bool = False
    """They sign in at the OpenID provider only, and get no password."""


class AccountChangeIn(Body):
    """What to change; what is left out stays."""

    role: Role | None = None
    addresses: Names | None = None
    domains: Names | None = None
    disabled: bool | None = None
    language: Language | None = None
    digest: Digest | None = None


class AccountOut(BaseModel):
    """Somebody who may sign in."""

    name: str
    role: Role
    addresses: tuple[str, ...]
    domains: tuple[str, ...]
    language: str
    digest: str
    """When they are told what is held; empty where that is as everybody's."""
    disabled: bool
    has_password: bool
    created_at: datetime


class AccountMadeOut(AccountOut):
    """A new account, and its password this once."""

    password: str
    """Empty for somebody who signs in elsewhere."""


class AccountsOut(BaseModel):
    """All accounts, by name."""

    accounts: tuple[AccountOut, ...]


AccountName = Annotated[str, Path(max_length=320)]


def account_routes() -> APIRouter:
    """What is under /accounts."""
    router = APIRouter()
    taken, absent = problems(409), problems(404, 409)
    router.add_api_route("/accounts", list_accounts, methods=["GET"])
    router.add_api_route("/accounts", add_account, methods=["POST"], status_code=201, responses=taken)
    router.add_api_route("/accounts/{name}", change_account, methods=["PATCH"], responses=absent)
    router.add_api_route("/accounts/{name}", remove_account, methods=["DELETE"], status_code=204, responses=absent)
    return router


async def list_accounts(
    request: Request,
    token: AdminToken,  # noqa: ARG001  # checked on the way in
) -> AccountsOut:
    """All accounts, disabled ones too, by name."""
    found = await parts_of(request).accounts.list_accounts()
    return AccountsOut(accounts=tuple(map(_shown, found)))


async def add_account(request: Request, body: AccountIn, token: AdminToken) -> AccountMadeOut:
    """Make an account. The answer has its password, which is stored as a hash only."""
    parts = parts_of(request)
    name = login_of(body.name)
    password = "" if body.elsewhere else made_password()
    account = Account(
        name=name,
        role=body.role,
        addresses=own_addresses(name, body.addresses),
        domains=domains_of(body.domains),
        password_hash=await parts.passwords.hash(password) if password else "",
        created_at=parts.clock.now(),
    )
    await parts.accounts.add_account(account, token.name)
    return AccountMadeOut(**_shown(account).model_dump(), password=password)


async def change_account(request: Request, name: AccountName, body: AccountChangeIn, token: AdminToken) -> AccountOut:
    """Change an account; its sessions end unless only the language or the digest changed."""
    parts = parts_of(request)
    before = await _meant(request, name)
    changed = replace(
        before,
        role=body.role or before.role,
        addresses=before.addresses if body.addresses is None else addresses_of(body.addresses),
        domains=before.domains if body.domains is None else domains_of(body.domains),
        is_disabled=before.is_disabled if body.disabled is None else body.disabled,
        language=before.language if body.language is None else body.language,
        digest=before.digest if body.digest is None else _digest(body.digest),
    )
    await parts.accounts.change_account(changed, token.name)
    return _shown(changed)


async def remove_account(request: Request, name: AccountName, token: AdminToken) -> None:
    """Remove an account and end its sessions."""
    account = await _meant(request, name)
    await parts_of(request).accounts.remove_account(account.name, token.name)


async def _meant(request: Request, name: str) -> Account:
    account = await parts_of(request).accounts.find_account(name.strip().lower())
    if account is None:
        raise NotFound("no such account")
    return account


def _digest(text: str) -> Schedule | None:
    return Schedule.of(text) if text else None


def _shown(account: Account) -> AccountOut:
    return AccountOut(
        name=text_of(account.name),
        role=account.role,
        addresses=tuple(map(text_of, account.addresses)),
        domains=tuple(map(text_of, account.domains)),
        language=account.language,
        digest=str(account.digest or ""),
        disabled=account.is_disabled,
        has_password=bool(account.password_hash),
        created_at=account.created_at,
    )
