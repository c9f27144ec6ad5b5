"""A bundle on the test part of messages that ``trainer prepare`` divided: the table of ``held_out``, at any size.

Not among the tracks of the evaluation page: whose messages they are, and whether the bundle was trained on some of
them, only who prepared them knows.
"""

from __future__ import annotations

from pathlib import Path

from filterd.core.envelope import Channel
from trainer.at_scale import scored
from trainer.engines import Engine
from trainer.errors import TrainerError
from trainer.measurement import Measurement
from trainer.prepare import Split
from trainer.tracks.held_out import table_of


def measure(engine: Engine, location: str, bundle: Path, channel: Channel) -> Measurement:
    """Counts at every operating point, and 1-ROCA. Raises BundleError, CorpusError, StoreError, TrainerError."""
    spec, rows = scored(engine, location, bundle, Split.TEST)
    if spec.channel is not channel:
        raise TrainerError(f"bundle {spec.id} is of channel {spec.channel}, not {channel}")
    return Measurement(
        id=f"prepared-{channel}",
        title=f"Prepared messages, {channel}",
        command=f"trainer evaluate --channel {channel} --bundle {bundle.name} --prepared {Path(location).name}",
        text=(f"Bundle `{spec.id}` on the test part of what `trainer prepare` wrote.",),
        tables=(table_of(rows),),
        figures={"bundle": spec.id, "rows": rows},
    )
