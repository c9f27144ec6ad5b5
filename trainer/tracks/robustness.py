"""Track E: what attacks on the wording and the form of a message take from recall, the threshold frozen before.

The threshold loses 1 % of the clean held-out ham, no corpus counting for more than 200 messages; then held-out spam is
attacked, and held-out ham too, because undoing tricks must not make ham of other languages look like spam.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import BundleSpec
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import Extractor
from filterd.errors import Unscannable
from filterd.inference.loaded import LoadedModel
from trainer.attacks import ATTACKS, SPAM_ONLY, Attack
from trainer.config import SplitConfig
from trainer.example import Example, Label
from trainer.measurement import Measurement, Table
from trainer.metrics import weighted_threshold
from trainer.prepare import Split, capped
from trainer.tracks.context import Context
from trainer.tracks.held_part import HeldPart, held_part
from trainer.tracks.white_box import borrowed_from

_HAM_LOSS = 0.01
_SAMPLE, _FAST_SAMPLE = 200, 12
"""Most messages per corpus and label that are attacked."""
_CONTROL = "rebuilt"
_SHOWN = (
    *("typos-10", "leet-100", "homoglyphs-100", "zero-width-characters", "bidi-reversed", "spaced-30"),
    *("hidden-display", "good-words-30", "ham-messages-3"),
)
"""Attacks in the table per corpus."""
_BOUND = ("unicode", "typo", "leet", "spacing", "hidden html")
"""Families that may cost one point."""
_REBUILT = (
    "An attacked e-mail is a new, simple one around the same headers, its subject untouched. `rebuilt` does that and "
    "nothing else: what an attack costs is told against it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How many of a corpus's messages are at or above the threshold."""

    held: int
    total: int

    def share(self) -> float:
        """[0, 1], NaN of nothing."""
        return self.held / self.total if self.total else float("nan")


Counts = Mapping[str, Held]
"""By corpus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """What one attack did."""

    spam: Counts
    ham: Counts
    """Empty for an attack that is not tried on ham."""

    def recall(self) -> float:
        """Of the whole sample, [0, 1]."""
        return _share(self.spam)

    def ham_loss(self) -> float:
        """Of the whole sample, [0, 1]; NaN where ham was not attacked."""
        return _share(self.ham)


def measure(context: Context) -> Measurement:
    """Recall and ham loss per attack. Raises CorpusError and BundleError."""
    held = held_part(context)
    logits, labels, names = held.measured(Split.TEST)
    ham = labels < 0.5
    threshold = weighted_threshold(logits[ham], _weights(names[ham]), _HAM_LOSS)
    sample = capped(held.examples(Split.TEST), SplitConfig(), _FAST_SAMPLE if context.is_fast else _SAMPLE)
    borrowed = borrowed_from(held, context.seeds[0])
    scorer = _Scorer(held.model, threshold)
    clean = Attacked(spam=scorer.counts(sample, Label.SPAM), ham=scorer.counts(sample, Label.HAM))
    found: dict[str, Attacked] = {}
    for attack in _attacks(context.channel, held.model):
        context.say(f"attack {attack.name}")
        made = [attack.on(each, _rng(context, attack, each), borrowed) for each in sample if _is_target(attack, each)]
        found[attack.name] = Attacked(spam=scorer.counts(made, Label.SPAM), ham=scorer.counts(made, Label.HAM))
    return _measurement(context, held, threshold, sample, clean, found)


def _weights(names: NDArray[np.str_]) -> NDArray[np.float64]:
    _, inverse, sizes = np.unique(names, return_inverse=True, return_counts=True)
    return np.asarray(np.minimum(sizes, _SAMPLE)[inverse] / sizes[inverse], np.float64)


def _share(counts: Counts) -> float:
    return Held(held=sum(c.held for c in counts.values()), total=sum(c.total for c in counts.values())).share()


def _attacks(channel: Channel, model: LoadedModel) -> list[Attack]:
    """The attacks of a channel; those that need a look into the model only where it has a table to look into."""
    chosen = (attack for attack in ATTACKS.values() if channel in attack.channels)
    return [a for a in chosen if model.weights is not None or not a.name.startswith("good-words")]


def _is_target(attack: Attack, example: Example) -> bool:
    return example.label is Label.SPAM or not attack.name.startswith(SPAM_ONLY)


def _rng(context: Context, attack: Attack, example: Example) -> random.Random:
    return random.Random(f"{context.seeds[0]}/{attack.name}/{example.corpus}/{example.id}")  # noqa: S311  (no secret)


class _Scorer:
    """Counts what the daemon's own code holds at one threshold."""

    def __init__(self, model: LoadedModel, threshold: float) -> None:
        self._model = model
        self._threshold = threshold
        self._extractor = Extractor(model.spec.channel, model.spec.hashing, ParseLimits())

    def counts(self, examples: Sequence[Example], label: Label) -> Counts:
        held: dict[str, list[bool]] = {}
        for example in examples:
            if example.label is label:
                held.setdefault(example.corpus, []).append(self._logit(example.raw) >= self._threshold)
        return {corpus: Held(held=sum(each), total=len(each)) for corpus, each in sorted(held.items())}

    def _logit(self, raw: bytes) -> float:
        """What cannot be read counts as not held: catching it is the policy's business, not the model's."""
        try:
            return self._model.score(self._extractor(raw).tokens)
        except Unscannable:
            return float("-inf")


