"""The ways a bundle is measured: each a module with one function ``measure(Context) -> Measurement``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import cast

from filterd.core.envelope import Channel
from trainer.errors import TrainerError
from trainer.measurement import Measurement
from trainer.tracks.context import Context

Track = Callable[[Context], Measurement]

TRACKS: Mapping[str, str] = MappingProxyType(
    {
        "held-out": "trainer.tracks.held_out",
        "static": "trainer.tracks.static",
        "time": "trainer.tracks.time_order",
        "online": "trainer.tracks.online",
        "reports": "trainer.tracks.reports",
        "cross": "trainer.tracks.cross",
        "ablation": "trainer.tracks.ablation",
        "robustness": "trainer.tracks.robustness",
        "calibration": "trainer.tracks.calibration",
        "cost": "trainer.tracks.cost",
        "reviews": "trainer.tracks.reviews",
    }
)
"""Name on the command line -> module, imported when it is asked for: some need TensorFlow, most do not."""


_EMAIL_ONLY = ("reviews",)


def names(channel: Channel) -> tuple[str, ...]:
    """What there is to measure of a channel, in the order of the page."""
    return tuple(name for name in TRACKS if channel is Channel.EMAIL or name not in _EMAIL_ONLY)


def find(name: str) -> Track:
    """The track's ``measure``. Raises TrainerError for a name that is none."""
    if name not in TRACKS:
        raise TrainerError(f"there is no track {name!r}; choose one of {', '.join(TRACKS)} or all")
    return cast("Track", import_module(TRACKS[name]).measure)
