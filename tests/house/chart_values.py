"""The values of the Helm chart as a table: key, default, and the comment in front of it in ``values.yaml``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # without types

CHART = Path(__file__).parents[2] / "deploy/helm/filterd"
_KEY = re.compile(r"^( *)([A-Za-z]\w*):(?: |$)")


def described() -> Iterator[tuple[str, Any, str]]:
    """(key with dots, default, comment) of every value that is no group of others."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    # What stands in front of the first key and a blank line speaks of the file.
    lines = text.partition("\n\n")[2].splitlines()
    values, path, comment = yaml.safe_load(text), [""], ""
    for line in lines:
        if line.strip().startswith("#"):
            comment = f"{comment} {line.strip().removeprefix('#').strip()}".strip()
            continue
        key = _KEY.match(line)
        if key is None:
            continue
        path = [*path[: len(key[1]) // 2], key[2]]
        value = values
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if not (isinstance(value, dict) and line.rstrip().endswith(":")) and value is not None:
            yield ".".join(path), value, comment
        comment = ""


def table() -> str:
    """All of them, in Markdown."""
    rows = [f"| `{key}` | `{json.dumps(value)}` | {comment} |" for key, value, comment in described()]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows])
