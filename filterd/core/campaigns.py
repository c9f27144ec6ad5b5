"""Messages put into groups of near copies."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from filterd.core.envelope import Channel
from filterd.core.near import EXACT
from filterd.core.near_table import Printed, Table

T = TypeVar("T", bound=Printed)


def campaigns(items: Iterable[T]) -> list[list[T]]:
    """Each item beside those on near copies of the first of its group, in the order given.

    What has no fingerprint is in no group. One look-up each: not for the event loop.
    """
    groups: dict[tuple[Channel, Hashable], list[T]] = {}
    leaders: dict[Channel, Table[T]] = {channel: Table() for channel in Channel}
    for item in items:
        if not item.fingerprint:
            continue
        if item.fingerprint.startswith(EXACT):
            groups.setdefault((item.channel, item.fingerprint), []).append(item)
            continue
        table = leaders[item.channel]
        near = table.find(item.fingerprint) if len(table) else []
        if near:
            groups[item.channel, near[0].id].append(item)
        else:
            table.add(item)
            groups[item.channel, item.id] = [item]
    return list(groups.values())
