"""What a folder that the trainer wrote holds: its id, its files and which checksum each must have.

A bundle says so in ``bundle.json`` (``filterd.core.bundle``); a published system's folder in ``recipe.json``, whose
``files`` is the same mapping of file name to SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from filterd.core.bundle import SPEC_FILE, BundleSpec
from filterd.core.envelope import Channel
from filterd.errors import BundleError, ChecksumMismatch
from trainer.errors import ManifestError

RECIPE_FILE = "recipe.json"
RECIPES = "recipes"
GROUPS = (*(channel.value for channel in Channel), RECIPES)
MANIFEST_OF: Mapping[str, str] = MappingProxyType({**{each.value: SPEC_FILE for each in Channel}, RECIPES: RECIPE_FILE})
"""Group -> name of the manifest of what belongs to it."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""An id or a file name; no separator, so that none leads out of a folder."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a folder holds."""

    group: str
    """Channel of a bundle, else ``recipes``."""
    id: str
    name: str
    """``bundle.json`` or ``recipe.json``."""
    sums: Mapping[str, str]
    """File name -> SHA-256, hex; without the manifest itself."""


def sha256(content: bytes) -> str:
    """Hex."""
    return hashlib.sha256(content).hexdigest()


def parse(name: str, text: bytes, id: str, where: str) -> Manifest:
    """The manifest whose file ``name`` holds ``text``; ``id`` is for one that names none. Raises ManifestError."""
    try:
        if name == SPEC_FILE:
            spec = BundleSpec.from_json(text.decode("utf-8"))
            group, id, sums = spec.channel.value, spec.id, dict(spec.files)
        else:
            tree = json.loads(text)
            group, id, sums = RECIPES, str(tree.get("id", id)), dict(tree["files"])
    except (BundleError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ManifestError(
            f"{where}: cannot be read ({exc}); train it again, or use the version that wrote it"
        ) from exc
    if not NAME.fullmatch(id) or not sums:
        raise ManifestError(f"{where}: {id!r} is not an id, or no file is named; train it again")
    for each, value in sums.items():
        if not NAME.fullmatch(each) or each == name or not _SHA256.fullmatch(str(value)):
            raise ManifestError(f"{where}: {each!r} is not the name of a file with a SHA-256; train it again")
    return Manifest(group=group, id=id, name=name, sums=MappingProxyType(sums))


def read_folder(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest, and every file it names with the manifest itself, checksums verified.

    Raises ManifestError, or ChecksumMismatch when a file is not the one the folder was written with.
    """
    name = next((name for name in (SPEC_FILE, RECIPE_FILE) if (folder / name).is_file()), None)
    if name is None:
        raise ManifestError(f"{folder}: holds neither {SPEC_FILE} nor {RECIPE_FILE}; name a folder that trainer wrote")
    text = (folder / name).read_bytes()
    manifest = parse(name, text, folder.resolve().name, f"{folder / name}")
    files = {}
    for each, wanted in manifest.sums.items():
        path = folder / each
        if not path.is_file():
            raise ChecksumMismatch(f"{path} is missing; pull or train it again")
        files[each] = path.read_bytes()
        if sha256(files[each]) != wanted:
            raise ChecksumMismatch(f"{path} is not the file it was published with; pull or train it again")
    return manifest, {**files, name: text}
