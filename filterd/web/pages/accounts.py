"""Who may sign in, for administrators: add, change, disable and remove accounts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from starlette.responses import Response
from starlette.routing import Route

from filterd.account_names import addresses_of, domains_of, login_of, made_password
from filterd.account_ports import Account
from filterd.core.access import Role
from filterd.errors import NotFound, UsageError
from filterd.web.guard import Visit, visited
from filterd.web.menu import roles_of
from filterd.web.pages.sign_in import signed_in
from filterd.web.parts import WebParts

_SEPARATORS = re.compile(r"[\s,;]+")
_BLANK = {"name": "", "role": Role.USER.value, "addresses": "", "domains": "", "elsewhere": ""}

T = TypeVar("T")


def accounts_pages(parts: WebParts) -> list[Route]:
    """What is at /accounts, but for the tokens."""
    roles = roles_of("accounts", parts.settings)
    return [
        Route("/accounts", visited(parts, _list, roles), methods=["GET"]),
        Route("/accounts", visited(parts, _add, roles), methods=["POST"]),
        Route("/accounts/edit", visited(parts, _edit, roles), methods=["GET"]),
        Route("/accounts/edit", visited(parts, _change, roles), methods=["POST"]),
        Route("/accounts/password", visited(parts, _new_password, roles), methods=["POST"]),
        Route("/accounts/remove", visited(parts, _remove, roles), methods=["POST"]),
    ]


async def _list(visit: Visit) -> Response:
    return await _overview(visit, {}, {})


async def _overview(
    visit: Visit, typed: dict[str, str], wrong: dict[str, str], status: int = 200, secret: tuple[str, str] | None = None
) -> Response:
    """The page, with what was typed and what is wrong with it; ``secret`` is a login and its new password."""
    return visit.page(
        "accounts.html",
        status,
        accounts=await visit.parts.accounts.list_accounts(),
        roles=tuple(Role),
        has_provider=visit.parts.provider is not None,
        typed=_BLANK | typed,
        wrong=wrong,
        secret=secret,
    )


async def _add(visit: Visit) -> Response:
    wrong: dict[str, str] = {}
    name = _read(visit, wrong, "name", "wrong_name", login_of, "")
    account = _described(visit, Account(name=name, role=Role.USER, created_at=visit.parts.clock.now()), wrong)
    if not account.addresses and "@" in name and "addresses" not in wrong:
        account = replace(account, addresses=addresses_of([name]))
    password = "" if visit.field("elsewhere") and visit.parts.provider else made_password()
    if not wrong and await visit.parts.accounts.find_account(name) is not None:
        wrong["name"] = visit.texts("accounts.taken")
    if wrong:
        return await _overview(visit, _typed(visit), wrong, 422)
    if password:
        account = replace(account, password_hash=await visit.parts.passwords.hash(password))
    await visit.parts.accounts.add_account(account, visit.person.name)
    # No redirect: the password stands on this page and nowhere else.
    return await _overview(visit, {}, {}, secret=(name, password) if password else None)


async def _edit(visit: Visit) -> Response:
    account = await _meant(visit, visit.request.query_params.get("name", ""))
    return _form(visit, account, {}, {})


def _form(visit: Visit, account: Account, typed: dict[str, str], wrong: dict[str, str]) -> Response:
    shown = {
        "role": account.role.value,
        "addresses": "\n".join(account.addresses),
        "domains": "\n".join(account.domains),
        "is_disabled": "1" if account.is_disabled else "",
    }
    status = 422 if wrong else 200
    return visit.page("account_edit.html", status, account=account, roles=tuple(Role), typed=shown | typed, wrong=wrong)


async def _change(visit: Visit) -> Response:
    account = await _meant(visit, visit.field("name"))
    wrong: dict[str, str] = {}
    changed = replace(_described(visit, account, wrong), is_disabled=bool(visit.field("is_disabled")))
    is_own = account.name == visit.person.name
    if is_own and (changed.is_disabled or changed.role is not Role.ADMINISTRATOR):
        # Else the last administrator could lock everybody out.
        wrong["role"] = visit.texts("accounts.own")
    if wrong:
        return _form(visit, account, _typed(visit), wrong)
    await visit.parts.accounts.change_account(changed, visit.person.name)
    if is_own:
        # The change has ended this session, too.
        return signed_in(visit.parts, await visit.parts.sign_in.open(changed), "/accounts?said=saved")
    return visit.back("/accounts", said="saved")


async def _new_password(visit: Visit) -> Response:
    account = await _meant(visit, visit.field("name"))
    if account.name == visit.person.name:
        raise UsageError(visit.texts("accounts.own_password"))
    password = made_password()
    changed = replace(account, password_hash=await visit.parts.passwords.hash(password))
    await visit.parts.accounts.change_account(changed, visit.person.name)
    return await _overview(visit, {}, {}, secret=(account.name, password))


async def _remove(visit: Visit) -> Response:
    account = await _meant(visit, visit.field("name"))
    if account.name == visit.person.name:
        raise UsageError(visit.texts("accounts.own"))
    await visit.parts.accounts.remove_account(account.name, visit.person.name)
    return visit.back("/accounts", said="removed")


async def _meant(visit: Visit, name: str) -> Account:
    """The account of that name. Raises NotFound."""
    account = await visit.parts.accounts.find_account(name)
    if account is None:
        raise NotFound("no such account")
    return account


def _described(visit: Visit, account: Account, wrong: dict[str, str]) -> Account:
    """The account as the form describes it; what cannot be read is noted in ``wrong`` by the name of its field."""
    return replace(
        account,
        role=_read(visit, wrong, "role", "wrong_role", Role, account.role),
        addresses=_read(visit, wrong, "addresses", "wrong_addresses", _each(addresses_of), ()),
        domains=_read(visit, wrong, "domains", "wrong_domains", _each(domains_of), ()),
    )


def _read(visit: Visit, wrong: dict[str, str], field: str, text: str, read: Callable[[str], T], otherwise: T) -> T:
    try:
        return read(visit.field(field))
    except (UsageError, ValueError):
        wrong[field] = visit.texts(f"accounts.{text}")
        return otherwise


def _each(read: Callable[[Iterable[str]], tuple[str, ...]]) -> Callable[[str], tuple[str, ...]]:
    """``read`` for a field with one on each line."""
    return lambda text: read(_SEPARATORS.split(text.strip()))


def _typed(visit: Visit) -> dict[str, str]:
    return {name: visit.field(name) for name in (*_BLANK, "is_disabled")}
