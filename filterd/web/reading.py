"""Held messages, read for people."""

from __future__ import annotations

from filterd.core.envelope import Channel
from filterd.core.mail_view import MailView
from filterd.core.shown import shown_text
from filterd.ports import HeldMessage
from filterd.review_ports import MailReader


async def read_held(held: HeldMessage, reader: MailReader) -> MailView:
    """What people see of it; an SMS has only a text. Raises what ``MailReader`` does for a mail."""
    if held.envelope.channel is Channel.SMS:
        return MailView(text=shown_text(held.raw.decode("utf-8", "replace")))
    return await reader.read_mail(held.raw)
