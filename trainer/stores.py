"""Moves bundles and recipe folders between machines through a directory or an S3-compatible store.

::

    <url>/<group>/<id>/<file>                the files that the manifest names; group is email, sms or recipes
    <url>/<group>/<id>/<manifest>.sha256     SHA-256 of the manifest, hex
    <url>/<group>/<id>/<manifest>            bundle.json or recipe.json, written last: what has none is not there yet
    <url>/<group>/latest                     the id that was pushed last

Objects below an id are created and never replaced; only ``latest`` is. The checksums find damage and accidents. They
are no signature: who may write to the store can replace a manifest with its checksum. Endpoint, region and credentials
come from the usual AWS_* variables, which obstore reads itself. Source: obstore 0.12, ``put`` with mode ``create``.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filterd.errors import BundleError
from filterd.inference.registry import MAX_MODEL_BYTES, read_bundle
from trainer.errors import NotStored, ObjectChanged, StoreConflict, StoreError, ToolMissing
from trainer.manifest import GROUPS, MANIFEST_OF, NAME, RECIPES, Manifest, parse, read_folder, sha256
from trainer.publish import write_folder

try:
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import LocalStore, S3Store
except ModuleNotFoundError as exc:
    raise ToolMissing(f"{exc.name} is not installed; install filterd[s3] to move bundles between machines") from exc

LATEST = "latest"

_CODE = re.compile(r"<Code>(\w+)</Code>")
_ATTEMPTS = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
_REMEDY = (
    "check the URL and, for s3://, AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then "
    "run the same command again"
)


def push(folder: Path, url: str) -> Manifest:
    """Store a bundle or recipe folder under its id and make it the latest of its group; what was stored.

    The same content again changes nothing but ``latest``. Raises what ``read_folder`` raises; StoreConflict when the
    id is stored with other content, StoreError when the store cannot be written.
    """
    manifest, files = read_folder(folder)
    text = files[manifest.name]
    url = url.rstrip("/")
    store = _open(url, is_new=True)
    root = f"{manifest.group}/{manifest.id}"
    with _border(url):
        for name in sorted(manifest.sums):
            _create(store, url, f"{root}/{name}", files[name])
        _create(store, url, f"{root}/{manifest.name}.sha256", f"{sha256(text)}\n".encode())
        _create(store, url, f"{root}/{manifest.name}", text)
        obstore.put(store, f"{manifest.group}/{LATEST}", f"{manifest.id}\n".encode())
    return manifest


def pull(url: str, name: str, into: Path) -> Path:
    """The folder ``into / id`` with a bundle or recipe of the store, every checksum verified.

    ``name`` is ``id``, ``group/id``, ``latest`` or ``group/latest``. What is in ``into`` already and the same is left
    alone. Raises ManifestError or StoreError; nothing half-written stays behind.
    """
    url = url.rstrip("/")
    store = _open(url, is_new=False)
    with _border(url):
        group, id = _find(store, url, name)
        manifest, files = _fetch(store, url, group, id)
    final = into / id
    if final.exists():
        if not _is_same(final, files):
            raise StoreConflict(f"{final} is there with other content; remove it or pull into another folder")
        return final
    try:
        return write_folder(final, files, verify=partial(_verify, manifest, f"{url}/{group}/{id}"))
    except OSError as exc:
        raise StoreError(
            f"{final}: cannot be written ({exc.strerror}); is there room, and may you write there?"
        ) from exc


def _open(url: str, *, is_new: bool) -> Any:
    """The store at a path, ``file://`` or ``s3://``. Raises StoreError."""
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.hostname:
        if "@" in parts.netloc:
            raise StoreError("credentials belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, not in the URL")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        with _border(url):
            return S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                client_options={"allow_http": endpoint.startswith("http://")},
                retry_config=_ATTEMPTS,
            )
    if parts.scheme not in {"", "file"} or (parts.scheme == "file" and parts.netloc):
        raise StoreError(f"{url}: not a store; give a folder, file:///folder or s3://bucket/prefix")
    path = Path(unquote(parts.path) if parts.scheme else url)
    if not is_new and not path.is_dir():
        raise NotStored(f"{path}: no such folder; push a bundle there first")
    with _border(url):
        return LocalStore(path, mkdir=True)


