"""Track C: a stream judged and reported message by message, under every kind of feedback.

The learner is the daemon's ``filterd.core.online`` with one set of values for all streams. It starts from empty, so
that the figures are those of a site's own reports; ``online_bundle`` measures it as the correction of a bundle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from filterd.core.envelope import Channel
from trainer.collector import stripped
from trainer.example import Example
from trainer.measurement import Measurement, Table
from trainer.metrics import hm, weighted_threshold
from trainer.systems.online import Online, OnlineRaw, Reader
from trainer.tracks import feedback, poison
from trainer.tracks.context import Context
from trainer.tracks.jig import Run, run
from trainer.tracks.online_bundle import corrected
from trainer.tracks.poison import Item
from trainer.tracks.streams import Stream, streams

_FAST = 300
_TARGETS = 20
_BUDGET = 0.005
_MARKS = (100, 500, 1_000, 5_000)
_TEXT = (
    (
        "Every message is judged, then its report is learned; the figures count the whole stream, the first message "
        "too. `online` reads what the daemon's extractor reads, no header of a trace, list or filter; `raw octets` "
        "and the reference, a logistic regression on 4-grams of octets, read the first 3,000 octets as they came, or "
        "`stripped` of what the corpus's collector wrote on top. The learner's values are the same for every stream; "
        "they were chosen on spamassassin alone."
    ),
    (
        "`delayed` reports the first quarter, `partial` one recipient, `active` 1 % of the stream where it doubts "
        "most, `one-sided` 30 % of what lies in the inbox and nothing else; `newsletters` calls 30 % of the ham spam "
        "that speaks of subscribing. Noise and attacks are means of the seeds, with the worst in brackets. `x clean` "
        "is 1-ROCA over that of immediate, true feedback."
    ),
    (
        "Attack mails are reported as spam and not counted. The attacker knows the words of the victim's ham, past "
        "and future. Ham loss is counted at the threshold that loses .5 % without the attack."
    ),
)

Attack = Callable[[Sequence[Example], int], list[Item]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One way in which a stream is reported or attacked."""

    name: str
    mode: feedback.Mode = feedback.immediate
    attack: Attack = poison.clean
    is_random: bool = True
    is_of_mail: bool = False
    """Of no meaning for the SMS corpora, which tell no recipient and hold no newsletter."""


_MODES = (
    Trial(name="delayed", mode=feedback.delayed(0.25), is_random=False),
    Trial(name="partial", mode=feedback.partial, is_random=False, is_of_mail=True),
    Trial(name="active 1 %", mode=feedback.active(0.01), is_random=False),
    Trial(name="one-sided", mode=feedback.one_sided(0.3)),
    Trial(name="noise 5 %", mode=feedback.noisy(0.05)),
    Trial(name="noise 10 %", mode=feedback.noisy(0.10)),
    Trial(name="noise 20 %", mode=feedback.noisy(0.20)),
    Trial(name="newsletters 30 %", mode=feedback.newsletters(0.30), is_of_mail=True),
)
_ATTACKS = (
    Trial(name="dictionary 1 %", attack=partial(poison.dictionary, 0.01)),
    Trial(name="dictionary 5 %", attack=partial(poison.dictionary, 0.05)),
    Trial(name="focused", attack=partial(poison.focused, _TARGETS)),
)


def measure(context: Context) -> Measurement:
    """The jig over every stream of the channel. Raises CorpusError."""
    found = [_stream(context, each) for each in streams(context.channel, context.data, most=_most(context))]
    figures: dict[str, Any] = {each.stream.name: each.figures() for each in found}
    tables = [table for each in found for table in each.tables()]
    if context.bundle is not None:
        table, figures["bundle"] = corrected(context)
        tables.append(table)
    if context.plots is not None:
        figures["plots"] = [_plot(each.stream) for each in found]
    first = found[0]
    if first.stream.name == "spamassassin":
        figures["targets"] = first.targets()
    return Measurement(
        id=f"online-{context.channel}",
        title=f"Online, {context.channel}",
        command=context.command("online"),
        seeds=_seeds(context),
        text=_TEXT,
        tables=tuple(tables),
        figures=_finite(figures),
    )


def _plot(stream: Stream) -> str:
    return f"online-{stream.name}.png"


def _most(context: Context) -> int | None:
    return _FAST if context.is_fast else None


