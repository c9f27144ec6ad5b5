"""Whom an OpenID provider names, as an account: found by its subject, or made as the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from filterd.account_ports import Account, Accounts
from filterd.core.access import Role
from filterd.core.envelope import address_key, domain_of
from filterd.errors import SignInRefused
from filterd.ports import Clock
from filterd.web_settings import OidcSettings

_LONGEST = 254


async def account_of(claims: Mapping[str, Any], settings: OidcSettings, accounts: Accounts, clock: Clock) -> Account:
    """Whose account it is, its role and addresses brought up to date. Raises SignInRefused and StoreUnavailable."""
    subject = f"{settings.issuer} {claims['sub']}"
    found = await accounts.find_subject(subject)
    if found is None:
        found = await _first(claims, subject, settings, accounts, clock)
    if found.is_disabled:
        raise SignInRefused("the account is disabled")
    current = _current(found, claims, settings)
    if current != found:
        await accounts.change_account(current, current.name)
    return current


async def _first(
    claims: Mapping[str, Any], subject: str, settings: OidcSettings, accounts: Accounts, clock: Clock
) -> Account:
    """The account of somebody who was never here: one that was prepared for them, or a new one."""
    name = verified_email(claims)
    if not name:
        raise SignInRefused("the provider names no verified e-mail address")
    prepared = await accounts.find_account(name)
    if prepared is not None:
        # Whoever has a password proves with it who they are; an address at the provider is not enough to take over.
        if prepared.password_hash or prepared.subject:
            raise SignInRefused("the account of that name belongs to somebody who signs in otherwise")
        return replace(prepared, subject=subject)
    if not settings.creates_accounts:
        raise SignInRefused("nobody has made an account for that address")
    account = Account(name=name, role=Role.USER, subject=subject, created_at=clock.now())
    account = _current(account, claims, settings)
    await accounts.add_account(account, name)
    return account


def _current(account: Account, claims: Mapping[str, Any], settings: OidcSettings) -> Account:
    """The account as the provider says it is now: its e-mail addresses, and its role where the settings map roles."""
    addresses = addresses_in(claims, settings) or tuple(a for a in account.addresses if "@" in a)
    numbers = tuple(a for a in account.addresses if "@" not in a)
    account = replace(account, addresses=(*addresses, *numbers))
    role = role_in(claims, settings)
    if role is None or account.role is Role.AUDITOR:
        return account
    domains = account.domains
    if role is Role.MODERATOR and not domains:
        domains = tuple(dict.fromkeys(domain_of(address) for address in addresses))
    return replace(account, role=role, domains=domains)


def verified_email(claims: Mapping[str, Any]) -> str:
    """Their e-mail address, lower case; empty where there is none, or the provider has not verified it."""
    email = claims.get("email", "")
    # Some providers say it as text (OpenID Connect Core section 5.1 wants a boolean).
    is_verified = claims.get("email_verified") in {True, "true"}
    return address_key(email) if is_verified and _is_address(email) else ""


def addresses_in(claims: Mapping[str, Any], settings: OidcSettings) -> tuple[str, ...]:
    """Their addresses, as keys."""
    found: list[str] = []
    for name in settings.address_claims:
        value = verified_email(claims) if name == "email" else claims.get(name, ())
        found += [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(dict.fromkeys(address_key(address) for address in found if _is_address(address)))


def role_in(claims: Mapping[str, Any], settings: OidcSettings) -> Role | None:
    """What the settings make of their groups and address; None where they map no roles."""
    if not settings.administrators and not settings.moderators:
        return None
    groups = claims.get(settings.groups_claim, ())
    names = {groups} if isinstance(groups, str) else {g for g in groups if isinstance(g, str)}
    email = verified_email(claims)
    for role, listed in ((Role.ADMINISTRATOR, settings.administrators), (Role.MODERATOR, settings.moderators)):
        if names & set(listed) or (email and email in map(address_key, listed)):
            return role
    return Role.USER


def _is_address(text: Any) -> bool:
    is_short = isinstance(text, str) and len(text) <= _LONGEST and text.isprintable() and " " not in text
    return is_short and all(text.rpartition("@")[::2])
