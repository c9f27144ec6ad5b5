"""Measures a candidate and the incumbent on the same messages in one run, for the gate.

Both go through their ONNX files and the daemon's own code. Decisions are those of the operating point ``normal``. A
message that the extractor refuses is left out of a set: it is refused alike whatever the model is.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from filterd.core.bundle import MODEL_FILE
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.sms import text_of
from filterd.core.token_codec import hashing_key, unpack
from filterd.core.tokens import Extractor, Tokens
from filterd.core.verdict import Label as GivenLabel
from filterd.errors import Unscannable
from filterd.feedback_ports import LabelledInput
from filterd.inference.loaded import LoadedModel, Scorer
from trainer import slices
from trainer.attacks import ATTACKS, SPAM_ONLY, Attack, Borrowed
from trainer.attacks.mail import opened
from trainer.errors import GateError
from trainer.example import Example, rank
from trainer.golden import Case, Golden
from trainer.judged import Judged, Measurements

POINT = "normal"
FAST_MOST = 25
"""Messages of a set and label in a quick run; its result means nothing."""
_ATTACKED, _FAST_ATTACKED = 100, 6
"""Messages of each label that every attack is tried on."""
_TIMED, _FAST_TIMED = 150, 20
_ROUNDS = 3
"""Times each message is timed; the shortest counts, the others were disturbed."""
_COMMON = 300
"""Words of ham that a dictionary attack is likeliest to hold."""
_PROBE = ATTACKS["ham-words-30"]
_BLIND = "good-words"
"""Attacks that look into the model: each bundle would be asked about other messages."""
_TEXT_CHARS = 2_000
_WORD = re.compile(r"[^\W\d_]{2,}")
_MB = 1e6

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """Everything that both bundles are asked."""

    channel: Channel
    golden: tuple[Case, ...]
    tripwire: tuple[Case, ...]
    attacked: Mapping[str, tuple[Case, ...]]
    common_words: tuple[Case, ...]
    corpora: tuple[Example, ...]
    newest: tuple[LabelledInput, ...]
    timed: tuple[bytes, ...]


def cases_of(
    channel: Channel,
    sets: Golden,
    newest: Sequence[LabelledInput] = (),
    corpora: Sequence[Example] = (),
    *,
    is_fast: bool = False,
    seed: int = 7,
) -> Cases:
    """The frozen sets, their messages as attacked, the probe of common words, the newest labels, and the corpora."""
    texts = tuple(_text(example)[:_TEXT_CHARS] for example in sets.lenders)
    ham = [case for case in sets.golden if not case.is_spam]
    words = Counter(word.lower() for text in (*texts, *(_text(c.example) for c in ham)) for word in _WORD.findall(text))
    common = Borrowed(ham_words=tuple(word for word, _ in words.most_common(_COMMON)), ham_texts=texts)
    some = _sample(sets.golden, _FAST_ATTACKED if is_fast else _ATTACKED)
    attacks = [a for a in ATTACKS.values() if channel in a.channels and not a.name.startswith(_BLIND)]
    return Cases(
        channel=channel,
        golden=sets.golden,
        tripwire=sets.tripwire,
        attacked=MappingProxyType({a.name: _under(a, _targets(a, some), common, seed) for a in attacks}),
        common_words=_under(_PROBE, ham, common, seed),
        corpora=tuple(corpora),
        newest=tuple(newest),
        timed=tuple(case.example.raw for case in _sample(sets.golden, (_FAST_TIMED if is_fast else _TIMED) // 2)),
    )


def measure(
    candidate: Path, incumbent: Path, cases: Cases, say: Say = lambda _: None
) -> tuple[Measurements, Measurements]:
    """Candidate and incumbent, each a bundle's folder, on the same cases. Raises BundleError and GateError."""
    models = [LoadedModel.open(folder, ParseLimits()) for folder in (candidate, incumbent)]
    if any(model.spec.channel is not cases.channel for model in models):
        raise GateError(f"a bundle is not of channel {cases.channel}; compare bundles of one channel")
    bench = _Bench(models, cases.channel)
    say(f"{len(cases.golden)} golden messages, {len(cases.tripwire)} ham of today, {len(cases.attacked)} attacks")
    golden, tripwire = bench.judge(cases.golden), bench.judge(cases.tripwire)
    attacked = {name: bench.judge(each) for name, each in cases.attacked.items()}
    corpora = bench.judge([Case(example=each) for each in cases.corpora])
    words, newest = bench.judge(cases.common_words), bench.judge_inputs(cases.newest)
    spent = _milliseconds(models, cases)

    def one(i: int, folder: Path) -> Measurements:
        return Measurements(
            bundle=models[i].spec.id,
            golden=golden[i],
            tripwire=tripwire[i],
            corpora=replace(corpora[i], slices=tuple((id.partition("/")[0],) for id in corpora[i].ids)),
            newest=newest[i],
            attacked=MappingProxyType({name: each[i] for name, each in attacked.items()}),
            common_words=words[i],
            milliseconds=spent[i],
            megabytes=(folder / MODEL_FILE).stat().st_size / _MB,
        )

    return one(0, candidate), one(1, incumbent)


