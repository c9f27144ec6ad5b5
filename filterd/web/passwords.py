"""Passwords as argon2id (RFC 9106), checked beside the event loop, a few at a time.

One check takes 64 MiB and some 50 ms: more of them at once would be a way to take the machine down.
"""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from filterd.errors import UsageError

MIN_CHARS = 10
"""NIST SP 800-63B section 5.1.1.2 wants 8; a quarantine is worth two more."""
MAX_CHARS = 1_024
_AT_ONCE = 2


def check_length(password: str) -> None:
    """Raises UsageError for a password that is too short or too long."""
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise UsageError(f"a password has {MIN_CHARS} to {MAX_CHARS} characters")


class Passwords:
    """Makes and checks password hashes."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """The default of the library is the second recommendation of RFC 9106 section 4: 64 MiB, 3 passes, 4 lanes."""
        self._hasher = hasher or PasswordHasher()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """The hash to store, in PHC form."""
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, password: str, stored: str) -> bool:
        """Whether ``password`` is the one of ``stored``. It takes as long where nothing is stored: then it never is."""
        async with self._room:
            if not self._nobody:
                self._nobody = await asyncio.to_thread(self._hasher.hash, "nobody")
            is_right = await asyncio.to_thread(self._verify, stored or self._nobody, password[:MAX_CHARS])
        return is_right and bool(stored)

    def is_outdated(self, stored: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
