"""Report addresses: mail to them is a report, and is believed of few.

A report moves what others receive, so a sender that anybody can write into MAIL FROM is worth nothing. It is believed
where a trusted proxy tells who logged in (XCLIENT LOGIN) and the sender is that person; or where the client is one
that vouches for its senders, by the connection and by XFORWARD alike, and the sender is listed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from filterd.core.envelope import Envelope, Peer, address_key, domain_of
from filterd.core.networks import Networks
from filterd.core.verdict import Label, Reply
from filterd.settings import LearningSettings

TakeReport = Callable[[Envelope, bytes, tuple[Label, ...]], Awaitable[Reply]]


async def _take_none(_envelope: Envelope, _raw: bytes, _labels: tuple[Label, ...]) -> Reply:
    raise NotImplementedError


class ReportDesk:
    """Knows the report addresses and whose reports are believed."""

    def __init__(self, settings: LearningSettings | None = None, take: TakeReport = _take_none) -> None:
        """Without ``settings`` there is no report address."""
        settings = settings or LearningSettings()
        self.take = take
        self._addresses = (
            (address_key(settings.report_spam_to), Label.SPAM),
            (address_key(settings.report_ham_to), Label.HAM),
        )
        self._networks = Networks(settings.report_networks)
        self._reporters = frozenset(address_key(reporter).removeprefix("@") for reporter in settings.reporters)

    def labels(self, recipient: str) -> tuple[Label, ...]:
        """What mail to ``recipient`` reports a message as; none where it is no report address, two where it is both."""
        key = address_key(recipient)
        return tuple(label for address, label in self._addresses if address and address == key)

    def is_believed(self, sender: str, client: Peer, forwarded: Peer | None) -> bool:
        """Whether a report of ``sender`` counts; ``forwarded`` is the client that ``client`` names by XFORWARD."""
        key = address_key(sender)
        if client.login:
            return self._is_own(address_key(client.login), key)
        is_vouched_for = client.address in self._networks and (forwarded is None or forwarded.address in self._networks)
        return is_vouched_for and self._is_listed(key)

    def _is_own(self, login: str, sender: str) -> bool:
        """Whether ``sender`` is who logged in: one person is one reporter, whatever MAIL FROM says."""
        if "@" in login:
            return login == sender
        return sender.rpartition("@")[0] == login and self._is_listed(sender)

    def _is_listed(self, sender: str) -> bool:
        return bool(sender) and (sender in self._reporters or domain_of(sender) in self._reporters)
