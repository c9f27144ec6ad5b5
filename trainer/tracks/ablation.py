"""What each part of the network and of its training buys: the same line without it, on the split of the bundle.

Every row is a network of its own, trained with the same seed on the same training part, but for the two paths by
themselves, which are read from the whole one, and with the penalty of the linear path that the whole one chose. One
seed cannot tell small differences: the first row is trained once more with another, and what lies between those two is
noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from filterd.core.envelope import Channel
from filterd.core.tokens import DEFAULT_HASHING
from trainer import evaluate
from trainer.config import TrainConfig
from trainer.corpora import Prepared, prepare
from trainer.fit import Fitted, fit_parts, measured_part, prepared_part
from trainer.linear_path import PENALTIES, Penalty
from trainer.measurement import Measurement, Table
from trainer.metrics import one_minus_roca, sm_at_hm
from trainer.prepare import Split
from trainer.tracks.context import Context
from trainer.tracks.held_part import config_of
from trainer.train import Part

_HAM_LOSS = 0.01
_LEAST = 20
"""Messages of each label below which a corpus has no figure."""
_MODERN = "modern"
_OUR_OWN = ("modern", "own-modern", "modern-mail")
_WHOLE = "as it ships"
_OLD = "without modern messages"
_TEXT = (
    "1-ROCA and recall at 1 % ham loss are those of each corpus of the test part with both labels by itself, on their "
    "mean and for `modern` alone. `deep path alone` and `linear path alone` are read from the first network, "
    "whose penalty of the linear path the others keep."
)
Change = Callable[[TrainConfig], TrainConfig]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One network on the test part, per cent."""

    one_minus_roca: float
    recall: float
    modern_one_minus_roca: float
    modern_recall: float


def measure(context: Context) -> Measurement:
    """Every variant of the channel. Raises TrainerError."""
    config = config_of(context)
    prepared = prepare(config, context.data, context.jobs, context.say, DEFAULT_HASHING[context.channel])
    found: dict[str, Result] = {}
    part = prepared_part(config, prepared, jobs=context.jobs)
    whole = _fitted(context, _WHOLE, config, prepared, part)
    penalties = (whole.trained.path.penalty,)
    found |= _paths(whole, prepared)
    for name, change in _changes(context).items():
        changed = change(config)
        same_data = (changed.disguise_share, changed.flatten_share) == (config.disguise_share, config.flatten_share)
        own = part if same_data else prepared_part(changed, prepared, jobs=context.jobs)
        found[name] = _result(prepared, _logits(_fitted(context, name, changed, prepared, own, penalties), prepared))
    if not context.is_fast:
        old = _without(part, _OUR_OWN)
        fitted = _fitted(context, _OLD, config, prepared, old, penalties)
        found[_OLD] = _result(prepared, _logits(fitted, prepared))
    return _measurement(context, config, found)


def _changes(context: Context) -> Mapping[str, Change]:
    """Name -> what is changed of the configuration."""
    changes: dict[str, Change] = {"the same, another seed": lambda c: replace(c, seed=c.seed + 4)}
    if context.is_fast:
        return changes
    network: dict[str, dict[str, bool | int | float | str]] = {
        "without passages": {"has_passages": False},
        "GRU in the place of LSTM": {"cell": "gru"},
        "one direction": {"bidirectional": False},
        "half the units": {"units": 32},
        "word dropout 0": {"word_dropout": 0.0},
    }
    if context.channel is Channel.SMS:
        network["with convolution and pooling by 2"] = {"filters": 64, "pool": 2}
    else:
        network["pooling by 2 in the place of 4"] = {"pool": 2}
    changes |= {name: partial(_network, values) for name, values in network.items()}
    changes |= {
        "without disguised copies": lambda c: replace(c, disguise_share=0.0),
        "without averaged weights": lambda c: replace(c, average=0.0),
        "ham as heavy as spam": lambda c: replace(c, ham_weight=1.0),
    }
    return MappingProxyType(changes)


