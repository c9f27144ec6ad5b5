"""Networks whose clients are trusted with something."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


class Networks:
    """A set of networks clients are looked up in."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)
        self._known: dict[str, bool] = {}

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, str) or not address:
            return False
        known = self._known.get(address)
        if known is None:
            known = self._contains(address)
            if len(self._known) >= 1024:
                self._known.clear()
            self._known[address] = known
        return known

    def _contains(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address.version == n.version and address in n for n in self._networks)
