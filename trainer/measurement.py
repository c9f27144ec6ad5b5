"""What one measurement found: tables to read and figures to compute with, and how to repeat it.

Every track, comparison and recipe ends in one of these. It is written as JSON, and ``docs/evaluation.md`` is made of
them and of nothing else.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError


def checkout() -> str:
    """Short hash of the checkout this runs from, empty outside of one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607  (whatever git the developer has)
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as they are printed; the first column is left-aligned, the others are right-aligned."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    """A sentence above the table."""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("every row needs a cell for every column")

    def lines(self) -> list[str]:
        """Markdown."""
        head = [self.title, ""] if self.title else []
        rule = "|---|" + "---:|" * (len(self.columns) - 1)
        return [*head, _row(self.columns), rule, *map(_row, self.rows)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The result of one run."""

    id: str
    """Name of the file it is kept in: ``online-email``, ``recipe-lstm-40``."""
    title: str
    command: str
    """Repeats it from a checkout with the corpora."""
    tables: tuple[Table, ...]
    text: tuple[str, ...] = ()
    """Paragraphs in front of the tables: what was done, and what the figures do not say."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The same numbers unrounded, under stable names; JSON types only."""
    seeds: tuple[int, ...] = ()
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    commit: str = field(default_factory=checkout)

    def lines(self) -> list[str]:
        """Markdown: heading, provenance, text, tables."""
        seeds = f"; seeds {', '.join(map(str, self.seeds))}" if self.seeds else ""
        out = [f"## {self.title}", "", f"`{self.command}`, {self.created_at[:10]}, commit `{self.commit}`{seeds}.", ""]
        for paragraph in self.text:
            out += [paragraph, ""]
        for table in self.tables:
            out += [*table.lines(), ""]
        return out

    def write(self, folder: Path) -> Path:
        """``folder / id.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.id}.json"
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Measurement:
        """Raises TrainerError for a file that holds none."""
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            tables = tuple(
                Table(**{**each, "columns": tuple(each["columns"]), "rows": tuple(map(tuple, each["rows"]))})
                for each in tree["tables"]
            )
            return cls(**{**tree, "tables": tables, "text": tuple(tree["text"]), "seeds": tuple(tree["seeds"])})
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise TrainerError(f"{path} holds no measurement ({exc}); measure it again") from exc


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
