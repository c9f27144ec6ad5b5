"""A bundle with what people's labels do at once: the memory of near-duplicates and the online weights, as served."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from filterd.core import verdict
from filterd.core.bundle import Calibration
from filterd.core.calibration import odds_of
from filterd.core.envelope import Channel, MessageId
from filterd.core.influence import Caps
from filterd.core.message import ParseLimits
from filterd.core.reported import Agreement, Report, Reported, certainty, resolve
from filterd.core.verdict import Scan
from filterd.errors import Unscannable
from filterd.feedback_ports import LabelledInput, ReportChange
from filterd.fuzzy.campaigns import credits_of
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.loaded import LoadedModel, Scorer
from filterd.inference.online import SiteWeights
from trainer.example import Example
from trainer.systems.system import System

SITE = "user@site.example"
_SURE = 100.0
"""Added to the logit of a message that the memory decides about: past every threshold."""
_BACKGROUND = 300
_WEIGHED = 20_000
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Which effects of a label are on."""

    has_memory: bool
    has_weights: bool


class SiteReader:
    """Examples as the daemon's scanner sees them, each scanned once: runs over the same stream share a reader."""

    def __init__(self, channel: Channel, bundle: Path) -> None:
        """Raises BundleError."""
        self.channel = channel
        model = LoadedModel.open(bundle, ParseLimits())
        self.cut = _logit_of(model.spec.points["normal"], model.spec.calibration)
        self._scorer = Scorer({channel: model}, ParseLimits(), keeps_inputs=True, is_explaining=False)
        self._seen: dict[tuple[str, str], Scan | None] = {}

    def __call__(self, example: Example) -> Scan | None:
        """None for what cannot be scanned."""
        key = (example.corpus, example.id)
        if key not in self._seen:
            try:
                self._seen[key] = self._scorer.scan(self.channel, example.raw)
            except Unscannable:
                self._seen[key] = None
        return self._seen[key]


class Site:
    """One site's labels at work; scores are logits. Every label is of one reporter and counts for that reporter."""

    name = "bundle with reports"

    def __init__(self, reader: SiteReader, parts: Parts, caps: Caps | None = None, *, weighed_every: int = 10) -> None:
        """Labels are weighed after every ``weighed_every`` of them; the daemon does so every time.

        Without ``caps`` there are none: labels bear no dates here, and a corpus would be a single day's.
        """
        self._weighed_every = weighed_every
        self._reader = reader
        self._caps = caps or Caps(reporter_daily=_WEIGHED, sender_daily=_WEIGHED)
        self.cut = reader.cut
        self._parts = parts
        self._agreement = Agreement()
        self.memory, self.weights = ReportedMemory(), SiteWeights()
        self._unlabelled: deque[bytes] = deque(maxlen=_BACKGROUND)
        self._next = 1
        self._worth: dict[str, float] = {}
        """Of each reporter's newest label, when labels were last weighed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def learn(self, examples: Sequence[Example]) -> None:
        """A label each, in this order."""
        for example in examples:
            self.report(example, SITE, (SITE,))

    def report(self, example: Example, reporter: str, recipients: tuple[str, ...]) -> None:
        """One person's label on a message that went to ``recipients``."""
        scan = self._reader(example)
        if scan is None:
            return
        id, self._next = self._next, self._next + 1
        label = verdict.Label(example.label.value)
        if self._parts.has_memory and scan.fingerprint:
            report = Report(
                id=id,
                channel=self._reader.channel,
                message=MessageId(example.id),
                fingerprint=scan.fingerprint,
                label=label,
                reporter=reporter,
                recipients=recipients,
                given_at=_START,
                sender=example.id,
                model=scan.model,
            )
            self.memory.apply([ReportChange(report=report, changed_at=_START, is_standing=True)])
            self._weigh(id)
        if self._parts.has_weights:
            self.weights.learn(
                self._reader.channel,
                scan.model,
                [_input(id, example, label, scan, reporter, recipients)],
                {id: self._worth.get(reporter, 1.0)},
                self._unlabelled,
            )

    def _weigh(self, id: int) -> None:
        """Hold labels against each other, as the daemon does whenever one is new."""
        if id % self._weighed_every:
            return
        reports = self.memory.newest(_WEIGHED)
        credit = credits_of(reports, self._caps)
        self.memory.weigh(credit)
        self._worth = {report.reporter: credit[report.id].weight for report in reports}

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]: logits; past everything where the memory decides."""
        return np.array([self.judge(example, SITE)[0] for example in examples], np.float64)

    def judge(self, example: Example, recipient: str) -> tuple[float, Reported | None]:
        """The logit for mail to ``recipient``, and what the memory decided."""
        scan = self._reader(example)
        if scan is None:
            return 0.0, None
        near = self.memory.find(self._reader.channel, scan.fingerprint)
        found = resolve(near, recipient, self._agreement, certainty(scan.probability, scan.points))
        corrected = self.weights.correct(self._reader.channel, scan, recipient)
        self._unlabelled.append(scan.tokens)
        logit = corrected.logit + corrected.correction
        if found is not None:
            logit += _SURE if found.label is verdict.Label.SPAM else -_SURE
        return logit, found


def _logit_of(probability: float, calibration: Calibration) -> float:
    """The logit that has this probability."""
    return (odds_of(probability) - calibration.bias) / calibration.scale


def _input(
    id: int, example: Example, label: verdict.Label, scan: Scan, reporter: str, recipients: tuple[str, ...]
) -> LabelledInput:
    return LabelledInput(
        id=id,
        message=MessageId(example.id),
        channel=example.channel,
        label=label,
        reporter=reporter,
        given_at=_START,
        sender="",
        recipients=recipients,
        fingerprint=scan.fingerprint,
        is_for_all=False,
        model=scan.model,
        logit=scan.logit,
        hashing=scan.hashing,
        tokens=scan.tokens,
    )


class Late:
    """A system that hears of each report only after so many more messages."""

    def __init__(self, system: System, messages: int) -> None:
        self._system = system
        self._messages = messages
        self._waiting: deque[tuple[int, Example]] = deque()
        self._judged = 0
        self.name, self.cut = system.name, system.cut

    def __enter__(self) -> Self:
        self._system.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._system.__exit__(None, None, None)

    def learn(self, examples: Sequence[Example]) -> None:
        """Later."""
        self._waiting.extend((self._judged + self._messages, replace(example)) for example in examples)

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)], after what is due was learned."""
        while self._waiting and self._waiting[0][0] <= self._judged:
            self._system.learn([self._waiting.popleft()[1]])
        self._judged += len(examples)
        return self._system.score(examples)
