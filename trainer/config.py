"""What a training run may vary: caps, splits, sizes, rates. One recipe per channel: ``recipes/{email,sms}.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from filterd.core.envelope import Channel
from trainer import recipe

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """How examples are chosen and divided."""

    caps: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    """``corpus/label`` -> most examples."""
    group_caps: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    """Corpus -> most examples of each of its groups."""
    held_groups: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Corpus -> group -> split, for corpora that are divided by group; groups not named are for training."""
    whole_groups: tuple[str, ...] = ("own-modern",)
    """Corpora without dates of which a group is never divided."""
    train_ratio: float = 0.65
    """Share of a corpus, oldest first, that is trained on."""
    until_test_ratio: float = 0.80
    """Share of a corpus before the test begins; what lies between is the validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Sizes of the network."""

    cell: str = "lstm"
    """lstm or gru."""
    embedding: int = 48
    filters: int = 0
    """Width of the convolution before the recurrence; 0 leaves convolution and pooling out."""
    pool: int = 1
    """Steps that the pooling before the recurrence makes into one."""
    units: int = 64
    bidirectional: bool = True
    dense: int = 48
    has_passages: bool = True
    """Whether every step also scores by itself, and the soft maximum of these scores counts."""
    word_dropout: float = 0.15
    """Share of tokens hidden from the deep path while training."""
    side_dropout: float = 0.5
    """Share of messages from which a group of side features is hidden while training, group by group."""
    dropout: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training run."""

    channel: Channel
    split: SplitConfig
    model: ModelConfig
    seed: int = 7
    epochs: int = 3
    average: float = 0.995
    """Decay per step of the running average of the weights, which is what is measured and kept; 0 keeps the last."""
    patience: int = 3
    """Epochs without a better guarded figure after which training ends."""
    batch: int = 64
    epoch_examples: int = 16_000
    """Examples drawn per epoch, balanced over labels and corpora."""
    learning_rate: float = 2e-3
    ham_weight: float = 2.0
    """How much heavier a ham counts in the loss than a spam."""
    label_smoothing: float = 0.02
    flatten_share: float = 0.0
    """Share of training SMS read once more in lower case without digits, as some corpora store them."""
    disguise_share: float = 0.0
    """Share of training messages read once more with one of the tricks of ``trainer.augment``."""
    sample: int | None = None
    """Most examples per corpus and label in a quick run."""


def defaults(channel: Channel) -> TrainConfig:
    """What `trainer train` does unless told otherwise; the report of a bundle says what it was made with."""
    return recipe.find(channel.value).into(TrainConfig)


def quick(config: TrainConfig) -> TrainConfig:
    """The same line in seconds: few examples, a small network, one epoch."""
    small = replace(config.model, embedding=8, filters=8 if config.model.filters else 0, units=8, dense=8)
    return replace(config, model=small, sample=150, epochs=1, batch=32, epoch_examples=1536, learning_rate=1e-2)
