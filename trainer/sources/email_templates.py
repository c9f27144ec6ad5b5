"""Wording of real products' mail in many languages, 2020-25, with invented headers: ``<source>/<lang>/N.eml``.

Dates are invented too, so none is given: this corpus is split by ``group``, its source.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.sources.archive import members


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    for name, content in members(path):
        if not name.endswith(".eml"):
            continue
        yield Example(
            id=name,
            corpus="templates-ham",
            channel=Channel.EMAIL,
            label=Label.HAM,
            raw=content,
            group=name.partition("/")[0],
        )
