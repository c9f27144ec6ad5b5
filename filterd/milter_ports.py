"""What the pipeline asks of a mail server that only shows its messages (``docs/decisions/0013-milter.md``)."""

from __future__ import annotations

from typing import Protocol

from filterd.core.verdict import Reply


class MailServer(Protocol):
    """A mail server that shows a message and keeps its copy: what it does with that is handed to nobody."""

    def keep(self) -> Reply | None:
        """Our word for it that it goes on with its copy; None where that is spoken for, it has one header block."""
        ...

    def hold(self) -> Reply | None:
        """Our word for it that it holds its copy; None where it does not."""
        ...
