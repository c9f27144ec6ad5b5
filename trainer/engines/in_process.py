"""Works on one part after the other, here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from trainer.engines import Work
from trainer.parquet import Part


class InProcess:
    """Implements ``engines.Engine``."""

    def each(self, make: Callable[[], Work], parts: Sequence[Part]) -> Iterator[pa.Table]:
        """See ``engines.Engine``."""
        work = make()
        for part in parts:
            yield work(part)
