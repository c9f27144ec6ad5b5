"""Spam sent to a public mailing list, 2019-23; bounces and autoreplies are neither ham nor spam and are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources.archive import members, message_date, one_file

_KNOWN = frozenset({"spam", "ham", "bounce", "autoreply"})


def read(path: Path) -> Iterator[Example]:
    """The messages marked as spam. Raises CorpusError."""
    marks = _marks(one_file(path, "labels.tsv"), path)
    for name, content in members(path):
        if not name.endswith(".eml"):
            continue
        mark = marks.get(name)
        if mark is None:
            raise CorpusError(f"{path}: {name} has no line in labels.tsv; fetch it again")
        if mark != Label.SPAM:
            continue
        yield Example(
            id=name,
            corpus="osst-users",
            channel=Channel.EMAIL,
            label=Label.SPAM,
            raw=content,
            date=message_date(content, (2019, 2023)),
        )


def _marks(content: bytes, path: Path) -> dict[str, str]:
    rows = [line.split("\t") for line in content.decode("utf-8", "replace").splitlines()[1:] if line.strip()]
    unknown = [row for row in rows if len(row) < 2 or row[1] not in _KNOWN]
    if unknown:
        raise CorpusError(
            f"{path}: labels.tsv has the line {unknown[0]!r}, expected one of {', '.join(sorted(_KNOWN))}; "
            "fetch it again"
        )
    return {row[0]: row[1] for row in rows}
