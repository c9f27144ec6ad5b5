"""The adapters of the providers that are turned on. A new provider is one file beside this one, and a row here.

An adapter is loaded when its provider is turned on: some need cryptography that a gateway for mail never uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from filterd.edges.webhooks.adapter import Adapter
from filterd.errors import ConfigError
from filterd.sms_settings import SmsSettings

Fetched = Mapping[str, bytes]
"""What providers were asked for, by URL; grows while the adapters are in use."""
_NOTHING: Fetched = MappingProxyType({})


def adapters_of(settings: SmsSettings, fetched: Fetched = _NOTHING) -> Mapping[str, Adapter]:
    """Provider name -> adapter. Raises ConfigError for a key or URL that cannot be used."""
    _check_url("sms.public_base_url", settings.public_base_url)
    adapters: dict[str, Adapter] = {}
    for name, (key, build) in PROVIDERS.items():
        own = getattr(settings, name)
        if own.deliver_url:
            _check_url(f"sms.{name}.deliver_url", own.deliver_url)
        if getattr(own, key):
            adapters[name] = build(settings, fetched)
    return MappingProxyType(adapters)


def _twilio(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.twilio import Twilio

    own = settings.twilio
    return Twilio(
        auth_token=own.auth_token.reveal(),
        deliver_url=own.deliver_url,
        is_redirecting=own.reply == "redirect" and bool(own.deliver_url),
    )


def _vonage(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.vonage import Vonage

    own = settings.vonage
    return Vonage(
        signature_secret=own.signature_secret.reveal(),
        signature_method=own.signature_method,
        clock_skew_seconds=settings.clock_skew_seconds,
        deliver_url=own.deliver_url,
    )


def _telnyx(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.telnyx import Telnyx, public_key_of

    own = settings.telnyx
    return Telnyx(
        public_key=public_key_of(own.public_key),
        clock_skew_seconds=settings.clock_skew_seconds,
        deliver_url=own.deliver_url,
    )


def _plivo(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.plivo import Plivo

    own = settings.plivo
    return Plivo(auth_token=own.auth_token.reveal(), is_v3_required=own.require_v3, deliver_url=own.deliver_url)


def _messagebird(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.messagebird import MessageBird

    own = settings.messagebird
    return MessageBird(
        signing_key=own.signing_key.reveal(),
        clock_skew_seconds=settings.clock_skew_seconds,
        deliver_url=own.deliver_url,
    )


def _bird(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.bird import Bird, key_of

    own = settings.bird
    signing_key, is_standard = key_of(own.signing_key.reveal())
    return Bird(
        signing_key=signing_key,
        is_standard=is_standard,
        clock_skew_seconds=settings.clock_skew_seconds,
        deliver_url=own.deliver_url,
    )


def _sinch(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.sinch import Sinch

    own = settings.sinch
    return Sinch(
        secret=own.webhook_secret.reveal(),
        clock_skew_seconds=settings.clock_skew_seconds,
        deliver_url=own.deliver_url,
    )


def _infobip(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.infobip import Infobip

    own = settings.infobip
    return Infobip(username=own.username, password=own.password.reveal(), deliver_url=own.deliver_url)


def _bandwidth(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.bandwidth import Bandwidth

    own = settings.bandwidth
    return Bandwidth(username=own.username, password=own.password.reveal(), deliver_url=own.deliver_url)


def _sns(settings: SmsSettings, fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.sns import Sns, topics_of

    own = settings.sns
    return Sns(
        topics=topics_of(own.topic_arns),
        fetched=fetched,
        clock_skew_seconds=settings.clock_skew_seconds,
        deliver_url=own.deliver_url,
    )


def _telerivet(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.telerivet import Telerivet

    own = settings.telerivet
    return Telerivet(secret=own.secret.reveal(), deliver_url=own.deliver_url)


def _kannel(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.kannel import Kannel

    own = settings.kannel
    return Kannel(token=own.token.reveal(), deliver_url=own.deliver_url)


def _jasmin(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.jasmin import Jasmin

    own = settings.jasmin
    return Jasmin(token=own.token.reveal(), is_default_gsm=own.default_alphabet == "gsm", deliver_url=own.deliver_url)


def _generic(settings: SmsSettings, _fetched: Fetched) -> Adapter:
    from filterd.edges.webhooks.generic import Generic, key_of

    own = settings.generic
    return Generic(
        key=key_of(own.secret.reveal()),
        clock_skew_seconds=settings.clock_skew_seconds,
        deliver_url=own.deliver_url,
    )


PROVIDERS: Mapping[str, tuple[str, Callable[[SmsSettings, Fetched], Adapter]]] = MappingProxyType(
    {
        "twilio": ("auth_token", _twilio),
        "vonage": ("signature_secret", _vonage),
        "telnyx": ("public_key", _telnyx),
        "plivo": ("auth_token", _plivo),
        "messagebird": ("signing_key", _messagebird),
        "bird": ("signing_key", _bird),
        "sinch": ("webhook_secret", _sinch),
        "infobip": ("password", _infobip),
        "bandwidth": ("password", _bandwidth),
        "sns": ("topic_arns", _sns),
        "telerivet": ("secret", _telerivet),
        "kannel": ("token", _kannel),
        "jasmin": ("token", _jasmin),
        "generic": ("secret", _generic),
    }
)
"""Provider -> the setting that turns it on, and what builds its adapter."""


def _check_url(key: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not url.isascii() or any(c.isspace() for c in url) or parts.fragment:
        raise ConfigError(f"{key}: not an http or https URL: {url!r}")
