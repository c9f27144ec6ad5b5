"""What labels do before the next model: the test part as a stream, with the memory and the online weights.

Everything is the daemon's own: scanner, memory, weights, scopes and caps. ``malice`` has the people who lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import environ
from typing import Any

from trainer.errors import ToolMissing
from trainer.example import Example, Label
from trainer.measurement import Measurement, Table
from trainer.metrics import sm_at_hm
from trainer.prepare import Split
from trainer.systems.bogofilter import Bogofilter
from trainer.systems.reported import Late, Parts, Site, SiteReader
from trainer.systems.system import System
from trainer.tracks import feedback, malice, poison
from trainer.tracks.context import Context
from trainer.tracks.feedback import Reporter
from trainer.tracks.held_part import held_part
from trainer.tracks.jig import Run, run
from trainer.tracks.streams import in_order

_LEAST, _LEAST_FAST = 40, 5
_NOISE = 0.1
_BOTH = Parts(has_memory=True, has_weights=True)
_TEXT = (
    (
        "The bundle judges its test part, which no training read, per corpus in order of date. Every message is "
        "reported after it was judged, except under `mistakes`, where people report only what was judged wrongly at "
        "`normal`. "
        "`late` reports come that many messages later, with `noise` every tenth is wrong, by the first seed. "
        "bogofilter starts empty and is told the same. Cells are 1-ROCA % and sm % at hm 1 %."
    ),
    *malice.TEXT,
)


def measure(context: Context) -> Measurement:
    """Both parts. Raises CorpusError, BundleError and TrainerError."""
    reader = SiteReader(context.channel, context.folder())
    examples = in_order(held_part(context).examples(Split.TEST))
    table, figures = _streams(context, reader, examples)
    lies, harm = malice.measured(context, reader, examples)
    return Measurement(
        id=f"reports-{context.channel}",
        title=f"Reports, {context.channel}",
        command=context.command("reports"),
        seeds=context.seeds[:1] if context.is_fast else context.seeds,
        text=(*_TEXT, *held_part(context).caveat()),
        tables=(table, lies),
        figures={**figures, "malice": harm},
    )


def _streams(context: Context, reader: SiteReader, examples: Sequence[Example]) -> tuple[Table, dict[str, Any]]:
    least = _LEAST_FAST if context.is_fast else _LEAST
    rows, figures = [], {}
    names: tuple[str, ...] = ()
    for corpus in sorted({each.corpus for each in examples}):
        stream = [each for each in examples if each.corpus == corpus]
        if min(sum(each.label is label for each in stream) for label in Label) < least:
            continue
        context.say(f"reports: {corpus}")
        found = {name: _figures(each) for name, each in _runs(context, reader, stream).items()}
        names = tuple(found)
        figures[corpus] = {"messages": len(stream), **found}
        rows.append((corpus, str(len(stream)), *(f"{f['roca']:.2f}, {f['sm_at_hm_1']:.1f}" for f in found.values())))
    return Table(columns=("corpus", "messages", *names), rows=tuple(rows)), figures


def _runs(context: Context, reader: SiteReader, stream: Sequence[Example]) -> dict[str, Run]:
    always, seed = feedback.immediate(stream, 0), context.seeds[0]

    def site(parts: Parts) -> Site:
        return Site(reader, parts)

    def played(system: System, people: Reporter = always) -> Run:
        with system:
            return run(system, poison.clean(stream, 0), people)

    runs = {
        "frozen": played(site(Parts(has_memory=False, has_weights=False))),
        "memory": played(site(Parts(has_memory=True, has_weights=False))),
        "weights": played(site(Parts(has_memory=False, has_weights=True))),
        "both": played(site(_BOTH)),
        "both, 100 late": played(Late(site(_BOTH), 100)),
        "both, 1,000 late": played(Late(site(_BOTH), 1_000)),
        "both, 10 % noise": played(site(_BOTH), feedback.noisy(_NOISE)(stream, seed)),
        "both, mistakes": played(site(_BOTH), _mistakes),
    }
    try:
        runs["bogofilter"] = played(Bogofilter(environ))
    except ToolMissing:
        context.say("reports: bogofilter is not installed")
    return runs


def _mistakes(example: Example, distance: float) -> Label | None:
    is_held = distance >= 0
    return example.label if is_held is (example.label is Label.HAM) else None


def _figures(found: Run) -> dict[str, float]:
    return {"roca": found.roca(), "sm_at_hm_1": sm_at_hm(found.ham(), found.spam(), 0.01), "reports": found.reported}