def _measurement(
    context: Context,
    held: HeldPart,
    threshold: float,
    sample: Sequence[Example],
    clean: Attacked,
    found: Mapping[str, Attacked],
) -> Measurement:
    control = found[_CONTROL]
    return Measurement(
        id=f"robustness-{context.channel}",
        title=f"Robustness, {context.channel}",
        command=context.command("robustness"),
        seeds=context.seeds[:1],
        text=(*held.caveat(), *_text_of(held.model.spec, sample, context.channel)),
        tables=(_by_attack(clean, control, found), _by_corpus(clean, control, found), _ham(control, found)),
        figures={
            "bundle": held.model.spec.id,
            "same_split": held.is_same_split,
            "threshold": threshold,
            "clean": _figures(clean),
            "attacks": {name: _figures(each) for name, each in found.items()},
            "targets": {"15": _target(control, found)},
        },
    )


def _text_of(spec: BundleSpec, sample: Sequence[Example], channel: Channel) -> tuple[str, ...]:
    spam = sum(example.label is Label.SPAM for example in sample)
    first = (
        f"Bundle `{spec.id}`. The threshold is frozen where 1 % of the clean held-out ham is lost, no corpus counting "
        f"for more than {_SAMPLE} messages. Then {spam} held-out spam and {len(sample) - spam} held-out ham are "
        f"attacked, at most {_SAMPLE} per corpus and label. Words and texts that an attacker borrows come from "
        "training ham; the good words are those the model's own linear table finds most hammy, best first. "
        "`bidi-reversed` stores three words in ten backwards behind an override: a reader sees no difference."
    )
    return (first,) if channel is Channel.SMS else (first, _REBUILT)


def _by_attack(clean: Attacked, control: Attacked, found: Mapping[str, Attacked]) -> Table:
    rows = [("none", _percent(clean.recall()), "-", "-", _percent(clean.ham_loss()))]
    for name, each in found.items():
        lost = {corpus: control.spam[corpus].share() - counts.share() for corpus, counts in each.spam.items()}
        worst = max(lost, key=lambda corpus: lost[corpus])
        rows.append(
            (
                name,
                _percent(each.recall()),
                "-" if name == _CONTROL else _points(control.recall() - each.recall()),
                "-" if name == _CONTROL else f"{_points(lost[worst])} ({worst})",
                _percent(each.ham_loss()),
            )
        )
    return Table(
        title="Recall at 1 % ham loss, what the attack takes of it in points, and the loss of attacked ham.",
        columns=("attack", "recall %", "lost", "lost, worst corpus", "ham lost %"),
        rows=tuple(rows),
    )


def _by_corpus(clean: Attacked, control: Attacked, found: Mapping[str, Attacked]) -> Table:
    shown = [name for name in _SHOWN if name in found]
    rows = [
        (
            corpus,
            str(clean.spam[corpus].total),
            _percent(clean.spam[corpus].share()),
            *(_points(control.spam[corpus].share() - found[name].spam[corpus].share()) for name in shown),
        )
        for corpus in clean.spam
    ]
    return Table(
        title="Points of recall lost by corpus.", columns=("corpus", "spam", "clean recall %", *shown), rows=tuple(rows)
    )


def _ham(control: Attacked, found: Mapping[str, Attacked]) -> Table:
    tried = {name: each for name, each in found.items() if each.ham and name != _CONTROL}
    rows = []
    for corpus, counts in control.ham.items():
        worst = max(tried, key=lambda name: tried[name].ham[corpus].share())
        rows.append((corpus, _percent(counts.share()), _percent(tried[worst].ham[corpus].share()), worst))
    return Table(
        title="Ham lost at the same threshold, not attacked and under the attack that costs most.",
        columns=("corpus", "not attacked %", "attacked %", "by"),
        rows=tuple(rows),
    )


def _figures(each: Attacked) -> dict[str, object]:
    return {
        "recall": each.recall(),
        "recall_by_corpus": {corpus: counts.share() for corpus, counts in each.spam.items()},
        "ham_loss": each.ham_loss() if each.ham else None,
        "ham_loss_by_corpus": {corpus: counts.share() for corpus, counts in each.ham.items()},
    }


def _target(control: Attacked, found: Mapping[str, Attacked]) -> str:
    """One line: the worst of each family in points, and recall under what is added."""
    parts = []
    for family in (*_BOUND, "bidi reversed"):
        lost = [control.recall() - found[n].recall() for n in found if ATTACKS[n].family == family]
        if lost:
            parts.append(f"{family} {_points(max(lost))}")
    parts += [
        f"{name} {_percent(found[name].recall())} %" for name in ("good-words-30", "ham-messages-3") if name in found
    ]
    return "; ".join(parts)


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
