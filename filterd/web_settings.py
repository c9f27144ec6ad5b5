"""The settings of the web pages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from filterd.setting_types import Network, Section


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
    language: Literal["en", "de"] = Field("en", description="Language where neither account nor browser names one.")
