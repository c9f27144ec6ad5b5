"""What the operator wants done: thresholds, allow and deny lists, and what a failed scan means.

Precedence, first match wins:

1. a released message passes (its signature was checked at the edge);
2. list entries of the recipient, then of the recipient's domain, then global ones; within one scope an
   address or phone number beats a domain (the longest first), a domain beats an IP address or network (the
   narrowest first); where an allow and a deny entry are equally narrow, allow wins: lost mail costs more than
   seen spam;
3. a failed scan: ``unscannable`` and ``scan_down`` say what happens;
4. reports on near-duplicates, where they say otherwise than the thresholds (``core.reported``);
5. the thresholds, the most severe action first.

Entries are matched against the envelope sender, the visible author (From) and the client's IP address. An entry
is as trustworthy as what it matches: senders can be forged, so prefer networks, let the mail server in front refuse
forgeries first, or have allow entries count only for authors whose domain vouches for them (``allow_needs_auth``).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from filterd.core.auth_results import DKIM_ALIGNED, DMARC_GOOD
from filterd.core.envelope import Envelope, Recipient, address_key, domain_of
from filterd.core.reported import Agreement, Reported
from filterd.core.verdict import Action, Decision, Label, Reason, Scan, ScanFailure

Threshold = str | float
"""Name of an operating point of the bundle, or a probability in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderList:
    """Allow or deny entries of one scope: ``a@b``, ``b``, ``192.0.2.0/24``, ``+15551234567``.

    A domain entry covers its subdomains.
    """

    senders: frozenset[str] = frozenset()
    """Addresses, domains and phone numbers, lower case."""
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def of(cls, entries: tuple[str, ...]) -> SenderList:
        """The list that ``entries`` describe. A leading ``@`` of a domain is optional.

        Raises ValueError with the entry for one that is neither address, domain, number nor network.
        """
        senders: set[str] = set()
        networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in entries:
            text = entry.strip().lower()
            network = _network(text)
            if network is not None:
                networks.append(network)
                continue
            name = text.removeprefix("@").rstrip(".")
            if name.split() != [name]:
                raise ValueError(f"{entry!r} is not an address, domain, phone number or network")
            senders.add(name)
        return cls(senders=frozenset(senders), networks=_narrowest_first(networks))

    @property
    def is_empty(self) -> bool:
        """Whether it names nobody."""
        return not self.senders and not self.networks

    def joined(self, other: SenderList) -> SenderList:
        """The entries of both."""
        if other.is_empty or self.is_empty:
            return self if other.is_empty else other
        networks = _narrowest_first({*self.networks, *other.networks})
        return SenderList(senders=self.senders | other.senders, networks=networks)

    def match(self, senders: tuple[str, ...], peer: str) -> tuple[int, str]:
        """How narrowly an entry matches, 0 for none, and that entry. Higher is narrower."""
        best, name = 0, ""
        for sender in senders if self.senders else ():
            for rank, candidate in _names(sender):
                if rank > best and candidate in self.senders:
                    best, name = rank, candidate
        if best or not self.networks or not peer:
            return best, name
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return 0, ""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        for network in self.networks:
            if address.version == network.version and address in network:
                return 1 + network.prefixlen, str(network)
        return 0, ""


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> _Network | None:
    """None for what is no network; most entries can be told by a letter, thirty times as fast."""
    if _NO_NETWORK.search(text) and "%" not in text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


_NO_NETWORK = re.compile(r"[g-z@+_-]|^[0-9]*$")


def _narrowest_first(networks: Iterable[_Network]) -> tuple[_Network, ...]:
    return tuple(sorted(networks, key=lambda network: -network.prefixlen))


_DOMAIN_RANK = 1_000
_ADDRESS_RANK = 10_000


