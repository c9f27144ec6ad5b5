"""What bundles of a channel there are, and what each is there for; a file that cannot be read hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from filterd.core.bundle import CARD_FILE, REPORT_FILE, BundleSpec
from filterd.core.bundle_report import BundleReport, report_from_json
from filterd.core.envelope import Channel
from filterd.errors import BundleError, NotFound
from filterd.inference.registry import Registry, read_spec, read_text
from filterd.model_ports import Trial

UNREAD = "none"
"""Instead of the id of a bundle outside the registry that cannot be read."""
T = TypeVar("T")


class Standing(StrEnum):
    """What a bundle is there for."""

    IN_SERVICE = "in_service"
    PREVIOUS = "previous"
    ON_TRIAL = "on_trial"
    PACKAGED = "packaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One bundle."""

    id: str
    folder: Path
    standings: frozenset[Standing]
    spec: BundleSpec | None
    """None where it cannot be read."""
    trouble: str = ""
    """Why not."""

    @property
    def is_in_service(self) -> bool:
        """Whether the registry, or the configuration, names it."""
        return Standing.IN_SERVICE in self.standings


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The bundles of one channel."""

    channel: Channel
    versions: tuple[Version, ...]
    """The newest first."""
    previous: str
    """Id of the bundle that served before; empty where none did."""
    trial: Trial | None
    is_pinned: bool
    """The configuration names the bundle that serves, whatever is promoted."""
    trouble: str
    """What of the registry cannot be read; empty where all can."""

    @property
    def in_service(self) -> Version | None:
        """The bundle that is to serve; None where the pointer to it cannot be read."""
        return next((version for version in self.versions if version.is_in_service), None)

    @property
    def candidates(self) -> Sequence[Version]:
        """What can be put on trial: published bundles that can be read and do not serve."""
        return tuple(
            version
            for version in self.versions
            if version.spec is not None and not version.is_in_service and Standing.PACKAGED not in version.standings
        )

    def find(self, id: str) -> Version:
        """The bundle ``id``. Raises NotFound."""
        for version in self.versions:
            if version.id == id:
                return version
        raise NotFound(f"no bundle {id} of channel {self.channel.value}")


def shelf_of(registry: Registry, channel: Channel, pinned: str = "") -> Shelf:
    """The bundles of ``channel``; ``pinned`` is the folder that the configuration names, if any."""
    troubles: list[str] = []

    def read(get: Callable[[], T], otherwise: T) -> T:
        try:
            return get()
        except BundleError as exc:
            troubles.append(exc.detail)
            return otherwise

    # Where the pointer cannot be read, the bundle behind it cannot be known either.
    serving = read(lambda: registry.serving(channel, pinned), None)
    previous = "" if serving is None else read(lambda: previous_of(registry, channel), None) or ""
    trial = read(lambda: registry.trial(channel), None)
    published: tuple[str, ...] = read(lambda: registry.list(channel), ())
    packaged = registry.packaged(channel)
    folders = {registry.folder(channel, id): id for id in published}
    folders |= {path: _id_of(path) for path in (serving, packaged) if path is not None and path not in folders}
    found = []
    for folder, id in folders.items():
        marks = {
            Standing.IN_SERVICE: folder == serving,
            Standing.PREVIOUS: id == previous,
            Standing.ON_TRIAL: trial is not None and id == trial.id,
            Standing.PACKAGED: folder == packaged,
        }
        found.append(_version(id, folder, frozenset(mark for mark, is_meant in marks.items() if is_meant)))
    return Shelf(
        channel=channel,
        versions=tuple(sorted(_distinct(found), key=lambda version: version.id, reverse=True)),
        previous=previous,
        trial=trial,
        is_pinned=bool(pinned),
        trouble="; ".join(dict.fromkeys(troubles)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What a bundle says about itself."""

    card: str
    """Markdown; empty where there is none."""
    report: BundleReport
    trouble: str
    """What cannot be read; empty where all can."""


def papers_of(version: Version) -> Papers:
    """Card and report of ``version``."""
    troubles: list[str] = []
    card, report = "", BundleReport()
    try:
        card = read_text(version.folder, CARD_FILE)
    except BundleError as exc:
        troubles.append(exc.detail)
    try:
        report = report_from_json(read_text(version.folder, REPORT_FILE) or "{}")
    except BundleError as exc:
        troubles.append(exc.detail)
    return Papers(card=card, report=report, trouble="; ".join(troubles))


def previous_of(registry: Registry, channel: Channel) -> str | None:
    """Id of the bundle one would roll back to: before the first promotion the one in the package served.

    Raises BundleError.
    """
    previous, current = registry.previous(channel), registry.current(channel)
    if previous is not None or current is None:
        return previous
    packaged = packaged_id(registry, channel)
    return packaged if packaged != current else None


def packaged_id(registry: Registry, channel: Channel) -> str | None:
    """Id of the bundle in the package; None where there is none that can be read."""
    try:
        return read_spec(registry.packaged(channel)).id
    except BundleError:
        return None


def _id_of(folder: Path) -> str:
    try:
        return read_spec(folder).id
    except BundleError:
        return UNREAD


def _version(id: str, folder: Path, standings: frozenset[Standing]) -> Version:
    try:
        return Version(id=id, folder=folder, standings=standings, spec=read_spec(folder))
    except BundleError as exc:
        return Version(id=id, folder=folder, standings=standings, spec=None, trouble=exc.detail)


def _distinct(versions: list[Version]) -> Iterable[Version]:
    """One of each id: copies are one bundle, and of these the one that serves counts."""
    seen: dict[str, Version] = {}
    for version in sorted(versions, key=lambda version: not version.is_in_service):
        known = seen.setdefault(version.id, version)
        seen[version.id] = replace(known, standings=known.standings | version.standings)
    return seen.values()
