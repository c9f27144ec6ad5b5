"""Our bundle beside other filters: all learn from the same training part and score identical bytes of the test part.

A bundle is frozen and brings its training; every other filter starts empty and learns here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filterd.core.envelope import Channel
from trainer import comparison
from trainer.collector import stripped
from trainer.comparison import Facts, Scored
from trainer.errors import TrainerError
from trainer.example import Example
from trainer.measurement import Measurement
from trainer.prepare import Split
from trainer.systems.ours import Frozen
from trainer.systems.roster import chosen
from trainer.systems.system import System
from trainer.tracks.context import Context
from trainer.tracks.held_part import HeldPart, held_part

DEFAULT_LIMIT = 200
_SEED = 7
"""Of the order in which training messages are learned."""
_LEARNED = (
    "Every filter learns, from its empty state, the messages that our model was trained on, once and in one mixed "
    "order, and scores the messages that the split holds back; ours is the bundle as the daemon serves it, and has "
    "had the validation part for its calibration besides. All read identical bytes, {given}.{carried}"
)
_CARRIED = (
    " An SMS is carried to the mail filters as the body of a mail whose headers are always the same: "
    "the cuts of SpamAssassin and rspamd, which expect a mail's headers to testify too, say little here."
)
_READ = (
    "`caught` and `ham lost` are at each filter's own cut. `caught at our ham loss` moves its cut to where it loses "
    "the share of ham that ours loses, and `ours there` is what ours catches then, with McNemar's p beside it. "
    "Brackets are 95 % intervals: Clopper-Pearson for shares, 1,000 resamples of clusters of near-duplicates for "
    "1-ROCA and for the paired difference of logit(1-ROCA). `ours` is a win or a lose only where that interval "
    "excludes zero."
)
_CONTENT = (
    "This compares content alone. SpamAssassin and rspamd in production also ask DNS lists, sender authentication, "
    "fuzzy hashes and reputation; here they have no network, their rules about the age of a message are off, and "
    "their Bayes classifiers learn what all learn. Some corpora hold no full headers: rules about missing ones fire "
    "there on ham and spam alike, so read these two per corpus."
)
_SLOW = (
    " SpamAssassin takes about a tenth of a second a message and so learns and scores at most {limit} per corpus and "
    "label; ours beside it is on the same messages."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the filters learn from and what they are measured on."""

    train: tuple[Example, ...]
    """In the order it is learned, corpora mixed."""
    test: tuple[Example, ...]
    facts: Facts


def compare(
    context: Context,
    names: Sequence[str],
    environ: Mapping[str, str],
    *,
    limit: int = DEFAULT_LIMIT,
    is_raw: bool = False,
) -> Measurement:
    """Train and score the filters of these names (all of them for none) beside the context's bundle.

    ``limit`` is the most messages per corpus and label that a slow filter learns, and scores. Raises TrainerError,
    ToolMissing before anything is trained.
    """
    if context.bundle is None:
        raise TrainerError("a comparison needs a bundle: name its folder with --bundle")
    entries = chosen(names)
    systems = {name: entry.open(environ) for name, entry in entries.items()}
    held = held_part(context)
    parts = _parts(held, is_raw=is_raw)
    bundle = Frozen(context.bundle)
    ours = measure(bundle, (), parts.test, np.arange(len(parts.test), dtype=np.int64))
    context.say(f"{ours.name}: {len(ours.scores)} scored in {ours.score_seconds:.0f} s")
    theirs = []
    for name, system in systems.items():
        last = _measured(system, parts, limit if entries[name].is_slow else None)
        theirs.append(last)
        context.say(f"{last.name}: learned {last.learned} in {last.learn_seconds:.0f} s, scored {len(last.scores)}")
    found = comparison.rows(parts.facts, ours, theirs)
    scored = (ours, *theirs)
    return Measurement(
        id=f"compare-{context.channel}",
        title=f"Beside other filters: {context.channel}",
        command=_command(context, names, limit, is_raw=is_raw),
        text=(*_text(context.channel, limit, is_raw=is_raw), *held.caveat()),
        tables=comparison.tables(found, scored),
        figures=comparison.figures(found, scored),
        seeds=(_SEED,),
    )


def measure(system: System, train: Sequence[Example], test: Sequence[Example], positions: NDArray[np.int64]) -> Scored:
    """What the filter makes of ``test``, which stands at these positions, after learning ``train``."""
    start = time.perf_counter()
    if train:
        system.learn(train)
    between = time.perf_counter()
    scores = system.score(test)
    return Scored(
        name=system.name,
        cut=system.cut,
        positions=positions,
        scores=scores,
        learned=len(train),
        learn_seconds=between - start,
        score_seconds=time.perf_counter() - between,
    )


def _measured(system: System, parts: Parts, limit: int | None) -> Scored:
    if limit is None:
        train, positions = parts.train, np.arange(len(parts.test), dtype=np.int64)
    else:
        train = tuple(parts.train[i] for i in first_of_each(parts.train, limit))
        positions = first_of_each(parts.test, limit)
    with system:
        return measure(system, train, [parts.test[i] for i in positions], positions)


def first_of_each(examples: Sequence[Example], limit: int) -> NDArray[np.int64]:
    """Positions, ascending, of at most ``limit`` examples per corpus and label."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for position in _shuffled(len(examples)):
        key = (examples[position].corpus, str(examples[position].label))
        seen[key] += 1
        if seen[key] <= limit:
            kept.append(int(position))
    return np.array(sorted(kept), np.int64)


def _parts(held: HeldPart, *, is_raw: bool) -> Parts:
    corpus = held.prepared.corpus
    train, test = corpus.where(Split.TRAIN), corpus.where(Split.TEST)
    learned = [corpus.examples[train[i]] for i in _shuffled(len(train))]
    return Parts(
        train=tuple(each if is_raw else _stripped(each) for each in learned),
        test=tuple(each if is_raw else _stripped(each) for each in (corpus.examples[i] for i in test)),
        facts=Facts(
            labels=held.prepared.labels[test], corpora=held.prepared.names[test], clusters=corpus.clusters[test]
        ),
    )


def _shuffled(count: int) -> NDArray[np.int64]:
    """The same order for every filter: a corpus must not be forgotten because it came first."""
    return np.random.default_rng(_SEED).permutation(count)


def _stripped(example: Example) -> Example:
    return replace(example, raw=stripped(example.raw)) if example.channel is Channel.EMAIL else example


def _command(context: Context, names: Sequence[str], limit: int, *, is_raw: bool) -> str:
    words = ["trainer", "compare", "--channel", str(context.channel), "--bundle", _shown(context.bundle)]
    words += ["--systems", ",".join(names)] if names else []
    words += ["--limit", str(limit)] if limit != DEFAULT_LIMIT else []
    words += ["--raw"] if is_raw else []
    words += ["--fast"] if context.is_fast else []
    return " ".join(words)


def _shown(bundle: Path | None) -> str:
    """The folder as it is typed in the checkout; only its name where it lies elsewhere."""
    if bundle is None:
        return ""
    top = Path(__file__).parents[1]
    absolute = bundle.absolute()
    return str(absolute.relative_to(top)) if absolute.is_relative_to(top) else bundle.name


def _text(channel: Channel, limit: int, *, is_raw: bool) -> tuple[str, ...]:
    given = "whole, with every header" if is_raw else "without the headers that the collector of a corpus wrote on top"
    return (
        _LEARNED.format(given=given, carried=_CARRIED if channel is Channel.SMS else ""),
        _READ,
        _CONTENT + _SLOW.format(limit=limit),
    )
