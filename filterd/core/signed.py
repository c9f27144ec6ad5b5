"""One DKIM signature on its way to its key, and what it can come to (RFC 6376, RFC 8601 section 2.7.1)."""

from __future__ import annotations

from dataclasses import dataclass

RESULTS = ("pass", "fail", "policy", "permerror", "temperror", "neutral")
"""As RFC 8601 names them; ``policy`` is a signature that is right and not good enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One signature, as the message has it."""

    domain: str
    """Who signed (``d=``), lower case."""
    selector: str = ""
    identity: str = ""
    """The domain of ``i=``, lower case: ``domain`` or one below it."""
    algorithm: str = ""
    """``rsa`` or ``ed25519``."""
    digest: bytes = b""
    """SHA-256 of the signed header fields, which have the hash of the body in them."""
    value: bytes = b""
    """The signature of that digest."""
    expires: int = 0
    """Seconds since 1970; 0: never."""
    is_aligned: bool = False
    """Whether the signer's registrable domain is the author's."""
    result: str = ""
    """One of ``RESULTS`` where no key is needed to know it; empty else."""
