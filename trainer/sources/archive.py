"""Reads the members of a corpus archive in place, and the dates inside messages. No label is decided here."""

from __future__ import annotations

import csv
import io
import lzma
import re
import tarfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from trainer.errors import CorpusError
from trainer.example import Label

MBOX_FROM = re.compile(rb"^From [^\r\n]*\r?\n")
_HEADER_BYTES = 16_384
_RECEIVED = re.compile(
    rb"^Received:(?:[^\r\n]|\r?\n[ \t])*?;\s*((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE
)
_DATE = re.compile(rb"^Date:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name without the archive's own folder, and content, of every file. Raises CorpusError."""
    if not path.is_file():
        raise CorpusError(f"{path}: no such corpus; point --data or FILTERD_DATA at the folder that holds it")
    try:
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                handle = archive.extractfile(member) if member.isfile() else None
                if handle is not None:
                    yield member.name.partition("/")[2], handle.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as exc:
        raise CorpusError(f"{path}: cannot be read to its end ({exc}); fetch it again") from exc


def one_file(path: Path, name: str) -> bytes:
    """Content of one member. Raises CorpusError when it is not there."""
    for found, content in members(path):
        if found == name:
            return content
    raise CorpusError(f"{path}: holds no {name}; fetch it again")


def table(path: Path, name: str, columns: tuple[str, ...], encoding: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Row number and named cells of a CSV member. Raises CorpusError when a column is missing."""
    text = one_file(path, name).decode(encoding, "replace")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise CorpusError(
            f"{path}: {name} has no column {missing[0]!r}, only {', '.join(reader.fieldnames or ())}; fetch it again"
        )
    for number, row in enumerate(reader, 1):
        yield number, {column: row[column] or "" for column in columns}


def label_of(value: str, labels: Mapping[str, Label], where: str) -> Label:
    """The label a corpus writes as ``value``. Raises CorpusError for a value it does not use."""
    label = labels.get(value.strip().lower())
    if label is None:
        known = ", ".join(labels)
        raise CorpusError(
            f"{where}: {value[:20]!r} is not a label, expected one of {known}; correct it or fetch it again"
        )
    return label


def message_date(raw: bytes, years: tuple[int, int]) -> datetime | None:
    """When the message was received, else when it says it was sent; None outside ``years``, both ends included.

    The collector's own ``Received`` line comes first because spammers write their ``Date`` themselves.
    """
    head = raw[:_HEADER_BYTES]
    head = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    for pattern in (_RECEIVED, _DATE):
        found = pattern.search(head)
        date = _parsed(found.group(1)) if found else None
        if date is not None and years[0] <= date.year <= years[1]:
            return date
    return None


def _parsed(value: bytes) -> datetime | None:
    try:
        date = parsedate_to_datetime(" ".join(value.decode("latin-1").split()))
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
