"""Track A: the divisions that published figures use, and the honest one beside them, each with networks of its own.

Random and file-order divisions leave repeats on both sides; where only one message per near-duplicate cluster is kept
they cannot. Every threshold is chosen on a part of the training data. Source of the divisions: Almeida, Gomez Hidalgo,
Yamakami, DocEng 2011 (first 30 % against the rest), and the random 80/20 of the articles after it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from filterd.core.envelope import Channel
from trainer import metrics
from trainer.measurement import Measurement, Table
from trainer.tracks.context import Context
from trainer.tracks.held_part import config_of
from trainer.tracks.scratch import Pool, Positions, best_cut, pooled, read, run, scaled, shuffled

_VALIDATION = 0.1
"""Share of the training part that chooses the epoch and the threshold."""
_SMALL_VALIDATION = 0.2
"""The same where the training part is small."""
_HAM_LOSS = 0.01
_TEXT = (
    "Our architecture, trained on the training part alone with one configuration for every division. The threshold of "
    "accuracy, MCC, spam caught (SC) and ham blocked (BH) has the highest MCC on a part of the training data; 1-ROCA "
    "and recall at 1 % ham loss need none. Mean over the seeds, in brackets standard deviation and worst."
)
Parts = tuple[Positions, Positions, Positions]
"""Train, validation, test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way of dividing one corpus."""

    name: str
    file: str
    divide: Callable[[Pool, int], Parts]
    epochs: int
    passes: float
    """How often an epoch draws each training example, on average."""
    seeds: int
    """Most seeds that are run."""
    row: str
    """Row of the targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Figures of one network, shares in [0, 1]."""

    accuracy: float
    mcc: float
    caught: float
    blocked: float
    one_minus_roca: float
    recall: float
    """At 1 % ham loss."""
    seconds: float


def measure(context: Context) -> Measurement:
    """Every protocol of the channel over the seeds. Raises TrainerError."""
    found: dict[str, list[Result]] = {}
    protocols = _protocols(context.channel)
    for protocol in protocols:
        pool = pooled(context, read(context, (protocol.file,)))
        context.say(f"{protocol.name}: {len(pool)} messages")
        seeds = context.seeds[: 1 if context.is_fast else protocol.seeds]
        found[protocol.name] = [_result(context, protocol, pool, seed) for seed in seeds]
    return Measurement(
        id=f"static-{context.channel}",
        title=f"Static divisions, {context.channel}",
        command=context.command("static"),
        seeds=context.seeds,
        text=(_TEXT,),
        tables=(_table(found),),
        figures={
            "protocols": {name: _figures(results) for name, results in found.items()},
            "targets": _targets(protocols, found),
        },
    )


def _protocols(channel: Channel) -> tuple[Protocol, ...]:
    if channel is Channel.EMAIL:
        enron = "email-enron-spam.tar.xz"
        return (
            Protocol(name="Enron-Spam random 80/20", file=enron, divide=_random, epochs=3, passes=1, seeds=2, row="13"),
        )
    uci, many = "sms-uci.tar.xz", "sms-super.tar.xz"
    return (
        Protocol(name="UCI random 80/20", file=uci, divide=_random, epochs=4, passes=2, seeds=10, row="1"),
        Protocol(
            name="UCI first 30 % / last 70 %", file=uci, divide=_first_third, epochs=4, passes=5, seeds=10, row="2"
        ),
        Protocol(name="UCI one per cluster 80/20", file=uci, divide=_distinct, epochs=4, passes=2, seeds=10, row="3"),
        Protocol(name="Super SMS random 80/20", file=many, divide=_random, epochs=3, passes=1, seeds=2, row="4"),
    )


def _random(pool: Pool, seed: int) -> Parts:
    test, validation, train = shuffled(np.arange(len(pool), dtype=np.int64), seed, 0.2, 0.8 * _VALIDATION)
    return train, validation, test


def _first_third(pool: Pool, seed: int) -> Parts:
    """The file's own order; only what chooses the epoch is drawn."""
    cut = round(0.3 * len(pool))
    validation, train = shuffled(np.arange(cut, dtype=np.int64), seed, _SMALL_VALIDATION)
    return train, validation, np.arange(cut, len(pool), dtype=np.int64)


def _distinct(pool: Pool, seed: int) -> Parts:
    test, validation, train = shuffled(np.unique(pool.clusters), seed, 0.2, 0.8 * _VALIDATION)
    return train, validation, test


def _result(context: Context, protocol: Protocol, pool: Pool, seed: int) -> Result:
    train, validation, test = protocol.divide(pool, seed)
    epochs = 1 if context.is_fast else protocol.epochs
    config = scaled(config_of(context), len(train), epochs=epochs, passes=protocol.passes, seed=seed)
    done = run(context, config, pool, train, validation, test)
    cut = best_cut(done.validation, metrics.mcc)
    counts = metrics.rates(done.test.logits, done.test.labels, cut)
    ham, spam = done.test.ham(), done.test.spam()
    return Result(
        accuracy=metrics.accuracy(counts),
        mcc=metrics.mcc(counts),
        caught=counts["spam_caught"] / counts["spam"],
        blocked=counts["ham_lost"] / counts["ham"],
        one_minus_roca=metrics.one_minus_roca(ham, spam),
        recall=1 - metrics.sm_at_hm(ham, spam, _HAM_LOSS) / 100,
        seconds=done.seconds,
    )


def _table(found: Mapping[str, Sequence[Result]]) -> Table:
    rows = []
    for name, results in found.items():
        rows.append(
            (
                name,
                str(len(results)),
                _spread([100 * r.accuracy for r in results], 2),
                _spread([r.mcc for r in results], 3),
                _spread([100 * r.caught for r in results], 1),
                _spread([100 * r.blocked for r in results], 2, worst=max),
                _spread([r.one_minus_roca for r in results], 2, worst=max),
                _spread([100 * r.recall for r in results], 1),
            )
        )
    return Table(
        columns=("division", "seeds", "accuracy %", "MCC", "SC %", "BH %", "1-ROCA %", "recall % at 1 % ham loss"),
        rows=tuple(rows),
    )


def _spread(values: Sequence[float], digits: int, *, worst: Callable[[Sequence[float]], float] = min) -> str:
    mean = f"{statistics.fmean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({statistics.stdev(values):.{digits}f}, {worst(values):.{digits}f})"


def _figures(results: Sequence[Result]) -> dict[str, list[float]]:
    names = ("accuracy", "mcc", "caught", "blocked", "one_minus_roca", "recall", "seconds")
    return {name: [getattr(result, name) for result in results] for name in names}


def _targets(protocols: Sequence[Protocol], found: Mapping[str, Sequence[Result]]) -> dict[str, str]:
    return {protocol.row: ", ".join(_words(found[protocol.name])) for protocol in protocols}


def _words(results: Sequence[Result]) -> Iterator[str]:
    def mean(name: str) -> float:
        return statistics.fmean(getattr(result, name) for result in results)

    yield f"accuracy {100 * mean('accuracy'):.2f} %"
    yield f"MCC {mean('mcc'):.3f}"
    yield f"SC {100 * mean('caught'):.1f} % at BH {100 * mean('blocked'):.2f} %"
    yield f"1-ROCA {mean('one_minus_roca'):.2f}"
    yield f"recall {100 * mean('recall'):.1f} % at 1 % ham loss"
    yield f"{len(results)} seeds"
