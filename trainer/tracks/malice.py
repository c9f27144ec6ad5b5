"""People who lie: what false reports do to the ham of the others.

A site of 100 people in ten domains gets the test part, every message at one of them drawn at random; ham that looks
like a newsletter goes to five. Honest people report a third of what was judged wrongly in their mail; liars call spam
whatever ham they get (dictionary), or all of them together twenty messages that everybody gets afterwards (focused).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from filterd.core.influence import Caps
from trainer.example import Example, Label
from trainer.measurement import Table
from trainer.systems.reported import Parts, Site, SiteReader
from trainer.tracks.context import Context
from trainer.tracks.feedback import is_newsletter

TEXT = (
    (
        "Malice: 100 people in ten domains; each message goes to one of them, a newsletter to five. Honest people "
        "report a third of the mistakes in their own mail. Liars report as spam all ham they get (`dictionary`), or "
        "together "
        "20 ham messages that everybody gets afterwards (`focused`). `ham lost` is held ham of honest people in per "
        "cent, at `normal`, the mean of the seeds (and the worst): without the liars' reports, and what they add."
    ),
)
SHARES = (0.01, 0.05, 0.20)
_PEOPLE, _DOMAINS = 100, 10
_COPIES = 5
_TARGETS = 20
_HONEST = 1 / 3


def measured(context: Context, reader: SiteReader, examples: Sequence[Example]) -> tuple[Table, dict[str, Any]]:
    """Ham loss of honest people without the liars and with them, for each share, attack and seed."""
    seeds = context.seeds[:1] if context.is_fast else context.seeds
    rows, figures = [], {}
    for attack in ("dictionary", "focused"):
        clean = [_ham_lost(reader, examples, attack, 0.0, seed) for seed in seeds]
        cells = [_mean_worst(clean)]
        for share in SHARES:
            context.say(f"reports: {attack}, {share:.0%} liars")
            harmed = [_ham_lost(reader, examples, attack, share, seed) for seed in seeds]
            cells.append(_mean_worst([after - before for before, after in zip(clean, harmed, strict=True)]))
            figures[f"{attack} {share:g}"] = {"clean": clean, "harmed": harmed}
        rows.append((attack, *cells))
    columns = ("attack", "no liars", *(f"{share:.0%} liars add" for share in SHARES))
    return Table(title="Ham lost by honest people, per cent.", columns=columns, rows=tuple(rows)), figures


def _mean_worst(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} ({max(values):.2f})"


def _ham_lost(reader: SiteReader, examples: Sequence[Example], attack: str, share: float, seed: int) -> float:
    """Per cent of the ham of honest people that is held. Who gets what is the same with and without the liars."""
    world = _World(reader, examples, seed=seed, share=share)
    if attack == "focused":
        world.aim()
    for example in examples:
        for person in world.recipients(example, is_focused=attack == "focused"):
            world.deliver(example, person, is_dictionary=attack == "dictionary")
    return 100 * world.lost / world.ham


class _World:
    """A site's people, honest and not."""

    def __init__(self, reader: SiteReader, examples: Sequence[Example], *, seed: int, share: float) -> None:
        self._rng = np.random.default_rng(seed)
        self._people = [f"user{n}@domain{n % _DOMAINS}.example" for n in range(_PEOPLE)]
        order = [self._people[n] for n in self._rng.permutation(_PEOPLE)]
        self._acting = order[: round(share * _PEOPLE)]
        self._suspects = frozenset(order[: round(max(SHARES) * _PEOPLE)])
        """All who lie at the largest share: their own ham never counts, so that the shares can be compared."""
        ham = [example for example in examples if example.label is Label.HAM]
        chosen = self._rng.choice(len(ham), min(_TARGETS, len(ham)), replace=False)
        self._targets = {ham[i].id: ham[i] for i in chosen}
        self._site = Site(reader, Parts(has_memory=True, has_weights=True), Caps(), weighed_every=1)
        self.ham = self.lost = 0

    def aim(self) -> None:
        """All liars report the targets as spam."""
        for target in self._targets.values():
            for liar in self._acting:
                self._report(replace(target, label=Label.SPAM), liar)

    def recipients(self, example: Example, *, is_focused: bool) -> list[str]:
        """Who gets it."""
        copies = _COPIES if is_newsletter(example) else 1
        if is_focused and example.id in self._targets:
            copies = _PEOPLE
        return [self._people[n] for n in self._rng.choice(_PEOPLE, copies, replace=False)]

    def deliver(self, example: Example, person: str, *, is_dictionary: bool) -> None:
        """Judge it for that person, who may say something."""
        is_ham = example.label is Label.HAM
        is_held = self._site.judge(example, person)[0] >= self._site.cut
        says = self._rng.random() < _HONEST
        if person not in self._suspects:
            self.ham, self.lost = self.ham + is_ham, self.lost + (is_ham and is_held)
            if is_held is is_ham and says:
                self._report(example, person)
        elif is_dictionary and is_ham and person in self._acting:
            self._report(replace(example, label=Label.SPAM), person)

    def _report(self, example: Example, person: str) -> None:
        self._site.report(example, person, (person,))
