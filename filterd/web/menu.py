"""The pages of the menu, and who sees them."""

from __future__ import annotations

from collections.abc import Sequence

from filterd.core.access import Person, Role

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


def pages(person: Person) -> Sequence[tuple[str, str, bool]]:
    """Name, path, and whether ``person`` sees it."""
    return tuple((name, path, person.role in roles) for name, path, roles in MENU)


def roles_of(name: str) -> frozenset[Role]:
    """Who may open a page of the menu."""
    return next(roles for known, _, roles in MENU if known == name)
