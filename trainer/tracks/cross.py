"""Track D: leave one corpus out, train on the others, and meet it with the threshold they chose.

Copies go together: what shares most of its messages with the corpus left out is left out too, and of the rest every
message in a near-duplicate cluster with it. Corpora of one label are paired, or only ever trained on. For e-mail a
linear model of header facts alone runs beside: where it does better than chance, the collector is still in the headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from filterd.core.envelope import Channel
from trainer.config import SplitConfig
from trainer.example import Example
from trainer.measurement import Measurement, Table
from trainer.metrics import f1, one_minus_roca, rates, sm_at_hm
from trainer.prepare import capped
from trainer.sources.catalogue import sources_of
from trainer.tracks.context import Context
from trainer.tracks.header_facts import Facts, facts_of, headers_alone
from trainer.tracks.held_part import config_of
from trainer.tracks.scratch import Pool, Positions, best_cut, pooled, read, run, scaled, shuffled

_CAP = 2_000
"""Most examples per corpus and label: six networks are trained."""
_VALIDATION = 0.12
_EPOCHS, _PASSES = 4, 1.2
_HAM_LOSS = 0.01
_TEXT = (
    "Every network is trained on the other corpora alone, with whatever copies the corpus left out taken away as well. "
    "F1 is that of the threshold with the best F1 on a part of the training corpora. At most {cap} examples per corpus "
    "and label; one network per row."
)
_HEADERS = (
    "`headers alone`: 1-ROCA of a logistic regression on header facts (author domain, content type, mailer, thread, "
    "recipients ...). 50 is chance, and where headers tell nothing."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What is met, and what else is not trained on."""

    name: str
    corpora: tuple[str, ...]
    without: tuple[str, ...] = ()


_FOLDS: Mapping[Channel, tuple[Fold, ...]] = MappingProxyType(
    {
        Channel.EMAIL: (
            Fold(name="spamassassin", corpora=("spamassassin",), without=("csdmc2010",)),
            Fold(name="csdmc2010", corpora=("csdmc2010",), without=("spamassassin",)),
            Fold(name="enron-spam", corpora=("enron-spam",), without=("enron-raw-ham",)),
            Fold(name="lingspam", corpora=("lingspam",)),
            Fold(name="mailing lists 2019-23", corpora=("osst-users", "usrp-users")),
            Fold(name="modern, our own", corpora=("own-modern", "modern")),
        ),
        Channel.SMS: (
            Fold(name="uci", corpora=("uci",), without=("mishra-soni",)),
            Fold(name="mishra-soni", corpora=("mishra-soni",), without=("uci",)),
            Fold(name="super-legacy", corpora=("super-legacy",)),
            Fold(name="super-latest", corpora=("super-latest",)),
            Fold(name="yt-comments", corpora=("yt-comments",)),
            Fold(name="modern, our own", corpora=("own-modern", "modern"), without=("modern-mail",)),
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One corpus met by a network that never saw it."""

    ham: int
    spam: int
    f1: float
    ham_lost: float
    """At the threshold of F1, [0, 1]."""
    one_minus_roca: float
    missed: float
    """Spam missed at 1 % ham loss, per cent."""
    headers: float | None
    """1-ROCA of headers alone."""


def measure(context: Context) -> Measurement:
    """F1 and 1-ROCA on corpora that were left out. Raises TrainerError."""
    pool = pooled(context, _examples(context))
    facts = facts_of(pool.examples) if context.channel is Channel.EMAIL else None
    folds = _FOLDS[context.channel]
    found = {}
    for each in folds[:1] if context.is_fast else folds:
        context.say(f"without {each.name}")
        found[each.name] = _result(context, pool, each, facts)
    mean, worst = float(np.mean([r.f1 for r in found.values()])), min(r.f1 for r in found.values())
    texts = (_TEXT.format(cap=_CAP), _HEADERS) if facts is not None else (_TEXT.format(cap=_CAP),)
    return Measurement(
        id=f"cross-{context.channel}",
        title=f"Leave one corpus out, {context.channel}",
        command=context.command("cross"),
        seeds=context.seeds[:1],
        text=texts,
        tables=(_table(found),),
        figures={
            "left_out": {
                name: {
                    "ham": r.ham,
                    "spam": r.spam,
                    "f1": r.f1,
                    "ham_lost": r.ham_lost,
                    "one_minus_roca": r.one_minus_roca,
                    "sm_at_hm_1": r.missed,
                    "headers_one_minus_roca": r.headers,
                }
                for name, r in found.items()
            },
            "f1_mean": mean,
            "f1_worst": worst,
            "targets": {"14": f"{context.channel}: F1 mean {mean:.3f}, worst {worst:.3f}"},
        },
    )


def _examples(context: Context) -> tuple[Example, ...]:
    files = {source.file for source in sources_of(context.channel)}
    return capped(read(context, files), SplitConfig(), _CAP)


def _result(context: Context, pool: Pool, left_out: Fold, facts: Facts | None) -> Result:
    test = np.flatnonzero(np.isin(pool.names, left_out.corpora)).astype(np.int64)
    copies = np.isin(pool.clusters, pool.clusters[test]) | np.isin(pool.names, left_out.without)
    rest = np.flatnonzero(~copies).astype(np.int64)
    validation, train = _parts(pool, rest, context.seeds[0])
    epochs = 1 if context.is_fast else _EPOCHS
    config = scaled(config_of(context), len(train), epochs=epochs, passes=_PASSES, seed=context.seeds[0])
    done = run(context, config, pool, train, validation, test)
    counts = rates(done.test.logits, done.test.labels, best_cut(done.validation, f1))
    ham, spam = done.test.ham(), done.test.spam()
    return Result(
        ham=len(ham),
        spam=len(spam),
        f1=f1(counts),
        ham_lost=counts["ham_lost"] / counts["ham"],
        one_minus_roca=one_minus_roca(ham, spam),
        missed=sm_at_hm(ham, spam, _HAM_LOSS),
        headers=None if facts is None else headers_alone(facts, pool.labels, rest, test),
    )


def _parts(pool: Pool, rest: Positions, seed: int) -> tuple[Positions, Positions]:
    """Validation and training, every cluster on one side."""
    chosen, _ = shuffled(np.unique(pool.clusters[rest]), seed, _VALIDATION)
    inside = np.isin(pool.clusters[rest], chosen)
    return rest[inside], rest[~inside]


def _table(found: Mapping[str, Result]) -> Table:
    rows = tuple(
        (
            name,
            str(r.ham),
            str(r.spam),
            f"{r.f1:.3f}",
            f"{100 * r.ham_lost:.1f}",
            f"{r.one_minus_roca:.2f}",
            f"{r.missed:.1f}",
            *(() if r.headers is None else (f"{r.headers:.1f}",)),
        )
        for name, r in found.items()
    )
    columns = ("left out", "ham", "spam", "F1", "ham lost %", "1-ROCA %", "spam missed % at 1 % ham loss")
    return Table(columns=(*columns, "headers alone") if len(rows[0]) > len(columns) else columns, rows=rows)
