"""Whose request it is: the client of the connection, or whom a trusted reverse proxy names."""

from __future__ import annotations

from starlette.requests import Request

from filterd.web.parts import WebParts


def client_of(parts: WebParts, request: Request) -> str:
    """The IP address that tries are counted by.

    X-Forwarded-For is read from its end as long as trusted proxies have written it: what stands before may be forged.
    """
    peer = request.client.host if request.client else ""
    forwarded = [item.strip() for item in request.headers.get("x-forwarded-for", "").split(",") if item.strip()]
    while forwarded and peer in parts.proxies:
        peer = forwarded.pop()
    return peer
