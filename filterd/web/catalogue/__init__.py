"""The words of the pages, one TOML file per language: key -> text with ``{fields}``.

A text that depends on a number is a table with the forms ``one`` and ``other`` (both languages so far have these
two, Unicode CLDR plural rules).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

DEFAULT = "en"
LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}
"""What each language calls itself."""


class Texts:
    """The texts of one language."""

    def __init__(self, language: str, tree: Mapping[str, Any]) -> None:
        self.language = language
        self._texts = dict(_flat(tree))

    def __call__(self, key: str, /, **fields: Any) -> str:
        """The text of ``key``; with ``n``, the form for that number. Raises KeyError for a text there is not."""
        text = self._texts[key]
        if isinstance(text, Mapping):
            text = text["one" if fields["n"] == 1 else "other"]
        return str(text).format_map(fields)

    @property
    def keys(self) -> frozenset[str]:
        """Every key."""
        return frozenset(self._texts)


@cache
def texts_of(language: str) -> Texts:
    """The texts of one of ``LANGUAGES``."""
    file = resources.files(__name__) / f"{language}.toml"
    return Texts(language, tomllib.loads(file.read_text(encoding="utf-8")))


def choose(accept_language: str, default: str = DEFAULT) -> str:
    """The first of ``LANGUAGES`` that an Accept-Language header (RFC 9110 section 12.5.4) prefers, else ``default``."""
    wanted = []
    for position, item in enumerate(accept_language.split(",")[:20]):
        tag, _, quality = item.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            weight = 0.0
        wanted.append((-weight, position, tag.strip().lower().partition("-")[0]))
    return next((tag for weight, _, tag in sorted(wanted) if tag in LANGUAGES and weight < 0), default)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and set(value) != {"one", "other"}:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
