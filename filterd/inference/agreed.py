"""A host's registry as its share of what all hosts agreed on.

::

    <directory>/<channel>/agreed            number and id of the pointer this host last heard or said
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from filterd.core.bundle import CHECKED_FILES, SIGNATURE_FILE, SPEC_FILE
from filterd.core.envelope import Channel
from filterd.errors import BundleError
from filterd.inference.registry import Registry
from filterd.model_ports import SharedPointer

AGREED_FILE = "agreed"
KEPT = 5
"""Bundles that served which a host keeps, as retraining does."""
_NAMES = (*CHECKED_FILES, SPEC_FILE, SIGNATURE_FILE)


class AgreedRegistry:
    """Implements ``model_sharing.SharedRegistry``."""

    def __init__(self, registry: Registry, directory: Path) -> None:
        self._registry = registry
        self._directory = directory

    def current(self, channel: Channel) -> str | None:
        """See ``model_sharing.SharedRegistry``."""
        return self._registry.current(channel)

    def agreed(self, channel: Channel) -> SharedPointer | None:
        """See ``model_sharing.SharedRegistry``."""
        try:
            number, _, id = (self._directory / channel.value / AGREED_FILE).read_text(encoding="ascii").partition(" ")
            return SharedPointer(number=int(number), id=id.strip())
        except (OSError, ValueError):
            # Then the others are heard again from the beginning.
            return None

    def agree(self, channel: Channel, pointer: SharedPointer) -> None:
        """See ``model_sharing.SharedRegistry``."""
        folder = self._directory / channel.value
        try:
            folder.mkdir(parents=True, exist_ok=True)
            working = folder / f".{AGREED_FILE}.new"
            working.write_text(f"{pointer.number} {pointer.id}\n", encoding="ascii")
            working.replace(folder / AGREED_FILE)
        except OSError as exc:
            raise BundleError(f"{folder}: cannot be written: {exc.strerror}") from None

    def follow(self, channel: Channel, id: str) -> None:
        """See ``model_sharing.SharedRegistry``."""
        if id == (self._registry.current(channel) or ""):
            return
        if id:
            self._registry.promote(channel, id)
            # Here nobody retrains, who would tidy up: a bundle a night would fill the disk.
            self._registry.prune(channel, KEPT)
        else:
            self._registry.serve_packaged(channel)

    def has(self, channel: Channel, id: str) -> bool:
        """See ``model_sharing.SharedRegistry``."""
        return (self._registry.folder(channel, id) / SPEC_FILE).is_file()

    def files(self, channel: Channel, id: str) -> Mapping[str, bytes]:
        """See ``model_sharing.SharedRegistry``."""
        folder = self._registry.folder(channel, id)
        try:
            return {name: (folder / name).read_bytes() for name in _NAMES if (folder / name).is_file()}
        except OSError as exc:
            raise BundleError(f"{folder}: cannot be read: {exc.strerror}") from None

    def publish_files(self, files: Mapping[str, bytes]) -> str:
        """See ``model_sharing.SharedRegistry``; names that are none of a bundle's are left out."""
        with tempfile.TemporaryDirectory(prefix="filterd-bundle-") as draft:
            for name in _NAMES:
                if name in files:
                    (Path(draft) / name).write_bytes(files[name])
            return self._registry.publish(Path(draft))
