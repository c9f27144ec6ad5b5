"""Which of people's labels the next model is taught, and how much each counts; which are kept aside to judge it.

Pure. A label is a claim of whoever gave it, so that nobody, no sender's domain and no campaign may decide much: the
weight of each is capped. The newest labels are never taught: they are what candidate and incumbent are compared on.

Sources: Sculley and Cormack, CEAS 2008 (noisy feedback); Nelson et al., LEET 2008 (what one sender of labels can do);
Zheleva, Kolcz and Getoor, TOIS 2008 (trust by reporter).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import BundleSpec, ranges
from filterd.core.campaigns import leaders
from filterd.core.domains import Domains
from filterd.core.envelope import domain_of
from filterd.core.verdict import Label
from filterd.feedback_ports import LabelledInput


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRules:
    """How much labels count. Weights are in units of one message's label."""

    campaign: float = 5.0
    """Most that all near-duplicates of one text count."""
    domain: float = 20.0
    """Most that all messages of one sender's domain count."""
    reporter: float = 50.0
    """Most that all labels of one person count."""
    newest_share: float = 0.2
    """Share of the labels, the newest, that is kept aside."""
    most_share: float = 0.2
    """Largest share of a label's draws in training that is feedback, however much of it there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """The ledger's labels as a candidate uses them."""

    taught: tuple[LabelledInput, ...]
    weights: NDArray[np.float64]
    """float64[taught]: what each counts."""
    newest: tuple[LabelledInput, ...]
    """Kept aside, one a message."""
    lineage: tuple[tuple[int, int], ...]
    """Numbers of the labels that are taught, as a bundle's spec has them: of a message all that agree."""


def divide(
    labels: Sequence[LabelledInput],
    incumbent: BundleSpec,
    frozen: Iterable[str] = (),
    rules: FeedbackRules | None = None,
    domains: Domains | None = None,
) -> Divided:
    """Labels to teach and labels to judge by. ``frozen`` are fingerprints of the golden set: near ones are neither.

    A campaign is on one side whole: it is among the newest when its first label is, else it is taught. So is every
    message that the incumbent was taught, which would have an advantage there.
    """
    rules = rules or FeedbackRules()
    settled = sorted(_settled(labels), key=lambda each: (each.given_at, each.id))
    golden = sorted(set(frozen))
    groups = leaders([*golden, *(each.fingerprint for each in settled)])
    forbidden, groups = set(groups[: len(golden)].tolist()), groups[len(golden) :]
    usable = [i for i in range(len(settled)) if int(groups[i]) not in forbidden]
    cut = len(usable) - int(rules.newest_share * len(usable))
    old = {int(groups[i]) for i in usable[:cut]}
    old |= {int(groups[i]) for i in usable if incumbent.was_taught(settled[i].id)}
    taught = [i for i in usable if int(groups[i]) in old]
    agreed = {(settled[i].message, settled[i].label) for i in taught}
    return Divided(
        taught=tuple(settled[i] for i in taught),
        lineage=ranges(each.id for each in labels if (each.message, each.label) in agreed),
        weights=weights([settled[i] for i in taught], groups[taught], rules, domains),
        newest=tuple(settled[i] for i in usable if int(groups[i]) not in old),
    )


def weights(
    labels: Sequence[LabelledInput],
    groups: NDArray[np.int64],
    rules: FeedbackRules,
    domains: Domains | None = None,
) -> NDArray[np.float64]:
    """float64[N]: 1 each, less where a campaign (``groups``, int64[N]), a domain or a reporter would exceed its cap."""
    registrable = (domains or Domains()).registrable
    found = np.ones(len(labels), np.float64)
    senders = [registrable(domain_of(each.sender))[0] or each.sender for each in labels]
    for keys, cap in (
        ([str(group) for group in groups], rules.campaign),
        (senders, rules.domain),
        ([each.reporter for each in labels], rules.reporter),
    ):
        if keys:
            _, inverse = np.unique(np.array(keys), return_inverse=True)
            totals = np.bincount(inverse, weights=found)
            found *= np.minimum(1.0, cap / totals)[inverse]
    return found


def _settled(labels: Sequence[LabelledInput]) -> list[LabelledInput]:
    """One label for each message: what most of its reporters say, by the first who did; none where they are even."""
    by_message: dict[str, list[LabelledInput]] = {}
    for each in labels:
        by_message.setdefault(each.message, []).append(each)
    found = []
    for given in by_message.values():
        balance = sum(1 if each.label is Label.SPAM else -1 for each in given)
        if balance:
            wanted = Label.SPAM if balance > 0 else Label.HAM
            found.append(min((each for each in given if each.label is wanted), key=lambda each: each.id))
    return found
