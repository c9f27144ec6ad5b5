"""Secrets of the demo's SMS providers: made afresh, except the generic one, which the README signs with."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from filterd.core.envelope import MessageId
from filterd.demo.webhook_client import SignedRequest, signed_request, telnyx_key_pair
from filterd.ports import Clock

GENERIC_SECRET = "whsec_ZGVtby1zZWNyZXQtZGVtby1zZWNyZXQ="  # noqa: S105  # public on purpose, for loopback only


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoKeys:
    """What both sides of the demo's webhooks know."""

    secrets: dict[str, str]
    """Provider -> what signs its calls."""
    telnyx_public: str

    @classmethod
    def generate(cls) -> DemoKeys:
        """New keys."""
        private, public = telnyx_key_pair()
        tokens = {name: secrets.token_hex(16) for name in ("twilio", "vonage", "plivo")}
        return cls(secrets={**tokens, "telnyx": private, "generic": GENERIC_SECRET}, telnyx_public=public)

    def as_toml(self, public_base_url: str, deliver_url: str) -> str:
        """The ``[sms]`` settings with every provider turned on."""
        settings = {
            "twilio": {"auth_token": self.secrets["twilio"]},
            "vonage": {"signature_secret": self.secrets["vonage"]},
            "telnyx": {"public_key": self.telnyx_public},
            "plivo": {"auth_token": self.secrets["plivo"]},
            "generic": {"secret": self.secrets["generic"]},
        }
        lines = ["[sms]", f"public_base_url = {json.dumps(public_base_url)}"]
        for provider, keys in settings.items():
            lines += [f"[sms.{provider}]", f"deliver_url = {json.dumps(deliver_url)}"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        return "\n".join(lines) + "\n"

    def sign(
        self, provider: str, base_url: str, id: MessageId | str, *, sender: str, recipient: str, text: str, clock: Clock
    ) -> SignedRequest:
        """The call ``provider`` would make for one SMS."""
        return signed_request(
            provider,
            base_url=base_url,
            secret=self.secrets[provider],
            id=id,
            sender=sender,
            recipient=recipient,
            text=text,
            now=clock.now(),
        )
