"""What is stored of a secret that somebody else keeps: enough to know it again, and nothing to use it by.

The secrets have 256 random bits, so that a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib


def digest(secret: str) -> str:
    """The SHA-256 of the secret: 64 hex digits."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
