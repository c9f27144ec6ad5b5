"""The pages of the menu, and who sees them."""

from __future__ import annotations

from collections.abc import Sequence

from filterd.core.access import Person, Role
from filterd.web_settings import WebSettings

_ALL = frozenset(Role)
_STAFF = frozenset((Role.ADMINISTRATOR, Role.MODERATOR, Role.AUDITOR))
_HOUSE = frozenset((Role.ADMINISTRATOR, Role.AUDITOR))

MENU = (
    ("overview", "/", _ALL),
    ("quarantine", "/quarantine", _ALL),
    ("history", "/history", _ALL),
    ("campaigns", "/campaigns", _STAFF),
    ("rules", "/rules", frozenset((Role.ADMINISTRATOR, Role.MODERATOR, Role.USER))),
    ("models", "/models", _HOUSE),
    ("accounts", "/accounts", frozenset((Role.ADMINISTRATOR,))),
)
"""Name in the catalogue, path, and the roles it is for."""


def pages(person: Person, settings: WebSettings) -> Sequence[tuple[str, str]]:
    """Name and path of those that ``person`` sees."""
    return tuple((name, path) for name, path, _ in MENU if person.role in roles_of(name, settings))


def roles_of(name: str, settings: WebSettings) -> frozenset[Role]:
    """Who may open a page of the menu."""
    if name == "history" and settings.history == "staff":
        return _STAFF
    return next(roles for known, _, roles in MENU if known == name)
