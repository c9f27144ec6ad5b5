"""A real OpenID provider, and one of our own making that lies as it is told."""

from __future__ import annotations

import base64
import hmac
import json
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from filterd.testing import FixedClock
from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port

CLIENT_ID = "filter"


@contextmanager
def real_provider(**people: Mapping[str, Any]) -> Iterator[str]:
    """The issuer of ``oidc-provider-mock``, a process of its own; it knows these people by their subjects."""
    port = free_port()
    claims = [f"--user-claims={json.dumps({'sub': sub, **known})}" for sub, known in people.items()]
    # Parts of its library are deprecated, and it uses them.
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *claims]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port) or process.poll() is not None, "an OpenID provider")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


async def consent(address: str, sub: str) -> str:
    """The path that the provider sends the browser back to after ``sub`` has signed in there."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(address, data={"sub": sub})
    assert answer.status_code == 302, answer.text
    back = urllib.parse.urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


def address_in(page: str) -> str:
    """Where the page goes on to."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page)
    assert found, page
    return found.group(1).replace("&amp;", "&")


@cache
def a_key(id: str) -> RSAKey:
    """A key pair; making one takes a while."""
    return RSAKey.generate_key(2048, {"kid": id.partition(" ")[0]})


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


@dataclass
class Liar:
    """A provider whose every answer can be set."""

    clock: FixedClock
    key: RSAKey = field(default_factory=lambda: a_key("1"))
    published: list[RSAKey] = field(default_factory=list)
    issuer: str = ""
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "1"})
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] = field(default_factory=dict)
    id_token: str = ""
    """Instead of one made of the above."""
    token_requests: list[dict[str, str]] = field(default_factory=list)
    nonce: str = ""

    def token(self) -> str:
        """The ID token."""
        if self.id_token:
            return self.id_token
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "17",
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "email": "ann@example.org",
            "email_verified": True,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.header["alg"] == "HS256":
            # By hand: the library does not let itself be used for this.
            body = ".".join(_base64(json.dumps(part).encode()) for part in (self.header, claims))
            return f"{body}.{_base64(hmac.digest(self.key.as_pem(private=False), body.encode(), 'sha256'))}"
        return jwt.encode(self.header, claims, self.key, algorithms=[self.header["alg"]])

    def answer(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        """The body of an answer."""
        if path == "/.well-known/openid-configuration":
            endpoints = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("authorization", "token", "userinfo")}
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks", **endpoints, **self.metadata}
        if path == "/jwks":
            return {"keys": [key.as_dict(private=False) for key in self.published or [self.key]]}
        if path == "/userinfo":
            return self.user_info
        self.token_requests.append(form)
        return {"access_token": "a", "token_type": "Bearer", "id_token": self.token()}


@contextmanager
def lying_provider(clock: FixedClock) -> Iterator[Liar]:
    """A provider on loopback that answers as it is set to."""
    liar = Liar(clock)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            form = dict(urllib.parse.parse_qsl(body)) | {"authorization": self.headers.get("authorization", "")}
            answer = json.dumps(liar.answer(self.path, form)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815  # their name

        def log_message(self, *_args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    liar.issuer = f"http://127.0.0.1:{server.server_port}"
    try:
        yield liar
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
