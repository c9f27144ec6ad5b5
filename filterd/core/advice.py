"""What a client that only asks is told: an answer and a score on the scale its rules were written for.

Two scales. SpamAssassin's: 5.0 is where the first action starts. rspamd's: 6 is where the first action starts
(``add header``), 15 where messages are held or refused (``reject``). Between and beyond, a point is a unit of log-odds,
stretched where both marks are given, so that a higher probability never has a lower score:

    SpamAssassin    5 + logit(p) - logit(first)
    rspamd          6 + 9 (logit(p) - logit(first)) / (logit(last) - logit(first))      first <= p <= last
                    6 + logit(p) - logit(first) below, 15 + logit(p) - logit(last) above

Lists and people's reports decide otherwise than the probability. The score then is the one nearest to it that says the
same as the decision: clients compare numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from filterd.core.calibration import odds_of
from filterd.core.envelope import MessageId, Recipient
from filterd.core.headers import MAX_SCORE, REQUIRED_SCORE, lines_of, names_of, score_of
from filterd.core.policy import Policy, threshold_of
from filterd.core.verdict import Action, Decision, Verdict

ADD_HEADER_SCORE = 6.0
REJECT_SCORE = 15.0
"""Where rspamd's stock configuration puts these actions."""
_STEP = 0.1
SEVERITY: Mapping[Action, int] = MappingProxyType(
    {Action.ACCEPT: 0, Action.TAG: 1, Action.QUARANTINE: 2, Action.REJECT: 3, Action.DEFER: 4}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Where a recipient's actions start: probabilities, [0, 1]; None where there is no such action."""

    first: float | None = None
    """The lowest."""
    last: float | None = None
    """Where messages are held or refused, whichever comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What was decided about a message that a client asks about."""

    id: MessageId
    decision: Decision
    marks: Marks = Marks()  # frozen

    @property
    def is_spam(self) -> bool:
        """Whether something would be done with it here."""
        return self.decision.action is not Action.ACCEPT

    @property
    def names(self) -> tuple[str, ...]:
        """The reason and the signals, as X-Spam-Status names them."""
        return names_of(self.decision)

    @property
    def score(self) -> float:
        """On SpamAssassin's scale: at least 5.0 exactly where it is spam; one decimal."""
        scan = self.decision.scan
        score = 0.0 if scan is None else score_of(scan, self.marks.first)
        return max(score, REQUIRED_SCORE) if self.is_spam else min(score, REQUIRED_SCORE - _STEP)

    @property
    def lines(self) -> tuple[str, ...]:
        """Our header fields about it, without their last CRLF."""
        return lines_of(self.id, self.decision, None if self.decision.scan is None else self.score)

    @property
    def rspamd_score(self) -> float:
        """On rspamd's scale: in the band of its action; one decimal."""
        low, high = _BANDS[self.decision.action]
        scan = self.decision.scan
        score = 0.0 if scan is None else _stretched(scan.probability, self.marks)
        return max(low, min(high, round(score, 1) + 0.0))  # not -0.0


_BANDS: Mapping[Action, tuple[float, float]] = MappingProxyType(
    {
        Action.ACCEPT: (-MAX_SCORE, ADD_HEADER_SCORE - _STEP),
        Action.TAG: (ADD_HEADER_SCORE, REJECT_SCORE - _STEP),
        Action.QUARANTINE: (REJECT_SCORE, MAX_SCORE),
        Action.REJECT: (REJECT_SCORE, MAX_SCORE),
        Action.DEFER: (0.0, 0.0),
    }
)


def action_of(advice: Advice, quarantine_as: str) -> str:
    """The name rspamd gives the action; what would be held here is called ``quarantine_as``."""
    decision = advice.decision
    if decision.action is Action.TAG and decision.subject_tag:
        return "rewrite subject"
    return name_of(decision.action, quarantine_as)


def name_of(action: Action, quarantine_as: str) -> str:
    """The name rspamd gives ``action`` as such."""
    return quarantine_as if action is Action.QUARANTINE else _ACTIONS[action]


_ACTIONS: Mapping[Action, str] = MappingProxyType(
    {
        Action.ACCEPT: "no action",
        Action.TAG: "add header",
        Action.REJECT: "reject",
        Action.DEFER: "soft reject",
    }
)


def _stretched(probability: float, marks: Marks) -> float:
    odds = odds_of(probability)
    first = odds_of(0.5 if marks.first is None else marks.first)
    if marks.last is None:
        return ADD_HEADER_SCORE + odds - first
    last = odds_of(marks.last)
    if odds >= last or last <= first:
        return REJECT_SCORE + odds - last
    if odds <= first:
        return ADD_HEADER_SCORE + odds - first
    return ADD_HEADER_SCORE + (REJECT_SCORE - ADD_HEADER_SCORE) * (odds - first) / (last - first)


def marks_of(decision: Decision, recipient: str, policy: Policy) -> Marks:
    """Where the actions of ``recipient`` start; no marks where nothing was scored."""
    if decision.scan is None:
        return Marks()
    rule = policy.scopes(Recipient(address=recipient))[0].rule
    found = [threshold_of(at, decision.scan) for at in (rule.tag_at, rule.quarantine_at, rule.reject_at)]
    held = [at for at in found[1:] if at is not None]
    return Marks(
        first=min((at for at in found if at is not None), default=None),
        last=min(held, default=None),
    )


def mildest(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict a client is told where recipients' rules differ: one answer is for all, and ham lost costs most."""
    return min(verdicts, key=lambda verdict: SEVERITY[verdict.decision.action])
