"""A digest as a mail: plain text and HTML, in the language of its account."""

from __future__ import annotations

import hmac
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from filterd.core.digest import Verb
from filterd.digest_ports import Digest
from filterd.errors import UsageError
from filterd.web.catalogue import LANGUAGES, texts_of
from filterd.web.render import Renderer
from filterd.web_settings import WebSettings


class DigestMails:
    """Composes digests."""

    def __init__(self, settings: WebSettings, renderer: Renderer, *, hostname: str, key: bytes) -> None:
        """``key`` is the installation's secret."""
        self._settings = settings
        self._renderer = renderer
        self._hostname = hostname
        self._key = key

    def __call__(self, digest: Digest) -> tuple[str, bytes]:
        """See ``digest_ports.Composer``."""
        account = digest.account
        texts = texts_of(account.language if account.language in LANGUAGES else self._settings.language)
        values = {"digest": digest, "url": self._settings.public_url, "verbs": tuple(Verb)}
        id = self._id(account.name, digest.slot)
        mail = EmailMessage(policy.SMTPUTF8 if not account.mailbox.isascii() else policy.SMTP)
        try:
            mail["From"] = self._settings.digest.sender
            mail["To"] = account.mailbox
        except ValueError:
            raise UsageError("the account has no address that a mail can be sent to") from None
        mail["Subject"] = texts("digest.subject", n=digest.count)
        mail["Date"] = format_datetime(digest.slot)
        mail["Message-ID"] = id
        mail["List-Id"] = f"<digest.{self._hostname}>"
        # RFC 3834 section 5: no vacation notice answers it.
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = texts.language
        mail.set_content(self._renderer.text("digest.txt", texts, **values), cte="quoted-printable")
        mail.add_alternative(
            self._renderer.text("digest.html", texts, **values), subtype="html", cte="quoted-printable"
        )
        return id, mail.as_bytes()

    def _id(self, account: str, slot: datetime) -> str:
        """The same whenever this digest is composed, and telling nothing of the account."""
        name = hmac.digest(self._key, f"digest {account} {slot:%Y-%m-%dT%H:%M}".encode(), "sha256").hex()[:32]
        return f"<digest.{name}@{self._hostname}>"
