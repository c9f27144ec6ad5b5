"""Runs a command under the kernel's filters that a unit file asks systemd for: system calls, address families, W^X.

As a program: ``python -m tests.servers.sandbox UNIT CALLS COMMAND...``, where ``CALLS`` are the system calls that the
unit allows, with commas (``allowed``). What the unit refuses fails with EPERM, as ``SystemCallErrorNumber`` says.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_UNPACKED = (Path(__file__).parents[2] / ".servers/tree/usr/lib").glob("*-linux-gnu/libseccomp.so.2")
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
"""seccomp(2), as libseccomp's ``seccomp.h`` spells them."""
_EQUAL = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_MDWE = 65
"""prctl(2): no memory that is writable becomes executable, since Linux 6.3."""


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def settings(unit: Path, name: str) -> list[str]:
    """The words of a setting, of all its lines."""
    return [
        word for line in re.findall(rf"(?m)^{name}=(.*)$", unit.read_text(encoding="utf-8")) for word in line.split()
    ]


def allowed(unit: Path, members: Callable[[str], Iterable[str]]) -> set[str]:
    """The system calls of ``SystemCallFilter``, in the order of its lines; ``members`` are those of an ``@group``."""
    found: set[str] = set()
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)$", unit.read_text(encoding="utf-8")):
        names = {name for word in line.removeprefix("~").split() for name in _expanded(word, members)}
        found = found - names if line.startswith("~") else found | names
    return found | set(_expanded("@default", members))


def _expanded(word: str, members: Callable[[str], Iterable[str]]) -> Iterable[str]:
    if not word.startswith("@"):
        return [word]
    return [name for member in members(word) for name in _expanded(member, members)]


def _main(unit: Path, calls: str, *command: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp = ctypes.CDLL(next((str(path) for path in _UNPACKED), "libseccomp.so.2"))
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_REFUSE)))
    for call in set(calls.split(",")) - {"socket"}:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        # Those of another machine or kernel are negative.
        if number >= 0:
            seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(_ALLOW), number, 0, None)
    number = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in settings(unit, "RestrictAddressFamilies"):
        only = _Comparison(0, _EQUAL, int(getattr(socket, family)), 0)
        seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(_ALLOW), number, 1, ctypes.byref(only))
    zero = ctypes.c_ulong(0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero)
    if settings(unit, "MemoryDenyWriteExecute") == ["yes"]:
        libc.prctl(_PR_SET_MDWE, ctypes.c_ulong(1), zero, zero, zero)
    if seccomp.seccomp_load(context):
        raise OSError("the filter cannot be loaded")
    os.execv(command[0], command)  # what the caller names


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *sys.argv[2:])
