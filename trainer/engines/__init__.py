"""Where the trainer's batch work runs: in this process, or on Ray's workers on one machine or many.

An engine decides where a part of the messages is worked on, and nothing else: what is done with it is the same
function, parts come back in their order, and so the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from trainer.engine_names import EngineName
from trainer.parquet import Part

if TYPE_CHECKING:
    import pyarrow as pa

Work = Callable[[Part], "pa.Table"]
"""Reads one part and returns a table of what it found."""


class Engine(Protocol):
    """Works on parts."""

    def each(self, make: Callable[[], Work], parts: Sequence[Part]) -> Iterator[pa.Table]:
        """What the work returns for each part, in their order; a large result may come as several tables.

        ``make`` is called once in each process: it opens what is needed for all parts. It must survive pickling.
        """
        ...


def find(name: EngineName, workers: int) -> Engine:
    """The engine of that name. Raises ToolMissing where Ray is not installed."""
    if name is EngineName.RAY:
        from trainer.engines.on_ray import RayEngine  # noqa: PLC0415  (an optional extra)

        return RayEngine(workers)
    from trainer.engines.in_process import InProcess  # noqa: PLC0415  (the same)

    return InProcess()
