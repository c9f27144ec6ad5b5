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
from trainer.tracks.jig import run

CORRECTION = OnlineConfig(largest_step=2.0)
"""A report moves a bundle's logit by two at most: it corrects, it does not take over."""
_LEAST, _LEAST_FAST = 40, 5
_AFTER = 200


def corrected(context: Context) -> tuple[Table, dict[str, Any]]:
    """Per corpus 1-ROCA and sm at hm 1 %, all and after 200 reports. Raises CorpusError and BundleError."""
    held = held_part(context)
    examples = sorted(
        held.examples(Split.TEST), key=lambda each: (each.corpus, each.date.timestamp() if each.date else 0.0)
    )
    reader = Reader(context.channel, context.bundle)
    least = _LEAST_FAST if context.is_fast else _LEAST
    rows, figures = [], {}
    for corpus in sorted({each.corpus for each in examples}):
        stream = [each for each in examples if each.corpus == corpus]
        if min(sum(each.label is label for each in stream) for label in Label) < least:
            continue
        context.say(f"online: bundle on {corpus}")
        if len({each.date for each in stream}) == 1:  # no dates: any order but that of the labels
            stream = [stream[i] for i in np.random.default_rng(context.seeds[0]).permutation(len(stream))]
        found = {}
        systems = (("frozen", None), ("corrected", Corrected(reader, CORRECTION)), ("from empty", Online(reader)))
        for name, system in systems:
            always = feedback.immediate(stream, 0)
            nobody = feedback.delayed(0)(stream, 0)
            result = run(system or Corrected(reader), poison.clean(stream, 0), nobody if system is None else always)
            late = slice(_AFTER, None)
            ham, spam = (result.scores[late][result.labels[late] == is_spam] for is_spam in (False, True))
            found[name] = {
                "roca": result.roca(),
                "roca_after": one_minus_roca(ham, spam),
                "sm_at_hm_1": sm_at_hm(result.ham(), result.spam(), 0.01),
            }
        figures[corpus] = {"messages": len(stream), **found}
        rows.append((corpus, str(len(stream)), *(_cell(each) for each in found.values())))
    table = Table(
        title=(
            "The bundle on its test part, frozen, corrected by every report, and the learner alone: 1-ROCA % of all, "
            f"of what came after {_AFTER} reports, and sm % at hm 1 %."
        ),
        columns=("corpus", "messages", "frozen", "corrected", "from empty"),
        rows=tuple(rows),
    )
    return table, figures


def _cell(found: dict[str, float]) -> str:
    after = "-" if np.isnan(found["roca_after"]) else f"{found['roca_after']:.2f}"
    return f"{found['roca']:.2f}, {after}, {found['sm_at_hm_1']:.1f}"
