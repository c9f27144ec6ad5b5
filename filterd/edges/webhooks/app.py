"""The webhooks as an ASGI application of their own."""

from __future__ import annotations

from starlette.applications import Starlette

from filterd.edges.webhooks.receive import Webhooks
from filterd.edges.webhooks.routes import routes
from filterd.settings import SmsSettings


def webhook_app(settings: SmsSettings, webhooks: Webhooks) -> Starlette:
    """Every provider's path."""
    return Starlette(routes=routes(settings, webhooks))
