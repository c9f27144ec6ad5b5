"""What a site's reports make of a bundle: its test part as a stream, the bundle alone and with the learner on top.

The test part is what training never saw, per corpus in order of date; every message is reported after it was judged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from filterd.core.online import OnlineConfig
from trainer.example import Label
from trainer.measurement import Table
from trainer.metrics import one_minus_roca, sm_at_hm
from trainer.prepare import Split
from trainer.systems.online import Corrected, Online, Reader
from trainer.tracks import feedback, poison
from trainer.tracks.context import Context
from trainer.tracks.held_part import held_part
from trainer.tracks.jig import Run, run
from trainer.tracks.streams import in_order

CORRECTION = OnlineConfig(largest_step=2.0)
"""A report moves a bundle's logit by two at most: it corrects, it does not take over."""
_LEAST, _LEAST_FAST = 40, 5
_AFTER = 200


def corrected(context: Context) -> tuple[Table, dict[str, Any]]:
    """Per corpus 1-ROCA and sm at hm 1 %, all and after 200 reports. Raises CorpusError and BundleError."""
    held = held_part(context)
    examples = in_order(held.examples(Split.TEST))
    reader = Reader(context.channel, context.folder())
    least = _LEAST_FAST if context.is_fast else _LEAST
    rows, figures = [], {}
    for corpus in sorted({each.corpus for each in examples}):
        stream = [each for each in examples if each.corpus == corpus]
        if min(sum(each.label is label for each in stream) for label in Label) < least:
            continue
        context.say(f"online: bundle on {corpus}")
        always, seed = feedback.immediate(stream, 0), context.seeds[0]
        runs = {
            "frozen": run(Corrected(reader), poison.clean(stream, 0), feedback.delayed(0)(stream, 0)),
            "corrected": run(Corrected(reader, CORRECTION), poison.clean(stream, 0), always),
            "corrected, 10 % noise": run(
                Corrected(reader, CORRECTION), poison.clean(stream, 0), feedback.noisy(0.1)(stream, seed)
            ),
            "from empty": run(Online(reader), poison.clean(stream, 0), always),
        }
        found = {name: _figures(each) for name, each in runs.items()}
        figures[corpus] = {"messages": len(stream), **found}
        rows.append((corpus, str(len(stream)), *(_cell(each) for each in found.values())))
    table = Table(
        title=(
            "The bundle on its test part, frozen, corrected by every report, and the learner alone: 1-ROCA % of all, "
            f"of what came after {_AFTER} reports, and sm % at hm 1 %."
        ),
        columns=("corpus", "messages", "frozen", "corrected", "corrected, 10 % noise", "from empty"),
        rows=tuple(rows),
    )
    return table, figures


def _figures(found: Run) -> dict[str, float]:
    late = slice(_AFTER, None)
    ham, spam = (found.scores[late][found.labels[late] == is_spam] for is_spam in (False, True))
    return {
        "roca": found.roca(),
        "roca_after": one_minus_roca(ham, spam),
        "sm_at_hm_1": sm_at_hm(found.ham(), found.spam(), 0.01),
    }


def _cell(found: dict[str, float]) -> str:
    after = "-" if np.isnan(found["roca_after"]) else f"{found['roca_after']:.2f}"
    return f"{found['roca']:.2f}, {after}, {found['sm_at_hm_1']:.1f}"
