"""Reads a recipe: one TOML file that says what to train, on what and how, strictly into frozen dataclasses.

A key that the dataclass does not have, or a value of another type, is refused with the file, the key and the nearest
known key. The recipes that come with the trainer lie in ``trainer/recipes``; any other TOML file is one too.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from trainer.errors import RecipeError

FOLDER = Path(__file__).parent / "recipes"
_SUFFIX = ".toml"
_KIND = "kind"

T = TypeVar("T")


class Kind(StrEnum):
    """Which line of the trainer a recipe is for."""

    GATEWAY = "gateway"
    """The wide and deep network of a channel, whose bundle the daemon serves: ``trainer.config.TrainConfig``."""
    SEQUENCE = "sequence"
    """A published system: a vocabulary, an embedding, recurrent layers, a dense head."""
    UNROLLED = "unrolled"
    """A recurrent cell written out step by step on given inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A file that was read; its keys are checked when it is made into a dataclass."""

    name: str
    path: Path
    kind: Kind
    tree: Mapping[str, Any]

    def into(self, target: type[T]) -> T:
        """The recipe as ``target``. Raises RecipeError."""
        return _instance(target, self.tree, "", self.path)


def names() -> tuple[str, ...]:
    """Names of the recipes that come with the trainer, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob(f"*{_SUFFIX}")))


def find(name: str) -> Recipe:
    """The recipe of that name, or in the TOML file of that path. Raises RecipeError."""
    path = Path(name) if name.endswith(_SUFFIX) else FOLDER / f"{name}{_SUFFIX}"
    if not path.is_file():
        known = ", ".join(names())
        raise RecipeError(f"{name!r} is no recipe; known are {known}, or give the path of a {_SUFFIX} file")
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise RecipeError(f"{path}: cannot be read as TOML ({exc})") from exc
    kind = tree.pop(_KIND, None)
    if kind not in list(Kind):
        raise RecipeError(f"{path}: {_KIND} is {kind!r}, expected one of {', '.join(Kind)}")
    return Recipe(name=path.stem, path=path, kind=Kind(kind), tree=MappingProxyType(tree))


def _instance(target: type[T], tree: Mapping[str, Any], prefix: str, path: Path) -> T:
    assert is_dataclass(target)
    known = {each.name: each for each in fields(target)}
    for key in tree:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise RecipeError(f"{path}: unknown key {prefix}{key!s}; the nearest known key is {prefix}{near[0]}")
    for name, each in known.items():
        if name not in tree and each.default is MISSING and each.default_factory is MISSING:
            raise RecipeError(f"{path}: the key {prefix}{name} is missing")
    hints = get_type_hints(target)
    values = {key: _value(hints[key], value, f"{prefix}{key}", path) for key, value in tree.items()}
    try:
        made: T = target(**values)
    except ValueError as exc:
        raise RecipeError(f"{path}: {prefix.rstrip('.') or 'the recipe'}: {exc}") from exc
    return made


def _value(hint: Any, value: Any, key: str, path: Path) -> Any:
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        (hint,) = [each for each in get_args(hint) if each is not NoneType]
        return _value(hint, value, key, path)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(get_args(hint)[0], each, f"{key}[{i}]", path) for i, each in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        inner = get_args(hint)[1]
        return MappingProxyType({name: _value(inner, each, f"{key}.{name}", path) for name, each in value.items()})
    if is_dataclass(hint) and isinstance(value, dict):
        assert isinstance(hint, type)
        return _instance(hint, value, f"{key}.", path)
    if isinstance(hint, type) and not is_dataclass(hint):
        return _plain(hint, value, key, path)
    raise _wrong(hint, value, key, path)


def _plain(hint: type[Any], value: Any, key: str, path: Path) -> Any:
    """A number, text, truth value or member of a closed set; 1 is also a float, but True is not an int."""
    if issubclass(hint, StrEnum):
        if value not in list(hint):
            raise RecipeError(f"{path}: {key} is {value!r}, expected one of {', '.join(hint)}")
        return hint(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise _wrong(hint, value, key, path)
    return value


def _wrong(hint: Any, value: Any, key: str, path: Path) -> RecipeError:
    name = hint.__name__ if isinstance(hint, type) else str(hint)
    wanted = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}.get(name)
    if wanted is None:
        wanted = "a table" if is_dataclass(hint) or get_origin(hint) is Mapping else "a list"
    return RecipeError(f"{path}: {key} is {value!r}, expected {wanted}")