def _seeds(context: Context) -> tuple[int, ...]:
    return context.seeds[:1] if context.is_fast else context.seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All runs over one stream."""

    stream: Stream
    clean: Run
    systems: tuple[tuple[str, Run], ...]
    """Immediate, true feedback: the learner and what it is compared with."""
    modes: tuple[tuple[str, tuple[Run, ...]], ...]
    attacks: tuple[tuple[str, tuple[Run, ...]], ...]

    @property
    def threshold(self) -> float:
        """Where the learner loses .5 % of the ham without an attack."""
        ham = self.clean.ham()
        return weighted_threshold(ham, np.ones(len(ham)), _BUDGET)

    def tables(self) -> tuple[Table, ...]:
        """For the page."""
        return (self._systems(), self._modes(), self._attacks())

    def _systems(self) -> Table:
        marks = [mark for mark in _MARKS if mark < len(self.clean.scores)]
        examples = self.stream.examples
        return Table(
            title=f"{self.stream.name}: {len(examples)} messages, {self.stream.order}; immediate feedback.",
            columns=(
                "system",
                *(f"1-ROCA % at {mark}" for mark in marks),
                "at the end",
                *(f"sm % at hm {at} %" for at in (".1", ".5", "1")),
                "hm, sm, lam % at its cut",
                "reports until sm at hm .5 % <= 5 %",
            ),
            rows=tuple(
                (
                    name,
                    *(_number(each.roca(mark)) for mark in marks),
                    _number(each.roca()),
                    *(f"{each.figures()[f'sm_at_hm_{at}']:.1f}" for at in ("01", "05", "1")),
                    ", ".join(f"{each.figures()[key]:.2f}" for key in ("hm", "sm", "lam")),
                    str(each.efficiency() or "-"),
                )
                for name, each in self.systems
            ),
        )

    def _modes(self) -> Table:
        return Table(
            title=f"{self.stream.name}: kinds of feedback, system `online`.",
            columns=("feedback", "reports", "1-ROCA %", "x clean", "sm % at hm .5 %", "hm % at its cut"),
            rows=tuple(
                (
                    name,
                    f"{np.mean([each.reported for each in runs]):.0f}",
                    _mean_worst([each.roca() for each in runs]),
                    f"{np.mean([each.roca() for each in runs]) / self.clean.roca():.2f}",
                    f"{np.mean([each.figures()['sm_at_hm_05'] for each in runs]):.1f}",
                    f"{np.mean([each.figures()['hm'] for each in runs]):.2f}",
                )
                for name, runs in (("immediate", (self.clean,)), *self.modes)
            ),
        )

    def _attacks(self) -> Table:
        return Table(
            title=f"{self.stream.name}: attacks, system `online`.",
            columns=("attack", "ham loss added, points", "1-ROCA %", "targets held %"),
            rows=tuple(
                (
                    name,
                    _mean_worst([self._added(each) for each in runs]),
                    _mean_worst([each.roca() for each in runs]),
                    _number(_held(runs, self.threshold), 1),
                )
                for name, runs in self.attacks
            ),
        )

    def _added(self, attacked: Run) -> float:
        """Ham loss that an attack adds, points of a per cent."""
        return hm(attacked.ham(), self.threshold) - hm(self.clean.ham(), self.threshold)

    def figures(self) -> dict[str, Any]:
        """Everything unrounded."""
        return {
            "systems": {
                name: {**each.figures(), "at": {str(m): each.roca(m) for m in _MARKS if m < len(each.scores)}}
                for name, each in self.systems
            },
            "modes": {name: [each.figures() for each in runs] for name, runs in self.modes},
            "attacks": {
                name: [{**each.figures(), "ham_loss_added": self._added(each)} for each in runs]
                for name, runs in self.attacks
            },
        }

    def targets(self) -> dict[str, str]:
        """Rows 7, 16 and 17 of the targets."""
        areas = {name: float(np.mean([each.roca() for each in runs])) for name, runs in self.modes}
        attacks = dict(self.attacks)
        clean = self.clean.roca()
        return {
            "7": f"1-ROCA {clean:.3f}; on raw octets {dict(self.systems)[OnlineRaw.name].roca():.3f}",
            "16": f"{areas['noise 10 %'] / clean:.2f} x / {areas['newsletters 30 %'] / clean:.2f} x",
            "17": f"{np.mean([self._added(each) for each in attacks['dictionary 1 %']]):+.2f} points",
        }


def _stream(context: Context, stream: Stream) -> Found:
    from trainer.systems.linear import OnlineLogistic  # noqa: PLC0415  (scikit-learn takes seconds to import)

    reader = Reader(context.channel)
    items = poison.clean(stream.examples, 0)
    always = feedback.immediate(stream.examples, 0)
    context.say(f"online: {stream.name}, immediate")
    clean = run(Online(reader), items, always)
    others = [(each.name, run(each, items, always)) for each in (OnlineRaw(reader), OnlineLogistic())]
    if context.channel is Channel.EMAIL:
        bare = poison.clean([replace(each, raw=stripped(each.raw)) for each in stream.examples], 0)
        again = (OnlineRaw(Reader(context.channel)), OnlineLogistic())
        others += [(f"{each.name}, stripped", run(each, bare, always)) for each in again]
    systems = (("online", clean), *others)
    if context.plots is not None:
        from trainer import figures  # noqa: PLC0415  (matplotlib takes a second to import)

        curves = {name: each.curve() for name, each in systems}
        figures.learning_curve(curves, context.plots / _plot(stream))
    return Found(
        stream=stream,
        clean=clean,
        systems=systems,
        modes=tuple(
            (trial.name, _runs(context, reader, stream, trial))
            for trial in _MODES
            if context.channel is Channel.EMAIL or not trial.is_of_mail
        ),
        attacks=tuple((trial.name, _runs(context, reader, stream, trial)) for trial in _ATTACKS),
    )


def _runs(context: Context, reader: Reader, stream: Stream, trial: Trial) -> tuple[Run, ...]:
    context.say(f"online: {stream.name}, {trial.name}")
    seeds = _seeds(context) if trial.is_random else _seeds(context)[:1]
    return tuple(
        run(Online(reader), trial.attack(stream.examples, seed), trial.mode(stream.examples, seed)) for seed in seeds
    )


def _held(runs: Sequence[Run], threshold: float) -> float:
    held = [float((each.scores[each.targets] >= threshold).mean()) for each in runs if each.targets.any()]
    return 100 * float(np.mean(held)) if held else math.nan


def _number(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _mean_worst(values: Sequence[float]) -> str:
    mean = _number(float(np.mean(values)))
    return mean if len(values) == 1 else f"{mean} ({_number(max(values))})"


def _finite(tree: Any) -> Any:
    """JSON knows no NaN: null stands for it."""
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
