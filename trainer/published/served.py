"""A published system as it is used: tokenizer, graph, ONNX Runtime; no Keras. Every figure comes from here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from trainer.errors import ManifestError
from trainer.logistic import probability_of
from trainer.manifest import RECIPE_FILE, read_folder
from trainer.published.tokenizer import Tokenizer, inputs

MODEL_FILE, TOKENIZER_FILE, LABELS_FILE = "model.onnx", "tokenizer.json", "labels.json"
REPORT_FILE, CARD_FILE, CURVES_FILE = "report.json", "card.md", "curves.png"


class Session:
    """A graph on one thread."""

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.output: str = self._session.get_outputs()[0].name

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """float32[B] logits, or float32[B, 2] probabilities."""
        return np.asarray(self._session.run([self.output], dict(feeds))[0], np.float32)

    def shapes(self) -> dict[str, dict[str, Any]]:
        """Name -> type and shape of every input and of the output, as ``labels.json`` states them."""
        both = [*self._session.get_inputs(), *self._session.get_outputs()]
        return {each.name: {"type": each.type, "shape": [_axis(axis) for axis in each.shape]} for each in both}


def _axis(axis: Any) -> int | None:
    """None where any size goes."""
    return axis if isinstance(axis, int) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A tokenizer and its graph."""

    tokenizer: Tokenizer
    session: Session
    classes: tuple[str, str]
    """The label that is looked for comes last."""
    threshold: float = 0.5

    @classmethod
    def open(cls, folder: Path) -> Served:
        """What a recipe wrote, every checksum verified. Raises ManifestError or ChecksumMismatch."""
        manifest, files = read_folder(folder)
        if manifest.name != RECIPE_FILE or not {MODEL_FILE, TOKENIZER_FILE, LABELS_FILE} <= files.keys():
            raise ManifestError(f"{folder}: holds no published system that scores text; train a recipe that does")
        return cls.of(files, str(folder))

    @classmethod
    def of(cls, files: Mapping[str, bytes], where: str) -> Served:
        """From the files of a folder by name. Raises ManifestError."""
        try:
            tree = json.loads(files[LABELS_FILE])
            negative, positive = tree["classes"]
            return cls(
                tokenizer=Tokenizer.from_json(files[TOKENIZER_FILE].decode()),
                session=Session(files[MODEL_FILE]),
                classes=(str(negative), str(positive)),
                threshold=float(tree["threshold"]),
            )
        except (ValueError, TypeError, KeyError) as exc:
            raise ManifestError(f"{where}: {LABELS_FILE} or {TOKENIZER_FILE} cannot be read ({exc})") from exc

    def predict(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """float64[N]: probability of the label that is looked for, [0, 1]; each text by itself."""
        config = self.tokenizer.config
        if not texts:
            return np.zeros(0)
        out = [self.session.run(inputs([row], config))[0] for row in self.tokenizer.ids(texts)]
        found = np.array(out, np.float64)
        return found[:, 1] if found.ndim > 1 else probability_of(found)

    def outputs_together(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the graph gives for all texts in one batch, padded to the longest."""
        return self.session.run(inputs(self.tokenizer.ids(texts), self.tokenizer.config))


def labels_json(session: Session, classes: tuple[str, str], threshold: float = 0.5) -> bytes:
    """``labels.json``: classes, threshold, and what the graph reads and gives."""
    tree = {"classes": classes, "threshold": threshold, "tensors": session.shapes()}
    return (json.dumps(tree, indent=1) + "\n").encode()
