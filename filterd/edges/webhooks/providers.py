"""The adapters of the providers that are turned on. A new provider is one file beside this one, and a few lines here.

An adapter is loaded when its provider is turned on: some need cryptography that a gateway for mail never uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from filterd.edges.webhooks.adapter import Adapter
from filterd.errors import ConfigError
from filterd.settings import SmsSettings


def adapters_of(settings: SmsSettings) -> Mapping[str, Adapter]:
    """Provider name -> adapter. Raises ConfigError for a key or URL that cannot be used."""
    _check_url("sms.public_base_url", settings.public_base_url)
    for name in ("twilio", "vonage", "telnyx", "plivo", "generic"):
        if url := getattr(settings, name).deliver_url:
            _check_url(f"sms.{name}.deliver_url", url)
    skew = settings.clock_skew_seconds
    adapters: dict[str, Adapter] = {}
    if settings.twilio.auth_token:
        from filterd.edges.webhooks.twilio import Twilio

        adapters["twilio"] = Twilio(
            auth_token=settings.twilio.auth_token.reveal(),
            deliver_url=settings.twilio.deliver_url,
            is_redirecting=settings.twilio.reply == "redirect" and bool(settings.twilio.deliver_url),
        )
    if settings.vonage.signature_secret:
        from filterd.edges.webhooks.vonage import Vonage

        adapters["vonage"] = Vonage(
            signature_secret=settings.vonage.signature_secret.reveal(),
            signature_method=settings.vonage.signature_method,
            clock_skew_seconds=skew,
            deliver_url=settings.vonage.deliver_url,
        )
    if settings.telnyx.public_key:
        from filterd.edges.webhooks.telnyx import Telnyx, public_key_of

        adapters["telnyx"] = Telnyx(
            public_key=public_key_of(settings.telnyx.public_key),
            clock_skew_seconds=skew,
            deliver_url=settings.telnyx.deliver_url,
        )
    if settings.plivo.auth_token:
        from filterd.edges.webhooks.plivo import Plivo

        adapters["plivo"] = Plivo(
            auth_token=settings.plivo.auth_token.reveal(),
            is_v3_required=settings.plivo.require_v3,
            deliver_url=settings.plivo.deliver_url,
        )
    if settings.generic.secret:
        from filterd.edges.webhooks.generic import Generic, key_of

        adapters["generic"] = Generic(
            key=key_of(settings.generic.secret.reveal()),
            clock_skew_seconds=skew,
            deliver_url=settings.generic.deliver_url,
        )
    return MappingProxyType(adapters)


def _check_url(key: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not url.isascii() or any(c.isspace() for c in url) or parts.fragment:
        raise ConfigError(f"{key}: not an http or https URL: {url!r}")
