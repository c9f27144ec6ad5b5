"""The settings of SMS: the webhooks as a whole, and a section for each provider.

A provider is off until its secret or key is given.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from filterd.setting_types import Count, Positive, Secret, Section


class TwilioSettings(Section):
    """Twilio, at /webhooks/twilio."""

    auth_token: Secret = Field(Secret(), description="Auth token of the account; empty turns the provider off.")
    reply: Literal["empty", "redirect"] = Field(
        "empty",
        description="redirect answers ham with TwiML that makes Twilio itself call deliver_url, signed by Twilio.",
    )
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class VonageSettings(Section):
    """Vonage, at /webhooks/vonage (both APIs)."""

    signature_secret: Secret = Field(
        Secret(),
        description="Signature secret of the account, for SMS API signatures and Messages API tokens; empty turns the provider off.",
    )
    signature_method: Literal["md5hash", "md5", "sha1", "sha256", "sha512"] = Field(
        "sha256", description="SMS API signature method of the account."
    )
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class TelnyxSettings(Section):
    """Telnyx, at /webhooks/telnyx."""

    public_key: str = Field("", description="Base64 Ed25519 public key of the account; empty turns the provider off.")
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class PlivoSettings(Section):
    """Plivo, at /webhooks/plivo."""

    auth_token: Secret = Field(Secret(), description="Auth token of the account; empty turns the provider off.")
    require_v3: bool = Field(
        False,
        description="Refuse calls that are signed V2 only: V2 does not cover the form, so whoever has seen one call can forge others.",
    )
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class MessageBirdSettings(Section):
    """MessageBird, at /webhooks/messagebird."""

    signing_key: Secret = Field(Secret(), description="Signing key of the account; empty turns the provider off.")
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class BirdSettings(Section):
    """Bird, at /webhooks/bird."""

    signing_key: Secret = Field(
        Secret(),
        description="Signing key of the webhook subscription; one that begins with whsec_ is of Standard Webhooks. Empty turns the provider off.",
    )
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class SinchSettings(Section):
    """Sinch, at /webhooks/sinch."""

    webhook_secret: Secret = Field(
        Secret(), description="Secret of the callbacks, from the account manager; empty turns the provider off."
    )
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class InfobipSettings(Section):
    """Infobip, at /webhooks/infobip."""

    username: str = Field("infobip", description="User name of HTTP basic, as set at the subscription.")
    password: Secret = Field(Secret(), description="Password of HTTP basic; empty turns the provider off.")
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class BandwidthSettings(Section):
    """Bandwidth, at /webhooks/bandwidth."""

    username: str = Field("bandwidth", description="User name of HTTP basic, as set at the application.")
    password: Secret = Field(Secret(), description="Password of HTTP basic; empty turns the provider off.")
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class SnsSettings(Section):
    """AWS End User Messaging by way of Amazon SNS, at /webhooks/sns."""

    topic_arns: tuple[str, ...] = Field(
        (),
        description="The topics whose notifications are taken, and whose subscriptions are confirmed; none turns the provider off.",
    )
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class TelerivetSettings(Section):
    """Telerivet, at /webhooks/telerivet."""

    secret: Secret = Field(Secret(), description="Secret of the webhook service; empty turns the provider off.")
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class KannelSettings(Section):
    """Kannel, at /webhooks/kannel."""

    token: Secret = Field(Secret(), description="The token in the URL of its sms-service; empty turns Kannel off.")
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class JasminSettings(Section):
    """Jasmin, at /webhooks/jasmin."""

    token: Secret = Field(Secret(), description="The token in the URL of its HTTP client; empty turns Jasmin off.")
    default_alphabet: Literal["gsm", "latin-1"] = Field(
        "gsm", description="What the SMS centre means by data coding 0: the GSM default alphabet, or ISO 8859-1."
    )
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class GenericSettings(Section):
    """Any sender that signs as standardwebhooks.com describes, at /webhooks/generic."""

    secret: Secret = Field(Secret(), description="Signing secret, whsec_ and base64; empty turns the provider off.")
    deliver_url: str = Field("", description="Customer URL ham is forwarded to; empty keeps it in the store.")


class SmsSettings(Section):
    """SMS webhooks."""

    public_base_url: str = Field(
        "http://127.0.0.1:8025",
        description="The URL providers call us by, as they see it: signatures are checked against it, never against the Host header.",
    )
    max_body_bytes: Count = Field(65_536, description="Larger webhook bodies are refused.")
    clock_skew_seconds: Positive = Field(300.0, description="How old a signed timestamp may be.")
    reassembly_seconds: Positive = Field(30.0, description="How long the parts of a long message are waited for.")
    spam_delivery: Literal["swallow", "tag"] = Field(
        "swallow", description="swallow keeps held SMS from the customer; tag forwards them with X-Filterd headers."
    )
    forward_timeout_seconds: Positive = Field(10.0, description="Longest wait for the customer's URL.")
    forward_retry_seconds: Positive = Field(
        30.0, description="First delay before a failed forward is tried again; doubles up to one hour."
    )
    twilio: TwilioSettings = TwilioSettings()
    vonage: VonageSettings = VonageSettings()
    telnyx: TelnyxSettings = TelnyxSettings()
    plivo: PlivoSettings = PlivoSettings()
    messagebird: MessageBirdSettings = MessageBirdSettings()
    bird: BirdSettings = BirdSettings()
    sinch: SinchSettings = SinchSettings()
    infobip: InfobipSettings = InfobipSettings()
    bandwidth: BandwidthSettings = BandwidthSettings()
    sns: SnsSettings = SnsSettings()
    telerivet: TelerivetSettings = TelerivetSettings()
    kannel: KannelSettings = KannelSettings()
    jasmin: JasminSettings = JasminSettings()
    generic: GenericSettings = GenericSettings()
