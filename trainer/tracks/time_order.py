"""Track B: train on what came first, score what came later, with no feedback between; networks trained from scratch.

SpamAssassin: the first 60 % by time against the rest. Enron-Spam: every mailbox on its own, likewise, in the order of
its file numbers, which mix ham and spam as its makers did: by date a mailbox's spam is years younger than its ham. No
SMS corpus has dates; there the older file of the Super SMS set is trained on and the newer one scored, which is no more
than a hint, because the two files are also written in different ways. Source of the order: Metsis et al., CEAS 2006.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.measurement import Measurement, Table
from trainer.metrics import one_minus_roca, sm_at_hm
from trainer.tracks.context import Context
from trainer.tracks.held_part import config_of
from trainer.tracks.scratch import Pool, Positions, pooled, read, run, scaled

_TRAIN = 0.6
_VALIDATION = 0.15
"""Share of the training part, its newest, that chooses the epoch."""
_HAM_LOSS = 0.005
_SPAMASSASSIN, _ENRON, _SUPER = "email-spamassassin.tar.xz", "email-enron-spam.tar.xz", "sms-super.tar.xz"
_MAILBOX = "enron"
_SMS_CAP = 12_000
"""Most examples of one label of the older SMS file: nearly all of it is chat."""
_SEEDS = 3
_TEXT = (
    "Our architecture, trained from scratch on the older part of one corpus; its newest sixth chooses the epoch. No "
    "message of the newer part is seen or learned from before all are scored. Mean over the seeds; worst in brackets."
)
_REFERENCES = "1-ROCA of other filters on the SpamAssassin division: bogofilter 1.24, TF-IDF linear SVM 1.45."


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One network on what came later, per cent."""

    ham: int
    spam: int
    one_minus_roca: float
    missed: float
    """Spam missed where half a per cent of the ham is lost."""


def measure(context: Context) -> Measurement:
    """Ranking of newer mail by networks that know older mail only. Raises TrainerError."""
    found = _email(context) if context.channel is Channel.EMAIL else _sms(context)
    return Measurement(
        id=f"time-{context.channel}",
        title=f"Older mail to newer mail, {context.channel}",
        command=context.command("time"),
        seeds=context.seeds[:_SEEDS],
        text=(_TEXT, _REFERENCES) if context.channel is Channel.EMAIL else (_TEXT,),
        tables=(_table(found),),
        figures={
            "divisions": {
                name: {
                    "ham": results[0].ham,
                    "spam": results[0].spam,
                    "one_minus_roca": [result.one_minus_roca for result in results],
                    "sm_at_hm_half": [result.missed for result in results],
                }
                for name, results in found.items()
            },
            "targets": _targets(found),
        },
    )


def _email(context: Context) -> dict[str, list[Result]]:
    found = {}
    seeds = context.seeds[:1] if context.is_fast else context.seeds[:_SEEDS]
    pool = pooled(context, read(context, (_SPAMASSASSIN,)))
    found["spamassassin"] = [_by_time(context, pool, _oldest_first(pool, range(len(pool))), 4, seed) for seed in seeds]
    boxes = pooled(context, read(context, (_ENRON,)))
    for name in sorted({example.group for example in boxes.examples}):
        # One seed each: six networks are six samples already.
        found[name] = [_by_time(context, boxes, _in_file_order(boxes, name), 4, seeds[0])]
    return found


def _sms(context: Context) -> dict[str, list[Result]]:
    examples = _capped(read(context, (_SUPER,)))
    pool = pooled(context, examples)
    older, newer = (np.flatnonzero(pool.names == name).astype(np.int64) for name in ("super-legacy", "super-latest"))
    newer = newer[~np.isin(pool.clusters[newer], pool.clusters[older])]  # what the older file has too is not newer
    cut = round((1 - _VALIDATION) * len(older))
    order = np.random.default_rng(0).permutation(older)  # the file's order is no time order
    parts = np.sort(order[:cut]), np.sort(order[cut:]), newer
    return {"super-legacy to super-latest": [_result(context, pool, parts, 2, seed) for seed in context.seeds[:1]]}


def _capped(examples: tuple[Example, ...]) -> list[Example]:
    taken: Counter[tuple[str, Label]] = Counter()
    out = []
    for example in examples:
        key = example.corpus, example.label
        taken[key] += 1
        if taken[key] <= _SMS_CAP:
            out.append(example)
    return out


def _oldest_first(pool: Pool, positions: range | list[int]) -> Positions:
    dated = [(example.date, i) for i in positions if (example := pool.examples[i]).date is not None]
    return np.array([i for _, i in sorted(dated, key=lambda pair: (str(pair[0]), pair[1]))], np.int64)


def _in_file_order(pool: Pool, group: str) -> Positions:
    numbered = [
        (int(example.id.rpartition("/")[2].partition(".")[0]), i)
        for i, example in enumerate(pool.examples)
        if example.group == group
    ]
    return np.array([i for _, i in sorted(numbered)], np.int64)


def _by_time(context: Context, pool: Pool, order: Positions, epochs: int, seed: int) -> Result:
    cut = round(_TRAIN * len(order))
    before = round((1 - _VALIDATION) * cut)
    if not _has_both(pool, order[before:cut]):
        # A newest part of one label chooses nothing: every sixth message then stands for it.
        picked = np.arange(cut) % round(1 / _VALIDATION) == 0
        return _result(context, pool, (order[:cut][~picked], order[:cut][picked], order[cut:]), epochs, seed)
    return _result(context, pool, (order[:before], order[before:cut], order[cut:]), epochs, seed)


def _has_both(pool: Pool, positions: Positions) -> bool:
    return len({pool.examples[i].label for i in positions}) == len(Label)


def _result(
    context: Context, pool: Pool, parts: tuple[Positions, Positions, Positions], epochs: int, seed: int
) -> Result:
    config = scaled(config_of(context), len(parts[0]), epochs=1 if context.is_fast else epochs, passes=1.5, seed=seed)
    test = run(context, config, pool, *parts).test
    ham, spam = test.ham(), test.spam()
    return Result(
        ham=len(ham),
        spam=len(spam),
        one_minus_roca=one_minus_roca(ham, spam),
        missed=sm_at_hm(ham, spam, _HAM_LOSS),
    )


def _table(found: Mapping[str, list[Result]]) -> Table:
    rows = tuple(
        (
            name,
            str(results[0].ham),
            str(results[0].spam),
            str(len(results)),
            _spread([result.one_minus_roca for result in results]),
            _spread([result.missed for result in results]),
        )
        for name, results in found.items()
    )
    columns = ("division", "newer ham", "newer spam", "seeds", "1-ROCA %", "spam missed % at .5 % ham loss")
    return Table(columns=columns, rows=rows)


def _spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({max(values):.2f})"


def _targets(found: Mapping[str, list[Result]]) -> dict[str, str]:
    targets = {}
    if "spamassassin" in found:
        results = found["spamassassin"]
        roca, missed = (float(np.mean([getattr(r, n) for r in results])) for n in ("one_minus_roca", "missed"))
        targets["8"] = f"1-ROCA {roca:.2f}, sm {missed:.1f} % at hm .5 % ({len(results)} seeds)"
    boxes = [
        result.one_minus_roca for name, results in found.items() if name.startswith(_MAILBOX) for result in results
    ]
    if boxes:
        targets["13"] = f"per user by time: 1-ROCA {np.mean(boxes):.2f} mean, {max(boxes):.2f} worst of {len(boxes)}"
    return targets
