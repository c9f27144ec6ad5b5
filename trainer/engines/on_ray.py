"""Works on Ray Data: so many actors, each with the bundles open, take parts as they get done with others.

Each actor reads its parts itself, from a folder that every machine sees or from S3; nothing but results goes through
the driver. Without RAY_ADDRESS a Ray of its own is started on this machine and stopped again. Source: Ray 2.60,
``ActorPoolStrategy``, ``ExecutionOptions.preserve_order``. It knows nothing of GPUs, and does not scale a cluster up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from trainer.engines import Work
from trainer.errors import ToolMissing
from trainer.parquet import Part

# Before its import: it would report to its makers, and ask for a token between processes of one machine.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
# A busy machine takes its time.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")

try:
    import ray
    import ray.data
except ModuleNotFoundError as exc:
    raise ToolMissing(f"{exc.name} is not installed; install filterd[ray] to work on several machines") from exc

_OBJECT_STORE_BYTES = 256 * 1024 * 1024
"""Results wait here on their way to the driver."""
_PART_CPUS = 1
_SPARE_CPUS = 1
"""What Ray Data's own tasks need beside the actors: with none they wait for each other for ever."""


class RayEngine:
    """Implements ``engines.Engine``."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def each(self, make: Callable[[], Work], parts: Sequence[Part]) -> Iterator[pa.Table]:
        """See ``engines.Engine``."""
        if not parts:
            return
        with connected(self._workers):
            rows = [asdict(part) for part in parts]
            made = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _Actor,
                fn_constructor_args=(make,),
                compute=ray.data.ActorPoolStrategy(size=min(self._workers, len(parts))),
                num_cpus=_PART_CPUS,
                batch_size=None,
                batch_format="pyarrow",
            )
            yield from made.iter_batches(batch_size=None, batch_format="pyarrow")


class _Actor:
    """One process of the pool."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self._work = make()

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.concat_tables([self._work(Part(**row)) for row in batch.to_pylist()])


@contextmanager
def connected(workers: int) -> Iterator[None]:
    """A connection to the Ray that RAY_ADDRESS names, else to one of our own; one that is there already is kept."""
    if ray.is_initialized():
        _be_quiet()
        yield
        return
    own: dict[str, Any] = {}
    if not os.environ.get("RAY_ADDRESS"):
        own = {
            "num_cpus": workers + _SPARE_CPUS,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    ray.init(log_to_driver=False, logging_level="ERROR", **own)
    try:
        _be_quiet()
        yield
    finally:
        ray.shutdown()


def _be_quiet() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
