"""The registrable domain of a host name, from a public-suffix list that ships with the library; never asks a network.

Source: https://publicsuffix.org/list/ as bundled with tldextract.
"""

from __future__ import annotations

import tldextract

_CAPACITY = 20_000


class Domains:
    """Looks up registrable domains; remembers at most 20,000 hosts."""

    def __init__(self) -> None:
        self._extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
        self._known: dict[str, tuple[str, str]] = {}

    def registrable(self, host: str) -> tuple[str, str]:
        """(registrable domain, public suffix) in lower case; empty where the host has none."""
        host = host[:255].lower()
        found = self._known.get(host)
        if found is None:
            parts = self._extract.extract_str(host)
            found = (f"{parts.domain}.{parts.suffix}", parts.suffix) if parts.suffix and parts.domain else ("", "")
            if len(self._known) >= _CAPACITY:
                self._known.clear()
            self._known[host] = found
        return found
