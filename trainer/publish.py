"""Writes a bundle folder in one step: it is complete or it is not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from filterd.core.bundle import CARD_FILE, CHECKED_FILES, MODEL_FILE, PROBES_FILE, REPORT_FILE, SPEC_FILE, BundleSpec

MAX_MODEL_BYTES = 8_000_000


def bundle_id(channel: str, created_at: str, model: bytes) -> str:
    """``sms-20261122T031500-1a2b3c4d`` from an ISO 8601 time in UTC."""
    stamp = "".join(c for c in created_at[:19] if c not in "-:")
    return f"{channel}-{stamp}-{hashlib.sha256(model).hexdigest()[:8]}"


def write_bundle(
    folder: Path,
    spec: BundleSpec,
    files: Mapping[str, bytes],
    *,
    verify: Callable[[Path], object] = lambda _: None,
) -> Path:
    """``folder / spec.id`` with these files, their checksums in the spec.

    Everything is written and synced beside its final place, checked by ``verify``, and renamed there; what fails on
    the way leaves nothing behind.
    """
    missing = [name for name in CHECKED_FILES if name not in files]
    if missing:
        raise ValueError(f"a bundle needs {missing[0]}")
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    signed = replace(spec, files=MappingProxyType(sums))
    return write_folder(folder / spec.id, {**files, SPEC_FILE: signed.to_json().encode()}, verify=verify)


def write_folder(final: Path, files: Mapping[str, bytes], *, verify: Callable[[Path], object] = lambda _: None) -> Path:
    """The new folder ``final`` with exactly these files, or, after any failure, nothing. Raises OSError."""
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=final.parent))
    try:
        for name, content in files.items():
            with (draft / name).open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
        verify(draft)
        draft.chmod(0o755)
        draft.replace(final)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync(final.parent)
    return final


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def contents(model: bytes, probes: str, report: str, card: str) -> dict[str, bytes]:
    """The files of a bundle under their names, without the spec."""
    return {
        MODEL_FILE: model,
        PROBES_FILE: probes.encode(),
        REPORT_FILE: report.encode(),
        CARD_FILE: card.encode(),
    }
