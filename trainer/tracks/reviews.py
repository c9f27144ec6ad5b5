"""The tutorials' task: our architecture on film reviews, beside the recipes that published systems are.

A review is read as the text of an e-mail without headers. Its own division is kept: 25,000 to train on, of which a
tenth chooses the epoch and the threshold, and 25,000 to test with.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from filterd.core.envelope import Channel
from trainer import metrics
from trainer.errors import TrainerError
from trainer.example import Example, Label
from trainer.measurement import Measurement, Table
from trainer.sources import imdb
from trainer.tracks.context import Context
from trainer.tracks.held_part import config_of
from trainer.tracks.scratch import Pool, Positions, best_cut, pooled, run, scaled, shuffled

_FILE = "imdb-aclimdb.tar.xz"
_FAST_REVIEWS = 600
"""What a quick run reads at most."""
_VALIDATION = 0.1
_EPOCHS = 3
_TEXT = (
    "The e-mail architecture and its training, with positive in the place of spam and both labels of the same weight. "
    "The published systems of the same task are the recipes below."
)


def measure(context: Context) -> Measurement:
    """Accuracy on the test part. Raises TrainerError."""
    if context.channel is not Channel.EMAIL:
        raise TrainerError("reviews are read as e-mail; choose --channel email")
    begun = time.process_time()
    reviews = list(imdb.read(context.data / _FILE))
    if context.is_fast:
        reviews = reviews[:: -(-len(reviews) // _FAST_REVIEWS)]
    pool = pooled(context, [_example(review) for review in reviews])
    is_test = np.array([review.is_test for review in reviews], bool)
    validation, train = shuffled(np.flatnonzero(~is_test).astype(np.int64), context.seeds[0], _VALIDATION)
    return _measurement(context, pool, train, validation, np.flatnonzero(is_test).astype(np.int64), begun)


def _example(review: imdb.Review) -> Example:
    text = review.text.replace("<br />", "\n")
    return Example(
        id=review.id,
        corpus="imdb",
        channel=Channel.EMAIL,
        label=Label.SPAM if review.is_positive else Label.HAM,
        raw=b"\r\n" + text.encode(),
    )


def _measurement(
    context: Context,
    pool: Pool,
    train: Positions,
    validation: Positions,
    test: Positions,
    begun: float,
) -> Measurement:
    config = scaled(
        config_of(context), len(train), epochs=1 if context.is_fast else _EPOCHS, passes=1, seed=context.seeds[0]
    )
    done = run(context, replace(config, ham_weight=1.0, disguise_share=0.0), pool, train, validation, test)
    minutes = (time.process_time() - begun) / 60
    cut = best_cut(done.validation, metrics.accuracy)
    accuracy = metrics.accuracy(metrics.rates(done.test.logits, done.test.labels, cut))
    area = 100 - metrics.one_minus_roca(done.test.ham(), done.test.spam())
    row = (f"{len(train)}", f"{len(test)}", f"{100 * accuracy:.2f}", f"{area:.2f}", f"{minutes:.1f}")
    return Measurement(
        id="reviews",
        title="Film reviews",
        command=context.command("reviews"),
        seeds=context.seeds[:1],
        text=(_TEXT,),
        tables=(
            Table(
                columns=("trained on", "tested on", "accuracy %", "area under ROC %", "CPU minutes in all"), rows=(row,)
            ),
        ),
        figures={
            "accuracy": accuracy,
            "cpu_minutes": minutes,
            "targets": {"20": f"our own {100 * accuracy:.2f} % in {minutes:.1f} CPU minutes, reading included"},
        },
    )
