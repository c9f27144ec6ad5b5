"""The folder of bundles: what was published, and which one serves.

::

    <directory>/<channel>/<bundle id>/      a bundle, never changed after it is published
    <directory>/<channel>/current           one id per line: the one in service, then the ones before it
    <directory>/<channel>/withdrawn         ids whose promotion was taken back: retraining promotes none of them
    <directory>/<channel>/trial             the candidate that is tried on live messages, if there is one

A channel without a promoted bundle uses the one inside the package.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import filterd
from filterd.core.bundle import (
    CHECKED_FILES,
    MODEL_FILE,
    PROBES_FILE,
    SIGNATURE_FILE,
    SPEC_FILE,
    Bundle,
    BundleSpec,
    probes_from_jsonl,
)
from filterd.core.envelope import Channel
from filterd.errors import BundleError, ChecksumMismatch, ContractMismatch, NotFound, UsageError
from filterd.failpoints import failpoint
from filterd.model_ports import Trial

POINTER_FILE = "current"
KEPT_IDS = 6
"""Ids in the pointer file: the one in service and those one can roll back to."""
MAX_MODEL_BYTES = 256 * 1024 * 1024
MAX_TEXT_BYTES = 1024 * 1024

TRIAL_FILE = "trial"
WITHDRAWN_FILE = "withdrawn"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def read_bundle(folder: Path) -> Bundle:
    """The bundle in ``folder`` with every file checked. Raises BundleError."""
    spec = read_spec(folder)
    files = {name: _read(folder / name) for name in CHECKED_FILES if name in spec.files}
    for name in (MODEL_FILE, PROBES_FILE):
        if name not in files:
            raise ContractMismatch(f"{folder / SPEC_FILE} has no checksum of {name}")
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != spec.files[name]:
            raise ChecksumMismatch(
                f"{folder / name} is not the file the bundle was published with; fetch the bundle again"
            )
    try:
        probes = probes_from_jsonl(files[PROBES_FILE].decode("utf-8"))
    except UnicodeDecodeError:
        raise ContractMismatch(f"{folder / PROBES_FILE} is not UTF-8") from None
    return Bundle(spec=spec, model=files[MODEL_FILE], probes=probes)


def read_spec(folder: Path) -> BundleSpec:
    """The spec in ``folder``; the other files are not looked at. Raises BundleError."""
    try:
        return BundleSpec.from_json(_read(folder / SPEC_FILE).decode("utf-8"))
    except UnicodeDecodeError:
        raise ContractMismatch(f"{folder / SPEC_FILE} is not UTF-8") from None


def read_text(folder: Path, name: str) -> str:
    """A text of the bundle in ``folder``; empty where it has none of that name. Raises BundleError."""
    path = folder / name
    if not path.exists():
        return ""
    try:
        return _read(path, MAX_TEXT_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise ContractMismatch(f"{path} is not UTF-8") from None


def _read(path: Path, most: int = MAX_MODEL_BYTES) -> bytes:
    try:
        if path.stat().st_size > most:
            raise ContractMismatch(f"{path} is larger than {most} bytes")
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file") from None
    except OSError as exc:
        raise BundleError(f"{path}: cannot be read: {exc.strerror}") from None


def packaged_models() -> Path:
    """Where the bundles that ship with the package are."""
    return Path(filterd.__file__).parent / "models"


class Registry:
    """Bundles on disk and the pointers to those in service."""

    def __init__(self, directory: Path, packaged: Path) -> None:
        self._directory = directory
        self._packaged = packaged

    def locate(self, pinned: Mapping[Channel, str] = MappingProxyType({})) -> dict[Channel, Path]:
        """The folder of the bundle to serve per channel: pinned, promoted, or the one in the package."""
        return {channel: self.serving(channel, pinned.get(channel, "")) for channel in Channel}

    def serving(self, channel: Channel, pinned: str = "") -> Path:
        """The same for one channel. Raises BundleError."""
        if pinned:
            return Path(pinned)
        current = self.current(channel)
        return self.folder(channel, current) if current else self.packaged(channel)

    def packaged(self, channel: Channel) -> Path:
        """The folder of the bundle in the package."""
        return self._packaged / channel.value

    def folder(self, channel: Channel, id: str) -> Path:
        """Where the bundle ``id`` is. Raises UsageError for what cannot be an id."""
        if not _ID.fullmatch(id):
            raise UsageError(f"{id!r} is not a bundle id")
        return self._directory / channel.value / id

    def current(self, channel: Channel) -> str | None:
        """Id of the promoted bundle."""
        return next(iter(self._pointer(channel)), None)

    def previous(self, channel: Channel) -> str | None:
        """Id of the bundle that was in service before."""
        return next(iter(self._pointer(channel)[1:]), None)

    def list(self, channel: Channel) -> tuple[str, ...]:
        """Ids of the published bundles, oldest first. Raises BundleError."""
        folder = self._directory / channel.value
        try:
            return tuple(
                sorted(p.name for p in folder.iterdir() if _ID.fullmatch(p.name) and (p / SPEC_FILE).is_file())
            )
        except FileNotFoundError:
            return ()
        except OSError as exc:
            raise BundleError(f"{folder}: cannot be read: {exc.strerror}") from None

    def publish(self, source: Path) -> str:
        """Copy the bundle in ``source`` into the registry, durably; its id. Raises BundleError."""
        spec = read_bundle(source).spec
        target = self.folder(spec.channel, spec.id)
        if target.exists():
            if read_spec(target) != spec:
                raise BundleError(f"{target} holds another bundle of that id")
            return spec.id
        target.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(prefix=".publish-", dir=target.parent))
        try:
            for name in (*CHECKED_FILES, SPEC_FILE, SIGNATURE_FILE):
                if (source / name).is_file():
                    _write_durably(working / name, (source / name).read_bytes())
            failpoint("registry.copied")
            working.chmod(0o755)
            _sync_folder(working)
            working.rename(target)
        except OSError as exc:
            shutil.rmtree(working, ignore_errors=True)
            raise BundleError(f"{target}: cannot be written: {exc.strerror}") from None
        _sync_folder(target.parent)
        return spec.id

    def promote(self, channel: Channel, id: str) -> None:
        """Put a published bundle into service. Raises NotFound, or BundleError if it is damaged."""
        folder = self.folder(channel, id)
        if not folder.is_dir():
            raise NotFound(f"no bundle {id} of channel {channel.value}")
        if read_bundle(folder).spec.channel is not channel:
            raise ContractMismatch(f"bundle {id} is not of channel {channel.value}")
        with self._locked(channel):
            self._point(channel, [id, *(other for other in self._pointer(channel) if other != id)][:KEPT_IDS])
            failpoint("registry.promoted")
            if id in self._withdrawn(channel):
                self._withdraw(channel, [other for other in self._withdrawn(channel) if other != id])

    def withdraw(self, channel: Channel, id: str) -> str:
        """Take the promotion of a bundle back; the id of the one that serves then.

        It serves no longer, nobody rolls back to it, and ``is_withdrawn`` until somebody promotes it again. Raises
        NotFound and BundleError.
        """
        if not self.folder(channel, id).is_dir():
            raise NotFound(f"no bundle {id} of channel {channel.value}")
        with self._locked(channel):
            self._withdraw(channel, [*(other for other in self._withdrawn(channel) if other != id), id])
            pointer = self._pointer(channel)
            left = [other for other in pointer if other != id]
            if left:
                self._point(channel, left)
            elif pointer:
                # Before it, the bundle in the package served.
                self._unpoint(channel)
        return read_spec(self.serving(channel)).id

    def is_withdrawn(self, channel: Channel, id: str) -> bool:
        """Whether its promotion was taken back. Raises BundleError."""
        return id in self._withdrawn(channel)

    def taught(self, labels: Iterable[int]) -> tuple[str, ...]:
        """Ids of the bundles here, published or in the package, that were trained on any of these labels."""
        numbers = tuple(labels)
        found = set()
        for channel in Channel:
            for folder in (self.packaged(channel), *(self.folder(channel, id) for id in self.list(channel))):
                with contextlib.suppress(BundleError):
                    spec = read_spec(folder)
                    if any(spec.was_taught(number) for number in numbers):
                        found.add(spec.id)
        return tuple(sorted(found))

    def serve_packaged(self, channel: Channel) -> None:
        """Serve the bundle in the package again: forget what was promoted; published bundles stay."""
        if (self._directory / channel.value).is_dir():
            with self._locked(channel):
                self._unpoint(channel)

    def prune(self, channel: Channel, kept: int) -> tuple[str, ...]:
        """Delete the bundles that served before the last ``kept`` of those that did; the ids that are gone.

        What never served goes when it is older than all that stay, so that a candidate still waits to be promoted. What
        is on trial stays. Raises BundleError where pointer or trial cannot be read.
        """
        trial = self.trial(channel)
        with self._locked(channel):
            served = self._pointer(channel)
            staying = served[:kept]
            if not staying:
                return ()
            old = [id for id in self.list(channel) if id in served[kept:] or (id not in staying and id < min(staying))]
            gone = [id for id in old if trial is None or id != trial.id]
            # The pointer first: whatever happens on the way, it never names what is not there.
            self._point(channel, staying)
            for id in gone:
                shutil.rmtree(self.folder(channel, id), ignore_errors=True)
        return tuple(gone)

    def _point(self, channel: Channel, ids: Sequence[str]) -> None:
        working = self._draft(channel, POINTER_FILE, ids)
        failpoint("registry.drafted")
        working.replace(working.with_name(POINTER_FILE))
        _sync_folder(working.parent)

    def _unpoint(self, channel: Channel) -> None:
        folder = self._directory / channel.value
        (folder / POINTER_FILE).unlink(missing_ok=True)
        _sync_folder(folder)

    def _withdraw(self, channel: Channel, ids: Sequence[str]) -> None:
        working = self._draft(channel, WITHDRAWN_FILE, ids)
        working.replace(working.with_name(WITHDRAWN_FILE))
        _sync_folder(working.parent)

    def _draft(self, channel: Channel, name: str, ids: Sequence[str]) -> Path:
        working = self._directory / channel.value / f".{name}.new"
        _write_durably(working, "".join(f"{id}\n" for id in ids).encode("ascii"))
        return working

    def _withdrawn(self, channel: Channel) -> tuple[str, ...]:
        return self._ids(self._directory / channel.value / WITHDRAWN_FILE)

    def trial(self, channel: Channel) -> Trial | None:
        """The candidate that is tried on live messages. Raises BundleError for a file that says nothing of the kind."""
        path = self._directory / channel.value / TRIAL_FILE
        try:
            tree = json.loads(path.read_text(encoding="ascii"))
            trial = Trial(id=str(tree["id"]), share=float(tree["share"]), decides=bool(tree["decides"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise BundleError(f"{path}: cannot be read") from None
        if not _ID.fullmatch(trial.id) or not 0 < trial.share <= 1:
            raise BundleError(f"{path}: not a trial")
        return trial

    def try_out(self, channel: Channel, trial: Trial) -> None:
        """Try a published bundle on live messages. Raises NotFound, UsageError, or BundleError if it is damaged."""
        folder = self.folder(channel, trial.id)
        if not folder.is_dir():
            raise NotFound(f"no bundle {trial.id} of channel {channel.value}")
        if not 0 < trial.share <= 1:
            raise UsageError("a share is more than 0 and at most 1")
        if read_bundle(folder).spec.channel is not channel:
            raise ContractMismatch(f"bundle {trial.id} is not of channel {channel.value}")
        path = self._directory / channel.value / TRIAL_FILE
        with self._locked(channel):
            working = path.with_name(f".{TRIAL_FILE}.new")
            _write_durably(working, json.dumps(asdict(trial)).encode("ascii"))
            working.replace(path)
            _sync_folder(path.parent)

    def end_trial(self, channel: Channel) -> Trial | None:
        """Try nothing any more; what was tried. Raises BundleError."""
        trial = self.trial(channel)
        if trial is not None:
            with self._locked(channel):
                (self._directory / channel.value / TRIAL_FILE).unlink(missing_ok=True)
                _sync_folder(self._directory / channel.value)
        return trial

    def _pointer(self, channel: Channel) -> tuple[str, ...]:
        path = self._directory / channel.value / POINTER_FILE
        ids = self._ids(path)
        if not ids and path.exists():
            raise BundleError(f"{path}: not a list of bundle ids")
        return ids

    def _ids(self, path: Path) -> tuple[str, ...]:
        try:
            lines = path.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError):
            raise BundleError(f"{path}: cannot be read") from None
        if not all(_ID.fullmatch(line) for line in lines):
            raise BundleError(f"{path}: not a list of bundle ids")
        return tuple(lines)

    @contextlib.contextmanager
    def _locked(self, channel: Channel) -> Iterator[None]:
        """One writer at a time, on this host; the lock goes with the process that holds it."""
        with (self._directory / channel.value / ".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
