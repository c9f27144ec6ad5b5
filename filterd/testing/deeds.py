"""Everything that can be taken back, from the books of a ``MemoryStore``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from filterd.core.envelope import MessageId, domain_of, is_within
from filterd.core.near import is_near
from filterd.core.overlay import ListEntry, told
from filterd.deed_ports import RULE_KINDS, Deed, DeedKind, Selection, Undone
from filterd.errors import UsageError
from filterd.ports import VerdictRow
from filterd.testing.ledger import MemoryLedger
from filterd.testing.rules import MemoryRules

Rows = Mapping[tuple[MessageId, tuple[str, ...]], VerdictRow]


@dataclass(slots=True)
class _Noted:
    """A release or a promotion."""

    kind: DeedKind
    number: int
    at: datetime
    by: str
    what: str
    message: MessageId | None
    revoked_at: datetime | None = None
    revoked_by: str = ""


class MemoryDeeds:
    """Implements ``deed_ports.Deeds``."""

    def __init__(
        self,
        rows: Rows,
        ledger: MemoryLedger,
        rules: MemoryRules,
        check: Callable[[], datetime],
        message_of: Callable[[MessageId], MessageId],
    ) -> None:
        """``check`` gives the time, or raises; ``message_of`` knows a message by any of its ids, or raises."""
        self._rows = rows
        self._ledger = ledger
        self._rules = rules
        self._check = check
        self._message_of = message_of
        self._noted: list[_Noted] = []

    def note(self, kind: DeedKind, what: str, by: str, message: MessageId | None = None) -> None:
        """Somebody released a message or promoted a bundle."""
        number = len(self._noted) + 1
        self._noted.append(_Noted(kind, number, self._check(), by, what, message))

    async def find(self, meant: Selection, *, has_revoked: bool = False, limit: int = 50) -> Sequence[Deed]:
        """See ``deed_ports.Deeds``."""
        found = self._meant(meant, has_revoked=has_revoked)
        return sorted(found, key=lambda deed: (deed.at, deed.number), reverse=True)[:limit]

    async def undo(self, meant: Selection, by: str, *, is_rehearsal: bool = False) -> Undone:
        """See ``deed_ports.Deeds``."""
        now = self._check()
        if meant.is_empty:
            raise UsageError("say what to undo")
        found = self._meant(meant, has_revoked=False)
        releases = [deed for deed in found if deed.kind is DeedKind.RELEASE]
        labels = {deed.number for deed in found if deed.kind is DeedKind.LABEL}
        own = {deed.number for deed in found if deed.kind in RULE_KINDS}
        for release in releases:
            labels |= self._ledger.given_with_release(release.message, release.by)
            own |= self._rules.given_with_release(release.message, release.by)
        undone = Undone(
            labels=tuple(sorted(labels)),
            rules=tuple(sorted(own)),
            releases=tuple(MessageId(deed.what) for deed in releases),
            promotions=tuple(deed.what for deed in found if deed.kind is DeedKind.PROMOTION),
        )
        if not is_rehearsal:
            self._ledger.take_back(labels, by, now)
            await self._rules.revoke(undone.rules, by)
            for each in self._noted:
                if each.revoked_at is None and each.what in {*undone.releases, *undone.promotions}:
                    each.revoked_at, each.revoked_by = now, by
        return undone

    def _meant(self, meant: Selection, *, has_revoked: bool) -> list[Deed]:
        message = None if meant.message is None else self._message_of(meant.message)
        campaign = None if meant.campaign is None else self._message_of(meant.campaign)
        return [
            deed
            for deed, entry in (*self._labels(), *self._list_entries(), *self._releases_and_promotions())
            if deed.kind in meant.kinds
            and (has_revoked or deed.revoked_at is None)
            and (message is None or deed.message == message)
            and meant.by in {"", deed.by}
            and (meant.since is None or deed.at >= meant.since)
            and (meant.until is None or deed.at < meant.until)
            and (campaign is None or self._is_near(deed.message, campaign))
            and (not meant.sender_domain or self._is_from(deed.message, entry, meant.sender_domain))
        ]

    def _labels(self) -> Iterator[tuple[Deed, str]]:
        for entry in self._ledger.entries():
            given = entry.feedback
            deed = Deed(
                kind=DeedKind.LABEL,
                number=entry.report.id,
                at=given.given_at,
                by=given.reporter,
                message=given.message_id,
                what=given.label.value,
                revoked_at=entry.revoked_at,
                revoked_by=entry.revoked_by,
            )
            yield deed, ""

    def _list_entries(self) -> Iterator[tuple[Deed, str]]:
        for row in self._rules.rows():
            rule = row.given.rule
            deed = Deed(
                kind=DeedKind(rule.kind.value) if isinstance(rule, ListEntry) else DeedKind.THRESHOLDS,
                number=row.id,
                at=row.given.given_at,
                by=row.given.by,
                message=row.given.message,
                what=told(rule),
                revoked_at=row.revoked_at,
                revoked_by=row.revoked_by,
            )
            yield deed, rule.entry if isinstance(rule, ListEntry) else ""

    def _releases_and_promotions(self) -> Iterator[tuple[Deed, str]]:
        for each in self._noted:
            deed = Deed(
                kind=each.kind,
                number=each.number,
                at=each.at,
                by=each.by,
                message=each.message,
                what=each.what,
                revoked_at=each.revoked_at,
                revoked_by=each.revoked_by,
            )
            yield deed, ""

    def _is_near(self, message: MessageId | None, campaign: MessageId) -> bool:
        own, others = self._fingerprints(message), self._fingerprints(campaign)
        return any(is_near(one, other) for one in own for other in others)

    def _fingerprints(self, message: MessageId | None) -> set[str]:
        return {row.fingerprint for (id, _), row in self._rows.items() if id == message}

    def _is_from(self, message: MessageId | None, entry: str, domain: str) -> bool:
        senders = {row.sender for (id, _), row in self._rows.items() if id == message} | {entry}
        return any(is_within(domain_of(sender) or sender, domain) for sender in senders)