class _Bench:
    """Asks every model about the same message; models that read alike share the reading."""

    def __init__(self, models: Sequence[LoadedModel], channel: Channel) -> None:
        self._models = models
        self._channel = channel
        self._extractors = {
            hashing_key(m.spec.hashing): Extractor(channel, m.spec.hashing, ParseLimits()) for m in models
        }

    def judge(self, cases: Sequence[Case]) -> list[Judged]:
        """The set as each model judged it."""
        asked, rows, scripts, counts = [], [], [], []
        for case in cases:
            try:
                read = {key: extract(case.example.raw) for key, extract in self._extractors.items()}
            except Unscannable:
                continue
            asked.append(case)
            rows.append({key: each.tokens for key, each in read.items()})
            features = next(iter(read.values())).features
            scripts.append(slices.script_of((*features.head, *features.body)))
            counts.append(len(features.body))
        lengths = slices.lengths_of(counts)
        names = [
            slices.names_of(self._channel, script, case.language, length)
            for case, script, length in zip(asked, scripts, lengths, strict=True)
        ]
        ids = [f"{case.example.corpus}/{case.example.id}" for case in asked]
        return [self._judged(model, ids, [case.is_spam for case in asked], rows, names) for model in self._models]

    def judge_inputs(self, labelled: Sequence[LabelledInput]) -> list[Judged]:
        """The same for messages of which only what a model read was kept; those that not every model reads are left."""
        asked = [each for each in labelled if set(self._extractors) == {each.hashing}]
        hashing = self._models[0].spec.hashing
        rows = [{each.hashing: unpack(each.tokens, hashing)} for each in asked]
        lengths = slices.lengths_of([row[each.hashing].length for each, row in zip(asked, rows, strict=True)])
        names = [slices.names_of(self._channel, "", "", length) for length in lengths]
        ids, spam = [str(each.id) for each in asked], [each.label is GivenLabel.SPAM for each in asked]
        return [self._judged(model, ids, spam, rows, names) for model in self._models]

    @staticmethod
    def _judged(
        model: LoadedModel,
        ids: Sequence[str],
        spam: Sequence[bool],
        rows: Sequence[Mapping[str, Tokens]],
        names: Sequence[tuple[str, ...]],
    ) -> Judged:
        key = hashing_key(model.spec.hashing)
        truth = np.array(spam, np.bool_)
        p = np.array([_probability(model, row[key], is_spam) for row, is_spam in zip(rows, spam, strict=True)])
        held = p >= model.spec.points[POINT]
        return Judged(ids=tuple(ids), is_spam=truth, probabilities=p, is_held=held, slices=tuple(names))


def _probability(model: LoadedModel, tokens: Tokens, is_spam: bool) -> float:  # noqa: FBT001  (a label)
    """Of a model that gives no number: as wrong as it can be."""
    try:
        return model.probability(model.score(tokens))
    except Unscannable:
        return 0.0 if is_spam else 1.0


def _milliseconds(models: Sequence[LoadedModel], cases: Cases) -> list[float | None]:
    """Mean CPU time of a message from bytes to probability, the models in turn on each; None where none is read."""
    scorers = [Scorer({cases.channel: model}, ParseLimits()) for model in models]
    best = np.full((len(models), len(cases.timed)), np.inf)
    for _ in range(_ROUNDS + 1):
        for column, raw in enumerate(cases.timed):
            for row, scorer in enumerate(scorers):
                begun = time.thread_time()
                try:
                    scorer.scan(cases.channel, raw)
                except Unscannable:
                    continue
                best[row, column] = min(best[row, column], time.thread_time() - begun)
    read = np.isfinite(best).all(axis=0)
    return [float(1000 * row[read].mean()) if read.any() else None for row in best]


def _targets(attack: Attack, cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.is_spam or not attack.name.startswith(SPAM_ONLY)]


def _under(attack: Attack, cases: Sequence[Case], borrowed: Borrowed, seed: int) -> tuple[Case, ...]:
    made = []
    for case in cases:
        rng = random.Random(f"{seed}/{attack.name}/{case.example.corpus}/{case.example.id}")  # noqa: S311  (no secret)
        made.append(Case(example=attack.on(case.example, rng, borrowed), language=case.language))
    return tuple(made)


def _sample(cases: Sequence[Case], most: int) -> list[Case]:
    """At most so many of each label, the same ones every time."""
    ordered = sorted(cases, key=lambda case: rank(case.example, "attack"))
    return [c for spam in (False, True) for c in [each for each in ordered if each.is_spam is spam][:most]]


def _text(example: Example) -> str:
    return text_of(example.raw) if example.channel is Channel.SMS else opened(example.raw).text
