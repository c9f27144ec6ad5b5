"""The LMTP edge: for a mail server that hands each message to the one that stores it (RFC 2033).

Commands, limits and custody are those of SMTP. LHLO is the only greeting, and each recipient that was accepted has a
reply of its own to the message, which says what became of it there and nowhere else.
"""

from __future__ import annotations

from filterd.edges.smtp import SmtpEdge
from filterd.edges.smtp_dialogue import COMMANDS
from filterd.edges.smtp_session import SmtpSession
from filterd.settings import SmtpSettings


class LmtpSession(SmtpSession):
    """A connection of the LMTP edge."""

    name = "LMTP"
    commands = COMMANDS | {"LHLO"}

    async def do_lhlo(self, argument: str) -> None:
        """Say who we are and what we offer."""
        await self.greet(argument)

    def replies_to_message(self) -> int:
        """One for each recipient that was accepted (RFC 2033 section 4.2)."""
        return self._taken


class LmtpEdge(SmtpEdge):
    """Receives mail and hands it to ``process``, which answers for each recipient."""

    name = "lmtp"
    session = LmtpSession

    @staticmethod
    def recipients_per_message(settings: SmtpSettings) -> int:
        """How many recipients a message may have."""
        return settings.max_recipients
