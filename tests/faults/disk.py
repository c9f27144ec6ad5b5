"""A disk whose power can be cut: an ext4 file system in an image file, on a loop device.

The cut is ext4's own (``EXT4_IOC_SHUTDOWN`` without a flush of its journal): from that moment nothing is written to the
image, and every call on an open file fails. To unmount drops what was in memory only; to mount again replays the
journal, as after a real cut. What had been flushed is there, what had not is gone or, if the kernel had written it
back by itself meanwhile, is not.

Not imitated: a drive that keeps a write in a cache of its own and says that it is safe.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
"""EXT4_IOC_SHUTDOWN, ``_IOR('X', 125, __u32)``. Source: linux/include/uapi/linux/ext4.h."""
_WITHOUT_LOG = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH of the same file."""
_BYTES = 1 << 30
"""Of the image, which is sparse: a few tens of megabytes are ever written."""
_PREFIX = "filterd-disk-"
_TOOLS = ("mkfs.ext4", "mount", "umount", "losetup")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PATIENCE_SECONDS = 30.0


class NoDisk(Exception):
    """This machine cannot mount an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One image and the folder where it is mounted, if it is."""

    image: Path
    folder: Path

    def attach(self) -> None:
        """Mount it, which replays its journal."""
        _run("mount", "-t", "ext4", "-o", "loop,noatime", str(self.image), str(self.folder))

    def cut(self) -> None:
        """Cut the power: what is not on the disk now never will be."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("=I", _WITHOUT_LOG))
        finally:
            os.close(descriptor)

    def detach(self) -> None:
        """Unmount it, once nobody has a file open there; the loop device goes with the mount."""
        # Whoever else has the mount keeps what was not written yet from being written by the unmount. After a cut
        # nothing can be.
        with suppress(NoDisk):
            _run("sync", "--file-system", str(self.folder))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                _run("umount", str(self.folder))
            except NoDisk:
                # A process that was killed a moment ago may not have closed its files yet.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                break
        if _run("losetup", "--associated", str(self.image)):
            # A mount namespace made meanwhile, by a test beside this one say, has a copy of the mount and keeps the
            # file system it was, without power. What is on the disk goes on as another one.
            copy = self.image.with_suffix(".copy")
            _run("cp", "--sparse=always", str(self.image), str(copy))
            copy.replace(self.image)


@contextmanager
def disk() -> Iterator[Disk]:
    """An empty disk, attached; all of it is gone afterwards. Raises NoDisk."""
    clear_away()
    root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    # A database's own user must be able to pass; nobody else can list it.
    root.chmod(0o711)
    made = Disk(image=root / "image", folder=root / "mount")
    try:
        made.folder.mkdir()
        with made.image.open("wb") as file:
            file.truncate(_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(made.image))
        made.attach()
        yield made
    finally:
        _remove(root)


def clear_away() -> None:
    """Unmount and remove the disks of processes that were killed before they could."""
    for root in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = root.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            # Another process may be clearing it away, too.
            with suppress(NoDisk, FileNotFoundError):
                _remove(root)


def why_not() -> str:
    """Why there can be no disk here; empty where there can."""
    if os.geteuid():
        return "only root may mount"
    if missing := [tool for tool in _TOOLS if shutil.which(tool, path=_PATH) is None]:
        return f"no {', '.join(missing)}"
    try:
        with disk():
            return ""
    except NoDisk as exc:
        return str(exc)


def _remove(root: Path) -> None:
    folder = root / "mount"
    # Emptied first: a database that outlived its test ends by itself once its files have gone.
    shutil.rmtree(folder, ignore_errors=True)
    while folder.is_mount():
        # Lazily: whoever still has a file open there keeps it until it closes it, and nobody else sees the mount.
        _run("umount", "--lazy", str(folder))
    shutil.rmtree(root)


def _run(*command: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, "PATH": _PATH}, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise NoDisk(done.stderr.strip() or f"{command[0]}: {done.returncode}")
    return done.stdout
