"""The settings as documentation: ``deploy/etc/filterd.toml`` and the tables of ``docs/config.md`` come from here."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from filterd.setting_types import Secret
from filterd.settings import Config

_WIDTH = 116


def defaults_toml() -> str:
    """A configuration file that names every setting with its meaning and default; loading it changes nothing."""
    lines = ["# Every setting of filterd with its default. Keep what you change and delete the rest.", ""]
    for name, model in _sections(Config, ""):
        if name.endswith("[]"):
            lines += [f"# {_sentence(model)}", f"# [[{name.removesuffix('[]')}]]"]
            lines += [f"# {line}" for line in _entries(model)]
        else:
            lines += [f"# {_sentence(model)}", f"[{name}]", *_entries(model)]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def tables_markdown() -> str:
    """One table per section: key, default, meaning."""
    lines: list[str] = []
    for name, model in _sections(Config, ""):
        lines += [f"### `{name}`", "", _sentence(model), "", "| key | default | meaning |", "|---|---|---|"]
        for key, field in _own_fields(model):
            choices = _choices(field.annotation)
            meaning = f"{field.description} One of {choices}." if choices else str(field.description)
            default = "required" if field.is_required() else f"`{_toml(field.default)}`"
            lines.append(f"| `{name}.{key}` | {default} | {_cell(meaning)} |")
        lines.append("")
    return "\n".join(lines)


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Dotted name and type of every section; a repeated one ends in ``[]``."""
    for name, field in model.model_fields.items():
        inner = _section_of(field)
        if inner is not None:
            dotted = f"{prefix}{name}"
            yield f"{dotted}[]" if get_origin(field.annotation) is tuple else dotted, inner
            yield from _sections(inner, f"{dotted}.")


def _own_fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    yield from ((name, field) for name, field in model.model_fields.items() if _section_of(field) is None)


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    kind: Any = field.annotation
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _entries(model: type[BaseModel]) -> Iterator[str]:
    for name, field in _own_fields(model):
        choices = _choices(field.annotation)
        text = f"{field.description} One of {choices}." if choices else str(field.description)
        yield from textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        yield f"{name} = {_toml([] if field.is_required() else field.default)}"


def _choices(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(str(value) for value in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(str(member.value) for member in kind)
    return ""


def _sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").split("\n", maxsplit=1)[0]


def _toml(value: Any) -> str:
    if value is None:
        return '"off"'
    if isinstance(value, Secret):
        return json.dumps(value.reveal())
    if isinstance(value, Enum):
        return json.dumps(value.value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
