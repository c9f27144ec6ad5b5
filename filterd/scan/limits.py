"""What the kernel lets a scanner process have (getrlimit(2))."""

from __future__ import annotations

import resource
from pathlib import Path

_OPEN_FILES = 32
"""Enough for codecs that Python imports when a charset first turns up."""


def confine(memory_bytes: int) -> None:
    """Limit this process for good: address space relative to now, no core file, few files, none written."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_AS, _address_space_bytes() + memory_bytes)


def allow_cpu(seconds: float) -> None:
    """Let this process use so much more processor time; the kernel ends it after that, whoever else is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or most <= hard:
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def _lower(what: int, limit: int) -> None:
    hard = resource.getrlimit(what)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(what, (limit, limit))


def _address_space_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()
