"""The OpenID provider: where to send people, and whom it says has come back.

OpenID Connect Core 1.0, code flow, with PKCE (RFC 7636), state and nonce; Discovery 1.0. An ID token counts only if the
provider signed it with a key it publishes, for us, now, and for the very request that this browser made.
"""

from __future__ import annotations

import base64
import hashlib
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from filterd.errors import ProviderFailed, SignInRefused
from filterd.ports import Clock
from filterd.web_settings import OidcSettings

if TYPE_CHECKING:
    import httpx2

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
"""Signatures with a public key (RFC 7518, RFC 9864). Not none, and not HS256, whose key a client may know."""
_LEEWAY_SECONDS = 60
_TIMEOUT_SECONDS = 10.0
_FRESH = timedelta(hours=1)
"""How long what the provider says of itself is believed; an unknown key is asked for at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What a browser that was sent to the provider must bring back."""

    state: str
    nonce: str
    verifier: str
    next_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    metadata: Mapping[str, Any]
    keys: KeySet
    seen_at: datetime


class OpenIdProvider:
    """One provider, as ``OidcSettings`` name it. Its answers are kept for an hour."""

    def __init__(self, settings: OidcSettings, redirect_uri: str, clock: Clock) -> None:
        self.settings = settings
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._known: _Known | None = None

    async def address_of(self, pending: Pending) -> str:
        """Where to send the browser. Raises ProviderFailed."""
        async with _client() as client:
            metadata = (await self._discover(client)).metadata
        challenge = base64.urlsafe_b64encode(hashlib.sha256(pending.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = self._endpoint(metadata, "authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urllib.parse.urlencode(query)}"

    async def claims_of(self, code: str, pending: Pending) -> Mapping[str, Any]:
        """What the provider says of whoever came back with ``code``. Raises SignInRefused and ProviderFailed."""
        async with _client() as client:
            known = await self._discover(client)
            answer = await self._exchange(client, known.metadata, code, pending.verifier)
            claims = await self._checked(client, known, str(answer.get("id_token", "")), pending.nonce)
            if "email" not in claims and "userinfo_endpoint" in known.metadata:
                claims = await self._with_user_info(client, known.metadata, str(answer.get("access_token", "")), claims)
        return claims

    async def _discover(self, client: httpx2.AsyncClient, *, is_stale: bool = False) -> _Known:
        now = self._clock.now()
        if self._known is not None and not is_stale and now - self._known.seen_at < _FRESH:
            return self._known
        issuer = self.settings.issuer
        metadata = await _json(client, "GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if metadata.get("issuer") != issuer:
            raise ProviderFailed("the OpenID provider calls itself otherwise than web.oidc.issuer")
        try:
            keys = KeySet.import_key_set(await _json(client, "GET", self._endpoint(metadata, "jwks_uri")))  # type: ignore[arg-type]  # checked by what it raises
        except (JoseError, ValueError, KeyError, TypeError) as exc:
            raise ProviderFailed("the OpenID provider's keys cannot be read") from exc
        self._known = _Known(metadata=metadata, keys=keys, seen_at=now)
        return self._known

    def _endpoint(self, metadata: Mapping[str, Any], name: str) -> str:
        url = str(metadata.get(name, ""))
        if not url.startswith("https://") and not (
            url.startswith("http://") and self.settings.issuer.startswith("http://")
        ):
            raise ProviderFailed(f"the OpenID provider has no {name} by HTTPS")
        return url

    async def _exchange(
        self, client: httpx2.AsyncClient, metadata: Mapping[str, Any], code: str, verifier: str
    ) -> Mapping[str, Any]:
        """The answer of the token endpoint (OpenID Connect Core section 3.1.3)."""
        settings = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        secret, headers = settings.client_secret.reveal(), {}
        ways = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret and "client_secret_basic" in ways:
            # RFC 6749 section 2.3.1: both parts are form-encoded first.
            pair = f"{urllib.parse.quote_plus(settings.client_id)}:{urllib.parse.quote_plus(secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": settings.client_id} | ({"client_secret": secret} if secret else {})
        return await _json(client, "POST", self._endpoint(metadata, "token_endpoint"), headers, form)

    async def _checked(self, client: httpx2.AsyncClient, known: _Known, id_token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token (OpenID Connect Core section 3.1.3.7). Raises SignInRefused."""
        try:
            try:
                token = jwt.decode(id_token, known.keys, algorithms=list(_ALGORITHMS))
            except InvalidKeyIdError:
                # No key of that name: the provider may have changed its keys.
                known = await self._discover(client, is_stale=True)
                token = jwt.decode(id_token, known.keys, algorithms=list(_ALGORITHMS))
            rules = jwt.JWTClaimsRegistry(
                now=int(self._clock.now().timestamp()),
                leeway=_LEEWAY_SECONDS,
                iss={"essential": True, "value": self.settings.issuer},
                aud={"essential": True, "value": self.settings.client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            rules.validate(token.claims)
        except (JoseError, ValueError) as exc:
            raise SignInRefused(f"the ID token is not good: {type(exc).__name__}") from exc
        if token.claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise SignInRefused("the ID token was made for another client")
        return token.claims

    async def _with_user_info(
        self, client: httpx2.AsyncClient, metadata: Mapping[str, Any], access_token: str, claims: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """With what the ID token leaves out; it is about the same person (OpenID Connect Core section 5.3.2)."""
        headers = {"authorization": f"Bearer {access_token}"}
        more = await _json(client, "GET", self._endpoint(metadata, "userinfo_endpoint"), headers)
        if more.get("sub") != claims["sub"]:
            raise SignInRefused("the user info is about somebody else")
        return {**more, **claims}


def _client() -> httpx2.AsyncClient:
    import httpx2  # most installations have no provider

    return httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)


async def _json(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """The JSON object that is answered. Raises SignInRefused for 4xx to a POST, where the code is not good."""
    import httpx2

    try:
        answer = await client.request(method, url, headers=headers, data=form)
        if method == "POST" and 400 <= answer.status_code < 500:
            raise SignInRefused(f"the OpenID provider refused the code: {answer.status_code}")
        tree = answer.json() if answer.status_code == 200 else None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as exc:
        raise ProviderFailed(f"the OpenID provider failed: {type(exc).__name__}") from exc
    if not isinstance(tree, dict):
        raise ProviderFailed(f"the OpenID provider answered {answer.status_code}")
    return tree