def _names(sender: str) -> list[tuple[int, str]]:
    """What may stand in a list for ``sender``, narrowest first, with its rank."""
    sender = sender.lower()
    if not sender:
        return []
    names = [(_ADDRESS_RANK, sender)]
    labels = domain_of(sender).split(".")
    names += [(_DOMAIN_RANK + len(labels) - i, ".".join(labels[i:])) for i in range(len(labels)) if labels[i]]
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What applies to one recipient. ``None`` means the action is never taken."""

    tag_at: Threshold | None = "normal"
    quarantine_at: Threshold | None = "lenient"
    reject_at: Threshold | None = None
    subject_tag: str = ""
    unscannable: Action = Action.QUARANTINE
    is_enabled: bool = True
    """False passes everything that no list entry names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One override: a recipient address or domain, its rule and its lists."""

    rule: Rule
    allow: SenderList = SenderList()
    deny: SenderList = SenderList()
    own: frozenset[str] = frozenset()
    """Fields of the rule that the scope itself says; in the others it follows the default."""


def scope_key(text: str) -> str:
    """What the scope of a recipient address, number or domain is looked up by; a domain's leading ``@`` is optional."""
    return address_key(text).removeprefix("@").rstrip(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything the operator decided, for one channel."""

    default: Scope = field(default_factory=lambda: Scope(rule=Rule()))
    overrides: Mapping[str, Scope] = field(default_factory=lambda: MappingProxyType({}))
    """Recipient address, phone number or domain (``scope_key``) -> what differs.

    A domain covers those below it; with a leading ``@``, it does not.
    """
    deny_action: Action = Action.QUARANTINE
    scan_down: Action = Action.DEFER
    """What applies now: the ladder from defer to accept is climbed by the pipeline."""
    can_reject: bool = True
    """False after the queue: a rejection there would be a bounce to a forged sender."""
    agreement: Agreement = field(default_factory=Agreement)
    """How many must agree before a report counts for others."""
    allow_needs_auth: bool = False
    """Whether an allow entry for an address or domain counts only where the author's domain vouches for the message."""

    def scopes(self, recipient: Recipient) -> tuple[Scope, ...]:
        """The scopes of ``recipient``, narrowest first; the last one is the default."""
        if not self.overrides:
            return (self.default,)
        address = address_key(recipient.address)
        names = (address, f"@{recipient.domain}", *(name for _, name in _names(address)[1:]))
        found = [self.overrides[name] for name in names if name in self.overrides]
        return (*found, self.default)


def decide(
    scan: Scan | ScanFailure,
    envelope: Envelope,
    recipient: Recipient,
    policy: Policy,
    reported: Reported | None = None,
) -> Decision:
    """The decision for one recipient; see the module docstring for the precedence.

    ``reported`` is what reports on near-duplicates of the message mean for this recipient.
    """
    scopes = policy.scopes(recipient)
    known = scan if isinstance(scan, Scan) else None
    listed = _listed(known, envelope, scopes, policy)
    rule = scopes[0].rule
    if listed is not None:
        return listed
    if not rule.is_enabled:
        return Decision(action=Action.ACCEPT, reason=Reason.ALLOWED, detail="filtering off", scan=known)
    if scan is ScanFailure.UNSCANNABLE:
        return Decision(action=_possible(rule.unscannable, policy), reason=Reason.UNSCANNABLE)
    if scan is ScanFailure.SCAN_DOWN or known is None:
        return Decision(action=policy.scan_down, reason=Reason.SCAN_DOWN)
    decision = _by_threshold(known, rule, policy)
    return decision if reported is None else _by_reports(decision, rule, reported)


def _by_reports(decision: Decision, rule: Rule, reported: Reported) -> Decision:
    """``decision`` where it agrees with the reports, else what they say.

    Reported spam is held where anything is, and never rejected: a report may be wrong, and what is held can be
    released.
    """
    if reported.label is Label.HAM:
        action = Action.ACCEPT
    elif rule.quarantine_at is not None or rule.reject_at is not None:
        action = Action.QUARANTINE
    elif rule.tag_at is not None:
        action = Action.TAG
    else:
        return decision
    severity = _SEVERITY[decision.action] - _SEVERITY[action]
    if severity == 0 or (severity > 0 and reported.label is Label.SPAM):
        return decision
    return Decision(
        action=action,
        reason=Reason.REPORTED,
        detail=f"{reported.label} to {reported.scope}, report {reported.reports[-1]}",
        threshold=decision.threshold,
        scan=decision.scan,
        subject_tag=rule.subject_tag if action is Action.TAG else "",
        reports=reported.reports,
    )


_SEVERITY = {Action.ACCEPT: 0, Action.TAG: 1, Action.QUARANTINE: 2, Action.REJECT: 3, Action.DEFER: 0}


def _listed(scan: Scan | None, envelope: Envelope, scopes: tuple[Scope, ...], policy: Policy) -> Decision | None:
    senders = (envelope.sender, scan.author) if scan and scan.author else (envelope.sender,)
    believed = _vouched_for(scan) if policy.allow_needs_auth else senders
    for scope in scopes:
        allowed, allow_entry = scope.allow.match(believed, envelope.peer.address)
        denied, deny_entry = scope.deny.match(senders, envelope.peer.address)
        if allowed and allowed >= denied:
            return Decision(action=Action.ACCEPT, reason=Reason.ALLOWED, detail=allow_entry, scan=scan)
        if denied:
            action = _possible(policy.deny_action, policy)
            return Decision(action=action, reason=Reason.DENIED, detail=deny_entry, scan=scan)
    return None


def _vouched_for(scan: Scan | None) -> tuple[str, ...]:
    """The author, where the mail server in front found that its domain sent the message."""
    is_vouched = scan is not None and not {DMARC_GOOD, DKIM_ALIGNED}.isdisjoint(scan.signals)
    return (scan.author,) if scan and is_vouched else ()


def _by_threshold(scan: Scan, rule: Rule, policy: Policy) -> Decision:
    steps = (
        (Action.REJECT, rule.reject_at),
        (Action.QUARANTINE, rule.quarantine_at),
        (Action.TAG, rule.tag_at),
    )
    for action, at in steps:
        threshold = threshold_of(at, scan)
        if threshold is not None and scan.probability >= threshold:
            taken = _possible(action, policy)
            return Decision(
                action=taken,
                reason=Reason.SPAM,
                detail=at if isinstance(at, str) else "",
                threshold=threshold,
                scan=scan,
                subject_tag=rule.subject_tag if taken is Action.TAG else "",
            )
    found = [threshold_of(at, scan) for _, at in steps]
    lowest = min((threshold for threshold in found if threshold is not None), default=None)
    return Decision(action=Action.ACCEPT, reason=Reason.HAM, threshold=lowest, scan=scan)


def threshold_of(at: Threshold | None, scan: Scan) -> float | None:
    """The probability that ``at`` means for the bundle of ``scan``; None where the action is never taken."""
    return scan.points.get(at, _UNREACHABLE) if isinstance(at, str) else at


_UNREACHABLE = 2.0
"""A probability no message has: an operating point the bundle does not name never acts."""


def _possible(action: Action, policy: Policy) -> Action:
    return Action.QUARANTINE if action is Action.REJECT and not policy.can_reject else action