@contextlib.contextmanager
def _border(url: str) -> Iterator[None]:
    """Turns what the library raises into StoreError: one line, without the headers and keys a server repeats."""
    try:
        yield
    except (BaseError, OSError, ValueError) as exc:
        code = _CODE.search(str(exc))
        said = str(exc).split("\n", 1)[0].split("<", 1)[0].rstrip(": ")
        raise StoreError(f"{url}: {said}{f' ({code[1]})' if code else ''}; {_REMEDY}") from exc


def _create(store: Any, url: str, path: str, content: bytes) -> None:
    try:
        obstore.put(store, path, content, mode="create")
    except AlreadyExistsError:
        if _get(store, path) != content:
            raise StoreConflict(
                f"{url}/{path} is stored with other content, and what is published never changes; train again for a "
                "new id, or push to another URL"
            ) from None


def _get(store: Any, path: str) -> bytes | None:
    """The object, or None where there is none. A missing bucket is an error."""
    try:
        found = obstore.get(store, path)
        if found.meta["size"] > MAX_MODEL_BYTES:
            raise StoreError(f"{path}: larger than {MAX_MODEL_BYTES} bytes; it is not a file of a bundle")
        return bytes(found.bytes())
    except FileNotFoundError as exc:
        if "NoSuchBucket" in str(exc):
            raise
        return None


def _find(store: Any, url: str, name: str) -> tuple[str, str]:
    """Group and id that ``name`` means. Raises NotStored with what is there."""
    wanted, _, id = name.rpartition("/")
    if wanted and wanted not in GROUPS:
        raise NotStored(f"{name!r}: {wanted!r} is none of {', '.join(GROUPS)}")
    if not NAME.fullmatch(id):
        raise NotStored(f"{name!r} is not an id; {url} holds {_inventory(store)}")
    found = {}
    for group in (wanted,) if wanted else GROUPS:
        pointed = _get(store, f"{group}/{LATEST}") if id == LATEST else id.encode()
        each = (pointed or b"").decode("ascii", "replace").strip()
        if NAME.fullmatch(each) and _get(store, f"{group}/{each}/{MANIFEST_OF[group]}") is not None:
            found[group] = each
    if len(found) > 1:
        raise NotStored(f"{name!r} may be any of {', '.join(f'{g}/{i}' for g, i in found.items())} in {url}; name one")
    if not found:
        raise NotStored(f"{url} holds no {name}, only {_inventory(store)}")
    return next(iter(found.items()))


def _inventory(store: Any) -> str:
    """Everything that was pushed completely, ``group/id`` each."""
    ids = []
    for group in GROUPS:
        folders = obstore.list_with_delimiter(store, f"{group}/")["common_prefixes"]
        ids += [path for path in folders if _get(store, f"{path}/{MANIFEST_OF[group]}") is not None]
    return ", ".join(sorted(ids)) or "nothing"


def _fetch(store: Any, url: str, group: str, id: str) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and every file with the manifest, checksums verified. Raises ObjectChanged."""
    root, name = f"{group}/{id}", MANIFEST_OF[group]
    text = _get(store, f"{root}/{name}")
    signed = _get(store, f"{root}/{name}.sha256") or b""
    _check(f"{url}/{root}/{name}", text, signed.decode("ascii", "replace").strip())
    assert text is not None
    manifest = parse(name, text, id, f"{url}/{root}/{name}")
    if (manifest.group, manifest.id) != (group, id):
        raise ObjectChanged(f"{url}/{root}/{name} is the manifest of {manifest.group}/{manifest.id}; push {id} again")
    files = {name: text}
    for each, wanted in manifest.sums.items():
        content = _get(store, f"{root}/{each}")
        _check(f"{url}/{root}/{each}", content, wanted)
        assert content is not None
        files[each] = content
    return manifest, files


def _check(where: str, content: bytes | None, wanted: str) -> None:
    if content is None or sha256(content) != wanted:
        raise ObjectChanged(
            f"{where} is {'missing' if content is None else 'not what was pushed'}; remove the objects of this id "
            "from the store and push it again from where it was trained"
        )


def _verify(manifest: Manifest, where: str, draft: Path) -> None:
    """A bundle must also be one to the daemon's own reader."""
    if manifest.group == RECIPES:
        return
    try:
        read_bundle(draft)
    except BundleError as exc:
        raise StoreError(
            f"{where}: is not a bundle that this version serves ({str(exc).replace(str(draft), where)})"
        ) from exc


def _is_same(folder: Path, files: Mapping[str, bytes]) -> bool:
    return all((folder / name).is_file() and (folder / name).read_bytes() == files[name] for name in files)
