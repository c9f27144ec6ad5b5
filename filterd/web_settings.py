"""The settings of the web pages."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from filterd.core.digest import Rhythm, Schedule
from filterd.setting_types import Mailbox, Network, Secret, Section
from filterd.zones import known_zone

_ISSUER = r"^$|^https://[^/?#\s]+(/[^?#\s]*)?$|^http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/[^?#\s]*)?$"
"""HTTPS, but on this machine."""


class DigestSettings(Section):
    """Mail that tells people what is held for them, with links that act on it."""

    sender: Mailbox = Field("", description="Address digests come from; empty sends none.")
    rhythm: Literal["off", "daily", "workdays", "weekly"] = Field(
        "daily", description="For everybody who has not chosen: workdays are Monday to Friday, weekly is Monday."
    )
    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = Field(
        "07:00", description="Time of day for them."
    )
    zone: Annotated[str, AfterValidator(known_zone)] = Field("UTC", description="Time zone for them, its IANA name.")
    link_days: Annotated[int, Field(ge=1, le=60)] = Field(5, description="Days the links of a digest work.")
    max_items: Annotated[int, Field(ge=1, le=500)] = Field(
        50, description="Messages in one digest, the newest; it says how many more there are."
    )

    @property
    def schedule(self) -> Schedule:
        """For everybody who has not chosen."""
        return Schedule(rhythm=Rhythm(self.rhythm), at=time.fromisoformat(self.at), zone=self.zone)


class OidcSettings(Section):
    """Signing in at an OpenID provider (OpenID Connect Core 1.0, code flow with PKCE)."""

    issuer: Annotated[str, Field(pattern=_ISSUER)] = Field(
        "", description="The provider's issuer URL, as it calls itself; empty turns it off."
    )
    client_id: str = Field("", description="Name of this filter at the provider.")
    client_secret: Secret = Field(Secret(), description="Its secret there; empty for a public client.")
    name: str = Field("OpenID", description="What the button calls the provider.")
    scopes: tuple[str, ...] = Field(("openid", "email", "profile"), description="Scopes that are asked for.")
    address_claims: tuple[str, ...] = Field(
        ("email",), description="Claims that hold addresses of theirs, text or lists; email only if it is verified."
    )
    groups_claim: str = Field("groups", description="Claim that lists groups.")
    administrators: tuple[str, ...] = Field(
        (), description="Groups or verified e-mail addresses of administrators; with either list, roles follow both."
    )
    moderators: tuple[str, ...] = Field(
        (),
        description="Groups or verified e-mail addresses of moderators: of the domains of their addresses.",
    )
    creates_accounts: bool = Field(
        True, description="Make an account for whoever the provider names; off, for those only who were given one."
    )

    @model_validator(mode="after")
    def _consistent(self) -> OidcSettings:
        if self.issuer and not self.client_id:
            raise ValueError("web.oidc.issuer needs web.oidc.client_id")
        if "openid" not in self.scopes:
            raise ValueError("web.oidc.scopes needs openid")
        return self


class WebSettings(Section):
    """The web pages: quarantine, explanations, models, accounts."""

    enabled: bool = Field(True, description="Serve the pages at server.http_listen; the API is there anyway.")
    public_url: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+$")] = Field(
        "http://127.0.0.1:8025",
        description="Where people reach the pages, without a path; with https, cookies are for HTTPS only.",
    )
    proxy_networks: tuple[Network, ...] = Field(
        (), description="Reverse proxies whose X-Forwarded-For is believed, for counting failed tries to sign in."
    )
    history: Literal["everybody", "staff"] = Field(
        "everybody",
        description="Who sees verdicts on what passed: everybody those on their own mail, or all but users.",
    )
    language: Literal["en", "de"] = Field("en", description="Language where neither account nor browser names one.")
    digest: DigestSettings = DigestSettings()
    oidc: OidcSettings = OidcSettings()

    @model_validator(mode="after")
    def _consistent(self) -> WebSettings:
        if self.digest.sender and not self.enabled:
            raise ValueError("web.digest.sender needs web.enabled: links of digests lead to the pages")
        return self