def _network(values: Mapping[str, bool | int | float | str], config: TrainConfig) -> TrainConfig:
    return replace(config, model=replace(config.model, **values))  # type: ignore[arg-type]  # names are checked by replace


def _without(part: Part, corpora: tuple[str, ...]) -> Part:
    """The part without some corpora, both labels drawn as often as each other again."""
    kept = np.flatnonzero(~np.isin(part.corpora, corpora)).astype(np.int64)
    labels, weights = part.labels[kept], part.weights[kept].copy()
    for spam in (False, True):
        inside = (labels > 0.5) == spam
        weights[inside] /= 2 * weights[inside].sum()
    return Part(encoded=part.encoded.select(kept), labels=labels, corpora=part.corpora[kept], weights=weights)


def _fitted(
    context: Context,
    name: str,
    config: TrainConfig,
    prepared: Prepared,
    part: Part,
    penalties: Sequence[Penalty] = PENALTIES,
) -> Fitted:
    validation = measured_part(*prepared.part(Split.VALIDATION))
    fitted = fit_parts(config, part, validation, lambda *_: None, penalties=penalties)
    context.say(f"{name}: best epoch {fitted.trained.best_epoch}")
    return fitted


def _logits(fitted: Fitted, prepared: Prepared) -> NDArray[np.float64]:
    encoded, _, _ = prepared.part(Split.TEST)
    return evaluate.logits(fitted.model, encoded)


def _paths(whole: Fitted, prepared: Prepared) -> dict[str, Result]:
    """The whole network and each of its paths alone."""
    encoded, _, _ = prepared.part(Split.TEST)
    logits, linear = _logits(whole, prepared), whole.trained.path.logits(encoded)
    return {
        _WHOLE: _result(prepared, logits),
        "deep path alone": _result(prepared, logits - whole.trained.blend.part_of(linear)),
        "linear path alone": _result(prepared, linear),
    }


def _result(prepared: Prepared, logits: NDArray[np.float64]) -> Result:
    _, labels, names = prepared.part(Split.TEST)
    spam = labels > 0.5
    figures = {}
    for name in np.unique(names):
        inside = names == name
        ham_scores, spam_scores = logits[inside & ~spam], logits[inside & spam]
        if min(len(ham_scores), len(spam_scores)) >= _LEAST:
            missed = sm_at_hm(ham_scores, spam_scores, _HAM_LOSS)
            figures[str(name)] = one_minus_roca(ham_scores, spam_scores), 100 - missed
    mean = np.mean(list(figures.values()), axis=0) if figures else np.full(2, np.nan)
    modern = figures.get(_MODERN, (float("nan"), float("nan")))
    return Result(
        one_minus_roca=float(mean[0]),
        recall=float(mean[1]),
        modern_one_minus_roca=modern[0],
        modern_recall=modern[1],
    )


def _measurement(context: Context, config: TrainConfig, found: Mapping[str, Result]) -> Measurement:
    rows = tuple(
        (
            name,
            f"{r.one_minus_roca:.2f}",
            f"{r.recall:.1f}",
            f"{r.modern_one_minus_roca:.2f}",
            f"{r.modern_recall:.1f}",
        )
        for name, r in found.items()
    )
    columns = ("network", "1-ROCA %", "recall %", "1-ROCA % of modern", "recall % of modern")
    return Measurement(
        id=f"ablation-{context.channel}",
        title=f"Ablation, {context.channel}",
        command=context.command("ablation"),
        seeds=(config.seed, config.seed + 4),
        text=(_TEXT,),
        tables=(Table(columns=columns, rows=rows),),
        figures={
            name: {
                "one_minus_roca": r.one_minus_roca,
                "recall": r.recall,
                "modern_one_minus_roca": r.modern_one_minus_roca,
                "modern_recall": r.modern_recall,
            }
            for name, r in found.items()
        },
    )
