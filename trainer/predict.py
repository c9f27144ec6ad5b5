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
_EVEN = 0.5
"""A published system has no operating points; it decides for the likelier label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of one text."""

    text: str
    model: str
    """Id of the bundle, or name of the system's folder."""
    probability: float
    """P(spam), [0, 1]; of a system trained on reviews, P(positive)."""
    threshold: float
    label: Label
    """Spam from the threshold on."""
    words: tuple[Evidence, ...] = ()
    """The words that moved the linear path most; a published system tells none."""


def predict(texts: Sequence[bytes], folder: Path | None, channel: Channel | None) -> list[Prediction]:
    """One prediction per text, by the bundle or system in ``folder``, else by the package's bundle of the channel.

    A text is what the daemon would receive: an SMS in UTF-8, or a message, which may lack its headers. Without
    folder and channel they are SMS. Raises BundleError, ManifestError or Unscannable.
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
    made = []
    for text in texts:
        scan = scorer.scan(spec.channel, text)
        made.append(_made(text, spec.id, scan.probability, spec.points[POINT], scan.evidence))
    return made


def _by_system(texts: Sequence[bytes], folder: Path) -> list[Prediction]:
    from trainer.published.served import Served  # noqa: PLC0415  # reads tokenizers that a bundle does not need

    found = Served.open(folder).predict([text.decode("utf-8", "replace") for text in texts])
    return [_made(text, folder.name, float(p), _EVEN, ()) for text, p in zip(texts, found, strict=True)]


def _made(text: bytes, model: str, probability: float, threshold: float, words: tuple[Evidence, ...]) -> Prediction:
    return Prediction(
        text=text.decode("utf-8", "replace"),
        model=model,
        probability=probability,
        threshold=threshold,
        label=Label.SPAM if probability >= threshold else Label.HAM,
        words=words,
    )


def as_json(prediction: Prediction) -> dict[str, object]:
    """The fields by name; words as pairs of word and weight."""
    return {
        "text": prediction.text,
        "model": prediction.model,
        "probability": prediction.probability,
        "threshold": prediction.threshold,
        "label": prediction.label.value,
        "words": [[each.token, each.weight] for each in prediction.words],
    }


def as_row(prediction: Prediction) -> str:
    """``0.9866  spam   call +0.17, claim +0.12``, without a character that could steer a terminal."""
    words = ", ".join(f"{each.token} {each.weight:+.2f}" for each in prediction.words)
    row = f"{prediction.probability:.4f}  {prediction.label.value:4}   {words or '-'}"
    return "".join(c if c.isprintable() else "?" for c in row)
