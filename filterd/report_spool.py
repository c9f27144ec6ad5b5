"""Labels mail that scripts put into a folder, for example when a user moves it to Junk and an IMAP server notices.

``spam/NAME,r=ADDRESS`` says that the recipient ADDRESS calls the mail in that file spam; without an address the label
speaks for all who got the message. A file must appear whole: written under a name that begins with a dot, then renamed.
Only its header is read, for our id.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from filterd.core.envelope import MessageId, address_key
from filterd.core.headers import find_id
from filterd.core.verdict import Label
from filterd.errors import ConfigError, FilterdError, NotFound, TemporaryError
from filterd.labeller import Labeller
from filterd.log import Events
from filterd.ports import Clock

POLL_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""How long it waits when the database is away or the folder cannot be used."""
PATIENCE_SECONDS = 10.0
"""A file without an id we know is looked at again until it is so old: it may be half written, or its verdict may be."""
FAILED = "failed"
_MOST_FILES = 200
"""Per look; the others come next."""
_HEADER_BYTES = 1_048_576
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A file in the spool."""

    path: Path
    label: Label
    recipient: str
    """Lower case; empty where the name says none."""
    id: MessageId | None
    written_at: float
    """Seconds since 1970."""


def prepare(folder: Path) -> None:
    """Make the folders that are missing. Raises ConfigError."""
    try:
        for name in (*Label, *(f"{FAILED}/{label.value}" for label in Label)):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"learning.spool_dir: {folder} cannot be used: {exc.strerror}") from None


class ReportSpool:
    """Empties the spool."""

    def __init__(self, folder: Path, labeller: Labeller, *, clock: Clock, events: Events) -> None:
        self._folder = folder
        self._labeller = labeller
        self._clock = clock
        self._events = events
        self._trouble = ""
        self._stuck: set[Path] = set()
        """Files that are done with but cannot be taken away: they are not labelled over and over."""

    async def watch(self) -> None:
        """Label what appears, until cancelled; while the database is away the files stay."""
        while True:
            try:
                await self.empty()
                self._trouble = ""
                pause = POLL_SECONDS
            except (TemporaryError, ConfigError, OSError) as exc:  # TimeoutError is one of the latter
                self._complain(exc.detail if isinstance(exc, FilterdError) else exc.strerror or "timed out")
                pause = PAUSE_SECONDS
            await asyncio.sleep(pause)

    async def empty(self) -> None:
        """Label every file there is now. Raises StoreUnavailable, ConfigError and OSError."""
        found = await asyncio.to_thread(self._look)
        # As they were moved: of two opposite labels the later one counts.
        for file in sorted(found, key=lambda file: file.written_at):
            await self._take(file)

    def _look(self) -> list[Spooled]:
        prepare(self._folder)
        self._stuck = {path for path in self._stuck if path.is_symlink() or path.exists()}
        return [file for label in Label for file in islice(self._files(label), _MOST_FILES)]

    def _files(self, label: Label) -> Iterator[Spooled]:
        with os.scandir(self._folder / label.value) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.name.startswith(".") or path in self._stuck or entry.is_dir(follow_symlinks=False):
                    continue
                try:
                    written_at = entry.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue
                yield Spooled(
                    path=path,
                    label=label,
                    recipient=recipient_in(entry.name),
                    id=_id_in(path),
                    written_at=written_at,
                )

    async def _take(self, file: Spooled) -> None:
        why = "no id of ours in its header"
        if file.id is not None:
            try:
                await self._labeller.add(file.id, file.label, file.recipient or self._labeller.origin, file.recipient)
            except NotFound:
                why = "its message is not known, or forgotten"
            else:
                await self._away(file, None)
                return
        if self._clock.now().timestamp() - file.written_at < PATIENCE_SECONDS:
            return
        self._labeller.count("unreadable")
        self._events.report_unread(file.id or "", self._labeller.origin, why)
        await self._away(file, self._folder / FAILED / file.label.value / file.path.name)

    async def _away(self, file: Spooled, to: Path | None) -> None:
        """Move the file, or delete it."""
        try:
            await asyncio.to_thread(file.path.replace, to) if to else await asyncio.to_thread(file.path.unlink)
        except FileNotFoundError:
            pass
        except OSError as exc:
            self._stuck.add(file.path)
            self._labeller.count("failed")
            self._events.report_failed(file.id or "", self._labeller.origin, f"cannot take a file away: {exc.strerror}")

    def _complain(self, trouble: str) -> None:
        """Say once what keeps the spool from being emptied."""
        if trouble != self._trouble:
            self._labeller.count("failed")
            self._events.report_failed("", self._labeller.origin, trouble)
        self._trouble = trouble


def recipient_in(name: str) -> str:
    """The recipient that a file's name carries behind its last ``,r=``, in lower case; empty where there is none."""
    text = name.encode("utf-8", "replace").decode()  # a name on disk need not be text, what a database keeps must
    return address_key(text.rpartition(",r=")[2]) if ",r=" in text else ""


def _id_in(path: Path) -> MessageId | None:
    """The id in the file's header; None where it has none or is no file that can be read."""
    try:
        descriptor = os.open(path, _READING)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        # A pipe would wait for its writer for ever.
        return find_id(file.read(_HEADER_BYTES)) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
