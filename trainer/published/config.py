"""What a recipe of kind ``sequence`` may say: words to ids, an embedding, recurrent layers, a dense head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType


class CorpusName(StrEnum):
    """What is read; the archive has the same name."""

    SMS_UCI = "sms-uci"
    SMS_YOUTUBE = "sms-yt-combined"
    """SMS and YouTube comments, every row as it stands in the file, repeats included."""
    IMDB = "imdb-aclimdb"


class Cleaning(StrEnum):
    """How text becomes words."""

    LETTERS = "letters"
    """Everything but letters and spaces is dropped, then lower case."""
    SPACED = "spaced"
    """Lower case, punctuation becomes a space: Keras's ``Tokenizer``."""
    STRIPPED = "stripped"
    """Lower case, punctuation is dropped: Keras's ``TextVectorization``."""


class Side(StrEnum):
    """An end of a sequence."""

    LEFT = "left"
    RIGHT = "right"


class Unknown(StrEnum):
    """What becomes of a word that is not in the vocabulary."""

    KEEP = "keep"
    """It has an id of its own, 1."""
    DROP = "drop"


class Cell(StrEnum):
    """Kinds of recurrent layer."""

    SIMPLE = "simple-rnn"
    LSTM = "lstm"
    GRU = "gru"


class Activation(StrEnum):
    """Of a simple cell; LSTM and GRU have tanh."""

    TANH = "tanh"
    RELU = "relu"


class Head(StrEnum):
    """What comes out of the network."""

    LOGIT = "logit"
    SOFTMAX = "softmax"
    """Two classes, whose probabilities sum to 1."""


class Optimizer(StrEnum):
    """Keras's, with its defaults but for the rate."""

    ADAM = "adam"
    RMSPROP = "rmsprop"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """From text to ids. Id 0 is padding."""

    cleaning: Cleaning
    unknown: Unknown = Unknown.KEEP
    ids: int = 0
    """Rows of the embedding, padding and unknown words included; 0 is as many as there are words."""
    min_count: int = 1
    """How often a word must occur in the training texts."""
    length: int = 0
    """Most words of a text; 0 is no limit, and then the embedding must be masked."""
    padding: Side = Side.RIGHT
    cut: Side = Side.RIGHT
    """The end at which a text that is too long loses words."""
    is_masked: bool = False
    """Padding is no step; otherwise it is one like any other, and every text has the same length."""

    def __post_init__(self) -> None:
        if not self.is_masked and not self.length:
            raise ValueError("length is needed where the padding is not masked")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerConfig:
    """One recurrent layer."""

    cell: Cell
    units: int
    is_bidirectional: bool = False
    activation: Activation = Activation.TANH
    dropout: float = 0.0
    recurrent_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.cell is not Cell.SIMPLE and self.activation is not Activation.TANH:
            raise ValueError(f"activation {self.activation} is for {Cell.SIMPLE} only")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Embedding -> recurrent layers, the last step of the last -> dense -> dropout -> head."""

    embedding: int
    layers: tuple[LayerConfig, ...]
    head: Head = Head.LOGIT
    spatial_dropout: float = 0.0
    """Share of embedding channels hidden in training, each for all steps of a text."""
    dense: int = 0
    """Width of the ReLU layer before the head; 0 leaves it out."""
    dropout: float = 0.0
    """Before the head."""

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers must name at least one recurrent layer")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How it is trained."""

    optimizer: Optimizer
    learning_rate: float
    batch: int
    epochs: int
    seed: int = 7
    validation_rows: int = 0
    """Test rows of which the curves are made, the first ones; 0 is all. No choice is made from them."""
    is_compiled: bool = True
    """By XLA: half the time per step, some seconds more per length of a batch. Plain LSTM layers need it not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolConfig:
    """How the publication measures, and what it found."""

    test_share: float = 0.0
    """Share of rows that is drawn for the test; 0 where the corpus has a test part of its own."""
    published: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """``test accuracy`` or ``training accuracy`` -> per cent."""
    source: str = ""
    """What was published where."""
    notes: tuple[str, ...] = ()
    """What the recipe had to choose for itself, for the card."""
    new_text: str = ""
    """A sentence of our own that the card shows the prediction of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceConfig:
    """One published system."""

    title: str
    corpus: CorpusName
    text: TextConfig
    network: NetworkConfig
    fit: FitConfig
    protocol: ProtocolConfig
    sample: int = 0
    """Most rows of a quick run; 0 is all."""


def quick(config: SequenceConfig) -> SequenceConfig:
    """The same system in seconds: few rows, small layers, one epoch."""
    text = config.text
    small = replace(text, ids=min(text.ids or 200, 200), min_count=min(text.min_count, 2), length=min(text.length, 30))
    layers = tuple(replace(layer, units=min(layer.units, 6)) for layer in config.network.layers)
    network = replace(config.network, embedding=8, layers=layers, dense=min(config.network.dense, 6))
    fit = replace(config.fit, batch=32, epochs=1, learning_rate=1e-2, validation_rows=64, is_compiled=False)
    return replace(config, text=small, network=network, fit=fit, sample=300)
