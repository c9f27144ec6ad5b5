"""What every track is handed: what to measure, on which data, how much of it, and where pictures go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.inference.loaded import LoadedModel
from trainer.errors import TrainerError


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One run of one track."""

    channel: Channel
    data: Path
    """Folder of the corpora."""
    bundle: Path | None = None
    """Folder of the bundle; None for a track that trains its own models only."""
    plots: Path | None = None
    """Folder that receives PNG files, made when the first is written; None draws nothing."""
    jobs: int = 2
    """Processes that read messages."""
    is_fast: bool = False
    """A sample of the data, in seconds, for CI; its figures mean nothing."""
    seeds: tuple[int, ...] = (7, 11, 23, 42, 101)
    say: Callable[[str], None] = silent
    """Told where a long run has got to."""

    def folder(self) -> Path:
        """The bundle's folder. Raises TrainerError where none was named."""
        if self.bundle is None:
            raise TrainerError("this track measures a bundle; name its folder with --bundle")
        return self.bundle

    def model(self) -> LoadedModel:
        """The bundle, verified and self-tested, as the daemon opens it. Raises BundleError or TrainerError."""
        return LoadedModel.open(self.folder(), ParseLimits())

    def command(self, track: str) -> str:
        """What repeats this run from a checkout with the corpora."""
        bundle = "" if self.bundle is None else f" --bundle {_short(self.bundle)}"
        return f"trainer evaluate --track {track} --channel {self.channel}{bundle}{' --fast' if self.is_fast else ''}"


def _short(folder: Path) -> str:
    """The folder as seen from the checkout; only its name where it lies elsewhere: no path of a machine is told."""
    root = Path(__file__).parents[2]
    resolved = folder.resolve()
    return str(resolved.relative_to(root)) if resolved.is_relative_to(root) else folder.name
