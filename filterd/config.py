"""Reads the settings: defaults, then the TOML file, then ``FILTERD_*`` variables; says where each came from.

``FILTERD_SMTP__NEXT_HOP=127.0.0.1:25`` sets ``smtp.next_hop``. Lists in variables are TOML (``["a", "b"]``) or
comma-separated. A value ``file:/run/secrets/x`` is replaced by the first line of that file.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from filterd import failpoints
from filterd.errors import ConfigError
from filterd.setting_types import Secret
from filterd.settings import Config

ENVIRONMENT_PREFIX = "FILTERD_"
RELOADABLE = ("policy", "models")
"""Sections that SIGHUP reads again."""
DEFAULT_PATH = Path("/etc/filterd/filterd.toml")
_NOT_SETTINGS = frozenset({"FILTERD_CONFIG", "FILTERD_DATA", failpoints.VARIABLE})
"""Where the file is, where the trainer's corpora are, and what tests break."""
_INTERNAL_PREFIX = "FILTERD_INTERNAL_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A checked configuration and where each value that is not a default came from."""

    config: Config
    origins: Mapping[str, str]
    """Dotted key -> file path or variable name."""
    path: Path | None
    tree: Mapping[str, Any] = field(repr=False, default_factory=dict)
    """What was validated, secrets in the clear: handed to the workers, never printed."""


