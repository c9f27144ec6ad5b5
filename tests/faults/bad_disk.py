"""A disk that fails: system calls of a process answered with EIO, by a filter of the kernel (seccomp(2)).

SQLite really writes and flushes; what it is told is decided by an order in a file, as with failpoints::

    write once      the next pwrite64 fails, those after it succeed
    flush once      the same of fsync and fdatasync: the kernel, too, reports such an error once and forgets it
    write, flush    every one fails, until the order is taken away

The filter hands each such call to another process, which answers it or lets it pass (SECCOMP_RET_USER_NOTIF, Linux
5.5). A thread of the same process would not do: the call may be made with the interpreter's lock held.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import threading
from pathlib import Path

ORDER = "disk"
"""Name of the order's file, beside the failpoints."""
_CALLS = {
    # From the kernel's tables of system calls: pwrite64, fsync, fdatasync.
    "x86_64": (0xC000003E, {"write": (18,), "flush": (74, 75)}),
    "aarch64": (0xC00000B7, {"write": (68,), "flush": (82, 83)}),
}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NR, _ARCH = 0, 4
"""Offsets in struct seccomp_data."""
_NOTIFICATION_BYTES = 80
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1


def is_possible() -> bool:
    """Whether this machine has such filters."""
    release = tuple(int(part) for part in platform.release().split(".")[:2] if part.isdigit())
    return platform.system() == "Linux" and platform.machine() in _CALLS and release >= (5, 5)


def submit(to: socket.socket) -> None:
    """From now on this process, and every thread it starts, meets what the other end of ``to`` decides."""
    architecture, calls = _CALLS[platform.machine()]
    listener = _install(_program(architecture, tuple(number for numbers in calls.values() for number in numbers)))
    socket.send_fds(to, [b"!"], [listener])
    os.close(listener)


def decide(about: socket.socket, folder: Path) -> None:
    """Let the process at the other end of ``about`` meet what the order in ``folder`` says, until it ends."""
    _, (listener,), _, _ = socket.recv_fds(about, 1, 1)
    kinds = {number: kind for kind, numbers in _CALLS[platform.machine()][1].items() for number in numbers}
    threading.Thread(target=_answer, args=(listener, kinds, folder / ORDER), daemon=True, name="disk").start()


def _program(architecture: int, numbers: tuple[int, ...]) -> bytes:
    """Notify for these system calls, allow all others."""
    steps = [(_LOAD, 0, 0, _ARCH), (_JUMP_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _NR)]
    steps += [(_JUMP_IF_EQUAL, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _NOTIFY)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _install(program: bytes) -> int:
    """The descriptor on which the kernel tells of calls."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program)
    filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    number = _SECCOMP[platform.machine()]
    listener: int = libc.syscall(number, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.create_string_buffer(filter_))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def _answer(listener: int, kinds: dict[int, str], order: Path) -> None:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while not poll.poll()[0][1] & select.POLLHUP:
        told = bytearray(_NOTIFICATION_BYTES)
        try:
            fcntl.ioctl(listener, _RECEIVE, told)
        except OSError:
            continue  # whoever asked has gone
        (id,) = struct.unpack_from("Q", told)
        (number,) = struct.unpack_from("i", told, 16)
        fails = _is_to_fail(kinds[number], order)
        answer = struct.pack("QqiI", id, 0, -errno.EIO if fails else 0, 0 if fails else _CONTINUE)
        try:
            fcntl.ioctl(listener, _SEND, bytearray(answer))
        except OSError:
            continue
    os.close(listener)


def _is_to_fail(kind: str, order: Path) -> bool:
    try:
        wanted, _, often = order.read_text(encoding="ascii").strip().partition(" ")
    except FileNotFoundError:
        return False
    if wanted != kind:
        return False
    if often == "once":
        order.unlink()
    return True
