"""Mail of today as if it had come by SMS: subject and beginning of the text. Scams and notices are alike on both ways.

For training only: its split is `trainer/recipes/sms.toml`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example
from trainer.sources.modern import Part, Written, examples

CORPUS = "modern-mail"
_READ = 500
"""Characters: three parts of an SMS and a little more."""


def read(path: Path) -> Iterator[Example]:
    """The messages for training. Raises CorpusError."""
    for example in examples(path, Part.TRAIN, Channel.SMS, _shortened):
        yield replace(example, corpus=CORPUS)


def _shortened(message: Written) -> bytes:
    return f"{message.subject}\n{message.text}"[:_READ].encode()