def find(option: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the option, ``FILTERD_CONFIG``, the usual place if there is one, or none."""
    if option is not None:
        return option
    if environ.get("FILTERD_CONFIG"):
        return Path(environ["FILTERD_CONFIG"])
    try:
        return DEFAULT_PATH if DEFAULT_PATH.is_file() else None
    except PermissionError:
        # It is not for this user: whoever reads it says so in one line.
        return DEFAULT_PATH


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """The effective configuration. Raises ConfigError naming key, value and file in one line."""
    origins: dict[str, str] = {}
    tree = _read_file(path, origins) if path else {}
    _apply_environment(tree, environ, origins)
    _check_keys(tree, origins)
    _resolve_files(tree, origins)
    try:
        return Loaded(config=Config.model_validate(tree), origins=origins, path=path, tree=tree)
    except ValidationError as exc:
        raise ConfigError(_first_problem(exc, origins)) from None


def with_reloaded(running: Loaded, found: Loaded) -> Loaded:
    """``running`` with the policy and models of ``found``: all that may change without a restart."""
    tree = {key: value for key, value in running.tree.items() if key not in RELOADABLE}
    tree |= {key: value for key, value in found.tree.items() if key in RELOADABLE}
    origins = {key: origin for key, origin in running.origins.items() if key.partition(".")[0] not in RELOADABLE}
    origins |= {key: origin for key, origin in found.origins.items() if key.partition(".")[0] in RELOADABLE}
    return replace(running, config=from_tree(tree), tree=tree, origins=origins)


def from_tree(tree: Mapping[str, Any]) -> Config:
    """The configuration that ``tree`` of a ``Loaded`` stands for. Raises ConfigError."""
    try:
        return Config.model_validate(tree)
    except ValidationError as exc:
        raise ConfigError(_first_problem(exc, {})) from None


def restart_needed(running: Loaded, found: Loaded) -> list[str]:
    """The settings that differ and that a reload leaves as they are."""
    return [
        f"{section}.{name}"
        for section in Config.model_fields
        if section not in RELOADABLE
        for name in type(getattr(running.config, section)).model_fields
        if getattr(getattr(running.config, section), name) != getattr(getattr(found.config, section), name)
    ]


def effective(loaded: Loaded) -> Iterator[tuple[str, Any, str]]:
    """(dotted key, value with secrets masked, origin) of every setting, in the order of ``settings.py``."""
    yield from _walk("", loaded.config.model_dump(mode="json"), loaded.origins)


def _walk(prefix: str, tree: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _walk(f"{key}.", value, origins)
        else:
            yield key, value, origins.get(key, "default")


def _read_file(path: Path, origins: dict[str, str]) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from None
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: not valid TOML: {exc}") from None
    for key in _leaves("", tree):
        origins[key] = str(path)
    return tree


def _leaves(prefix: str, tree: Mapping[str, Any]) -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}"


def _apply_environment(tree: dict[str, Any], environ: Mapping[str, str], origins: dict[str, str]) -> None:
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in _NOT_SETTINGS:
            continue
        if variable.startswith(_INTERNAL_PREFIX):
            continue
        path = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        section = tree
        for name in path[:-1]:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise ConfigError(f"{variable}: {name} is not a section")
        section[path[-1]] = _environment_value(path, environ[variable])
        origins[".".join(path)] = variable


def _environment_value(path: list[str], text: str) -> Any:
    """``text`` as TOML where the setting is not a plain string; a comma-separated list where it is a list."""
    kind = _annotation(path)
    if kind is str or kind is Secret or kind is None:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    if get_origin(kind) is tuple:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _annotation(path: list[str]) -> Any:
    model: Any = Config
    for name in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or name not in model.model_fields:
            return None
        model = model.model_fields[name].annotation
    return model


def _check_keys(tree: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    for prefix, model, section in _sections("", Config, tree):
        for name in section:
            if name not in model.model_fields:
                key = f"{prefix}{name}"
                raise ConfigError(f"{_origin(key, origins)}: unknown setting {key}{_suggestion(prefix, name, model)}")


def _sections(
    prefix: str, model: type[BaseModel], tree: Mapping[str, Any]
) -> Iterator[tuple[str, type[BaseModel], Mapping[str, Any]]]:
    yield prefix, model, tree
    for name, value in tree.items():
        inner = _model_of(model, name)
        if inner is None:
            continue
        if isinstance(value, dict):
            yield from _sections(f"{prefix}{name}.", inner, value)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _sections(f"{prefix}{name}[{i}].", inner, item)


def _model_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The section type of a field: itself, or the item of a tuple of sections."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    kind: Any = field.annotation
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _suggestion(prefix: str, name: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {prefix}{near[0]}?"
    elsewhere = [key for key in known_keys() if key.rpartition(".")[2] == name]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    anywhere = difflib.get_close_matches(f"{prefix}{name}", list(known_keys()), n=1, cutoff=0.0)
    return f"; the nearest known setting is {anywhere[0]}" if anywhere else ""


def known_keys() -> Iterator[str]:
    """Every dotted setting, in order; the tables of ``policy.overrides`` as ``policy.overrides[].key``."""
    yield from _known("", Config)


def _known(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        inner = _model_of(model, name)
        if inner is None:
            yield f"{prefix}{name}"
        elif get_origin(info.annotation) is tuple:
            yield from _known(f"{prefix}{name}[].", inner)
        else:
            yield from _known(f"{prefix}{name}.", inner)


def _resolve_files(tree: dict[str, Any], origins: Mapping[str, str], prefix: str = "") -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            _resolve_files(value, origins, f"{prefix}{name}.")
        elif isinstance(value, str) and value.startswith("file:/"):
            try:
                lines = Path(value.removeprefix("file:")).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as exc:
                key = f"{prefix}{name}"
                raise ConfigError(f"{_origin(key, origins)}: {key}: secret file cannot be read: {exc}") from None
            tree[name] = lines[0].strip() if lines else ""


def _first_problem(exc: ValidationError, origins: Mapping[str, str]) -> str:
    problem = exc.errors()[0]
    key = _dotted(problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if not key:
        return message
    shown = (
        ""
        if isinstance(problem["input"], dict) or _annotation(key.split(".")) is Secret
        else f" (got {problem['input']!r})"
    )
    return f"{_origin(key, origins)}: {key}: {message}{shown}"


def _dotted(location: tuple[int | str, ...]) -> str:
    """Pydantic's location as our dotted key, without its names of union members."""
    key = ""
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif part.isidentifier() and part not in ("str", "float", "int", "none"):
            key += f".{part}" if key else part
    return key


def _origin(key: str, origins: Mapping[str, str]) -> str:
    if key in origins:
        return origins[key]
    near = [origin for known, origin in origins.items() if known.startswith(key.split("[", maxsplit=1)[0])]
    return near[0] if near else "configuration"
