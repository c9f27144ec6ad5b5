"""What the code can do stands in the documentation; ``make docs`` writes the generated parts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from filterd.config import effective, known_keys, load
from filterd.core.verdict import Reason
from tests.house import reference

ROOT = reference.ROOT
BLOCKS = reference.blocks()
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize(("path", "name"), list(BLOCKS), ids=lambda value: getattr(value, "name", value))
def test_generated_part_when_code_changed_is_written_again(path: Path, name: str) -> None:
    text = path.read_text(encoding="utf-8")

    assert reference.replaced(text, name, BLOCKS[path, name]) == text, "run `make docs`"


def test_default_configuration_when_loaded_changes_nothing() -> None:
    assert reference.DEFAULTS.read_text(encoding="utf-8") == reference.defaults_toml(), "run `make docs`"

    shown = {key: value for key, value, _ in effective(load(reference.DEFAULTS, {}))}

    assert shown == {key: value for key, value, _ in effective(load(None, {}))}


def test_default_configuration_names_every_setting() -> None:
    text = reference.DEFAULTS.read_text(encoding="utf-8")

    missing = [key for key in known_keys() if not re.search(rf"(?m)^(# )?{key.rpartition('.')[2]} = ", text)]

    assert not missing


def test_every_setting_and_metric_has_a_sentence() -> None:
    undescribed = [
        line for block in BLOCKS.values() for line in block.splitlines() if re.search(r"\|\s*(None)?\s*\|$", line)
    ]

    assert not undescribed


def test_glossary_names_every_reason() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")

    assert not [reason for reason in Reason if f"`{reason.value}`" not in text]


def test_commands_of_the_configuration_page_run_as_written() -> None:
    text = (ROOT / "docs/config.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(?ms)^```sh\n(.*?)^```", text)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    done = subprocess.run(
        ["sh", "-ec", block], cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert reference.defaults_toml() in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]

    assert not [target for target in targets if target and not (page.parent / target).exists()]
