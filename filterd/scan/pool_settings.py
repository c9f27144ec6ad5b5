"""How many scanners there are, what each is told, and how far one may go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from filterd.core.limits import ParseLimits
from filterd.scan.process import WORKER_MODULE
from filterd.settings import ScanSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How many scanners there are and how far one may go."""

    limits: ParseLimits = field(default_factory=ParseLimits)
    scanners: int = 1
    queue_per_scanner: int = 16
    timeout_seconds: float = 8.0
    memory_bytes: int = 1_073_741_824
    start_timeout_seconds: float = 30.0
    module: str = WORKER_MODULE
    keeps_inputs: bool = False
    is_explaining: bool = True
    trusted_authserv_ids: tuple[str, ...] = ()
    max_signatures: int = 0

    @classmethod
    def of(
        cls,
        settings: ScanSettings,
        *,
        trusted_authserv_ids: Iterable[str] = (),
        max_signatures: int = 0,
        keeps_inputs: bool = False,
        is_explaining: bool = True,
    ) -> PoolSettings:
        """What the configuration says."""
        return cls(
            limits=limits_of(settings),
            scanners=settings.scanners_per_worker,
            queue_per_scanner=settings.queue_per_scanner,
            timeout_seconds=settings.timeout_seconds,
            memory_bytes=settings.memory_bytes,
            keeps_inputs=keeps_inputs,
            is_explaining=is_explaining,
            trusted_authserv_ids=tuple(name.lower() for name in trusted_authserv_ids),
            max_signatures=max_signatures,
        )


def limits_of(settings: ScanSettings) -> ParseLimits:
    """How much of a message is read, by the configuration."""
    return ParseLimits(
        max_parts=settings.max_parts,
        max_depth=settings.max_depth,
        max_header_bytes=settings.max_header_bytes,
        max_decoded_bytes=settings.max_decoded_bytes,
        max_html_bytes=settings.max_html_bytes,
        max_text_chars=settings.max_text_chars,
    )
