"""Scores texts that somebody types: with a bundle through the daemon's own code, or with a published system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filterd.core.bundle import SPEC_FILE
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.verdict import Evidence
from filterd.errors import ContractMismatch
from filterd.inference.loaded import LoadedModel, Scorer
from filterd.inference.registry import packaged_models
from trainer.errors import ManifestError
from trainer.example import Label
from trainer.manifest import RECIPE_FILE

POINT = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of one text."""

    text: str
    model: str
    """Id of the bundle, or name of the system's folder."""
    probability: float
    """P(spam), [0, 1]; of a published system, that of the second of its labels."""
    threshold: float
    label: str
    """``spam``, or the second label, from the threshold on."""
    words: tuple[Evidence, ...] = ()
    """The words that moved the logit most; a published system tells none."""


def predict(texts: Sequence[bytes], folder: Path | None, channel: Channel | None) -> list[Prediction]:
    """One prediction per text, by the bundle or system in ``folder``, else by the package's bundle of the channel.

    A text is what the daemon would receive: an SMS in UTF-8, or a message, which may lack its headers. Without
    folder and channel they are SMS. Raises BundleError, ManifestError, ScanFailed.
    """
    if folder is None:
        return _by_bundle(texts, packaged_models() / (channel or Channel.SMS).value, channel)
    if (folder / SPEC_FILE).is_file():
        return _by_bundle(texts, folder, channel)
    if (folder / RECIPE_FILE).is_file():
        return _by_system(texts, folder)
    raise ManifestError(f"{folder}: holds neither {SPEC_FILE} nor {RECIPE_FILE}; name a folder that trainer wrote")


def _by_bundle(texts: Sequence[bytes], folder: Path, channel: Channel | None) -> list[Prediction]:
    limits = ParseLimits()
    model = LoadedModel.open(folder, limits)
    spec = model.spec
    if channel not in {None, spec.channel}:
        raise ContractMismatch(f"{folder} is a bundle of channel {spec.channel.value}; leave --channel out")
    scorer = Scorer({spec.channel: model}, limits)
    found = ((text, scorer.scan(spec.channel, text)) for text in texts)
    return [
        Prediction(
            text=_shown(text),
            model=spec.id,
            probability=scan.probability,
            threshold=spec.points[POINT],
            label=(Label.SPAM if scan.probability >= spec.points[POINT] else Label.HAM).value,
            words=scan.evidence,
        )
        for text, scan in found
    ]


def _by_system(texts: Sequence[bytes], folder: Path) -> list[Prediction]:
    from trainer.published.served import Served  # noqa: PLC0415  # a bundle needs nothing of it

    system = Served.open(folder)
    shown = [_shown(text) for text in texts]
    return [
        Prediction(
            text=text,
            model=folder.resolve().name,
            probability=probability,
            threshold=system.threshold,
            label=system.classes[probability >= system.threshold],
        )
        for text, probability in zip(shown, system.predict(shown).tolist(), strict=True)
    ]


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def as_json(prediction: Prediction) -> dict[str, object]:
    """The fields by name; words as pairs of word and weight."""
    return {
        "text": prediction.text,
        "model": prediction.model,
        "probability": prediction.probability,
        "threshold": prediction.threshold,
        "label": prediction.label,
        "words": [[each.token, each.weight] for each in prediction.words],
    }


def as_row(prediction: Prediction) -> str:
    """``0.9866  spam   call +0.17, claim +0.12``, without a character that could steer a terminal."""
    words = ", ".join(f"{each.token} {each.weight:+.2f}" for each in prediction.words)
    row = f"{prediction.probability:.4f}  {prediction.label:4}   {words or '-'}"
    return "".join(c if c.isprintable() else "?" for c in row)
