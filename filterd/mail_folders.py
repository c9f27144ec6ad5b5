"""Mail that lies in files: Maildir, mbox, or a folder of messages. Reads, and changes nothing."""

from __future__ import annotations

import mailbox
from collections.abc import Iterator
from pathlib import Path

from filterd.errors import NotFound, UsageError

_MBOX = b"From "


def messages_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every message at ``path``, in the order of their names or, in an mbox, of the file.

    Raises NotFound, and UsageError where something cannot be read.
    """
    try:
        if path.is_dir():
            yield from _files(path)
        elif _is_mbox(path):
            yield from _mbox(path)
        else:
            yield str(path), path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file or folder") from None
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror}") from None


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A Maildir has its messages in cur and new; files beside those are the mail store's own."""
    parts = [folder / name for name in ("cur", "new") if (folder / name).is_dir()]
    found = sorted(file for part in parts or [folder] for file in part.rglob("*") if file.is_file())
    for file in found:
        yield str(file), file.read_bytes()


def _is_mbox(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MBOX)) == _MBOX


def _mbox(path: Path) -> Iterator[tuple[str, bytes]]:
    box = mailbox.mbox(path, create=False)
    try:
        for number, key in enumerate(box.keys(), 1):
            yield f"{path}:{number}", box.get_bytes(key)
    finally:
        box.close()
