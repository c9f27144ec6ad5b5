"""A message in parts: which recipients one decision holds for, and how what became of each is put together again.

One reply speaks for all recipients of SMTP (RFC 5321 section 4.1.1.4), one for each of LMTP (RFC 2033 section 4.2).
Nothing here acts.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from filterd.core.envelope import Envelope, Recipient
from filterd.core.policy import Policy, decide
from filterd.core.reported import Report, certainty, resolve
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reply, Scan, ScanFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One decision and the recipients it holds for."""

    envelope: Envelope
    decision: Decision
    policy: str = ""
    """Version of the policy that decided: it may be another one by the time the message has been handed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What became of one part."""

    part: Judged
    outcomes: tuple[Outcome, ...]
    """One for each recipient of the part, in their order."""

    @classmethod
    def alike(cls, part: Judged, outcome: Outcome) -> Self:
        """The same became of all its recipients."""
        return cls(part=part, outcomes=(outcome,) * len(part.envelope.recipients))


def _as_it_is(scan: Scan, _recipient: str) -> Scan:
    return scan


def group(
    scan: Scan | ScanFailure,
    envelope: Envelope,
    policy: Policy,
    reports: Sequence[Report] = (),
    correct: Callable[[Scan, str], Scan] = _as_it_is,
) -> list[Judged]:
    """One ``Judged`` per different decision, recipients in their order.

    ``reports`` are on near-duplicates; ``correct`` gives the scan for mail to one recipient, the same for a domain.
    """
    sure = certainty(scan.probability, scan.points) if isinstance(scan, Scan) else None
    known: dict[tuple[object, ...], Decision] = {}
    groups: list[tuple[Decision, list[Recipient]]] = []
    for recipient in envelope.recipients:
        reported = resolve(reports, recipient.address, policy.agreement, sure)
        key = (reported, recipient.domain, *(id(scope) for scope in policy.scopes(recipient)))
        if key not in known:
            own = correct(scan, recipient.address) if isinstance(scan, Scan) else scan
            known[key] = decide(own, envelope, recipient, policy, reported)
        decision = known[key]
        # Two domains may have two probabilities; as long as the same is done, it is done in one transaction.
        members = next((m for d, m in groups if replace(d, scan=None) == replace(decision, scan=None)), None)
        if members is None:
            groups.append((decision, [recipient]))
        else:
            members.append(recipient)
    return [Judged(envelope=envelope.only(tuple(members)), decision=decision) for decision, members in groups]


def with_one_reply(judged: tuple[Judged, ...]) -> tuple[Judged, ...]:
    """``judged`` where one reply speaks for all: what only some recipients' rules would reject is held for them."""
    if len(judged) < 2:
        return judged
    return tuple(
        replace(part, decision=replace(part.decision, action=Action.QUARANTINE))
        if part.decision.action is Action.REJECT
        else part
        for part in judged
    )


def by_outcome(handled: Handled) -> list[tuple[Judged, Outcome]]:
    """The part, split where different things became of its recipients; the words of replies make no difference."""
    found: dict[tuple[OutcomeKind, bool, int], tuple[Outcome, list[Recipient]]] = {}
    part = handled.part
    for recipient, outcome in zip(part.envelope.recipients, handled.outcomes, strict=True):
        key = (outcome.kind, outcome.ambiguous, outcome.reply.code)
        found.setdefault(key, (outcome, []))[1].append(recipient)
    return [
        (replace(part, envelope=part.envelope.only(tuple(members))), outcome) for outcome, members in found.values()
    ]


def in_order(envelope: Envelope, handled: Sequence[Handled]) -> tuple[Reply, ...]:
    """The reply to each recipient, in the order of ``envelope``."""
    told: dict[Recipient, deque[Reply]] = defaultdict(deque)
    for each in handled:
        for recipient, outcome in zip(each.part.envelope.recipients, each.outcomes, strict=True):
            told[recipient].append(outcome.reply)
    # Somebody who is named twice is judged alike both times, so that it does not matter which reply is whose.
    return tuple(told[recipient].popleft() for recipient in envelope.recipients)


def answer(outcomes: Sequence[Outcome]) -> Reply:
    """The first failure speaks for the message; else the next hop's own words where there are any."""
    failed = next((o.reply for o in outcomes if not o.reply.is_positive), None)
    if failed is not None:
        return failed
    return next((o.reply for o in outcomes if o.kind is OutcomeKind.RELAYED), outcomes[0].reply)
