"""The generated parts of the documentation: what the code says of itself, and the tests of threats and promises.

``python -m tests.house.reference`` (``make docs``) writes them between their markers; ``test_docs.py`` compares.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import typer.main
from prometheus_client import CollectorRegistry

from filterd import cli, log
from filterd.core import verdict
from filterd.metrics import Metrics, SupervisorMetrics
from filterd.reference import defaults_toml as defaults_toml
from filterd.reference import tables_markdown
from tests.house import chart_values, invariants, threats

ROOT = Path(__file__).parents[2]
DEFAULTS = ROOT / "deploy/etc/filterd.toml"


def blocks() -> dict[tuple[Path, str], str]:
    """(file, name of the block) -> what must stand between its markers."""
    docs = ROOT / "docs"
    return {
        (docs / "config.md", "settings"): tables_markdown(),
        (docs / "metrics.md", "metrics"): _metrics_table(),
        (docs / "events.md", "events"): _events_table(),
        (docs / "glossary.md", "reasons"): _members_table(verdict, "Reason"),
        (docs / "glossary.md", "actions"): _members_table(verdict, "Action"),
        (docs / "operations.md", "commands"): _commands_table(),
        (docs / "threats.md", "threats"): threats.table(),
        (docs / "delivery.md", "invariants"): invariants.table(),
        (chart_values.CHART / "README.md", "values"): chart_values.table(),
    }


def replaced(text: str, name: str, block: str) -> str:
    """``text`` with ``block`` between the markers of ``name``."""
    pattern = re.compile(rf"(<!-- begin {name}[^>]*-->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no markers named {name}")
    return pattern.sub(lambda found: f"{found[1]}\n{block.strip()}\n\n{found[2]}", text)


def metric_names() -> set[str]:
    """Every sample name that ``/metrics`` can show."""
    names: set[str] = set()
    for registry in _registries():
        for family in registry.collect():
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            names |= {family.name + suffix for suffix in suffixes}
    return names


def _registries() -> list[CollectorRegistry]:
    workers, supervisor = CollectorRegistry(), CollectorRegistry()
    Metrics(workers)
    SupervisorMetrics(supervisor)
    return [workers, supervisor]


def _metrics_table() -> str:
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for registry in _registries():
        for collector in list(registry._collector_to_names):
            for family in collector.collect():
                labels = ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
                name = f"{family.name}_total" if family.type == "counter" else family.name
                lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(lines)


def _events_table() -> str:
    lines = ["| event | level | fields | meaning |", "|---|---|---|---|"]
    tree = ast.parse(inspect.getsource(log))
    events = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Events")
    for method in events.body:
        if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
            continue
        meaning = (ast.get_docstring(method) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
        for level, name, fields in _log_calls(method):
            lines.append(f"| `{name}` | {level} | {', '.join(f'`{field}`' for field in fields)} | {meaning} |")
    return "\n".join(lines)


def _log_calls(method: ast.FunctionDef) -> Iterator[tuple[str, str, list[str]]]:
    for node in ast.walk(method):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        first = node.args[0]
        if ast.unparse(node.func.value) == "self._log" and isinstance(first, ast.Constant):
            yield node.func.attr, str(first.value), [word.arg or "counts" for word in node.keywords]


def _members_table(module: ModuleType, name: str) -> str:
    """The members of an enumeration with the sentence that follows each."""
    members: type[StrEnum] = getattr(module, name)
    tree = ast.parse(inspect.getsource(module))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name).body
    meanings: dict[str, str] = {}
    last = ""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            last = node.targets[0].id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last:
            meanings[last] = " ".join(str(node.value.value).split())
    lines = [f"| {name.lower()} | meaning |", "|---|---|"]
    lines += [
        f"| `{member.value}` | {meanings.get(member.name, _ACTIONS.get(member.value, ''))} |" for member in members
    ]
    return "\n".join(lines)


_ACTIONS = {
    "accept": "Hand on as it came, with our header block.",
    "tag": "Hand on with spam headers, and the subject tag if one is set.",
    "quarantine": "Hold; a person can release it.",
    "reject": "Refuse with 550 while the sender is connected; before the queue only.",
    "defer": "Answer 451: the sender keeps the message and tries again.",
}


def _commands_table() -> str:
    lines = ["| command | what it does |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in commands()]
    return "\n".join(lines)


def commands() -> Iterator[tuple[str, str]]:
    """Every command with its first sentence."""
    yield from _walk("filterd", typer.main.get_command(cli.build()))


def _walk(path: str, command: Any) -> Iterator[tuple[str, str]]:
    if getattr(command, "commands", None):
        for name, inner in command.commands.items():
            yield from _walk(f"{path} {name}", inner)
        return
    words = [(p.metavar or p.name or "").upper() for p in command.params if p.param_type_name == "argument"]
    yield " ".join([path, *words]), (command.help or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def main() -> None:
    """Write every generated part."""
    DEFAULTS.write_text(defaults_toml(), encoding="utf-8")
    for (path, name), block in blocks().items():
        path.write_text(replaced(path.read_text(encoding="utf-8"), name, block), encoding="utf-8")


if __name__ == "__main__":
    main()
