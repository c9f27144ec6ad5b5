"""Senders that sign nothing: whose secret is believed, and where it goes.

Threats D1 (forgery) and D15 (secrets) of docs/threats.md.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from filterd.edges.webhooks.credentials import without_field
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import CredentialsMissing, SignatureInvalid
from tests.filterd.webhook_calls import (
    CALLS,
    CUSTOMER,
    NOW,
    SHOWN,
    provider_of,
    shown_basic,
    the_adapter,
    with_header,
)
from tests.filterd.webhook_line import Line, header

BASIC = ["infobip", "bandwidth"]
INFOBIP = {"infobip": {"username": "us:er", "password": SHOWN["infobip"], "deliver_url": CUSTOMER}}
TOKENS = [name for name in CALLS if provider_of(name) in {"kannel", "jasmin", "telerivet"}]


# --- HTTP basic ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BASIC)
@pytest.mark.parametrize("scheme", ["Basic ", "basic ", "BASIC  "])
def test_verify_when_the_scheme_is_spelt_otherwise_then_it_is_accepted(name: str, scheme: str) -> None:
    """RFC 7235 section 2.1: the scheme's case does not matter, and one space or more follow."""
    call = CALLS[name]()
    encoded = call.header("authorization").removeprefix("Basic ")

    the_adapter(name).verify(with_header(call, "authorization", scheme + encoded), NOW)


@pytest.mark.parametrize("name", BASIC)
@pytest.mark.parametrize(
    "made",
    [
        lambda pair: f"Bearer {pair}",
        lambda pair: pair,
        lambda pair: f"Basic {pair[:-1]}",
        lambda pair: f"Basic {base64.b64encode(base64.b64decode(pair)[:-1]).decode()}",
        lambda pair: f"Basic {base64.b64encode(base64.b64decode(pair) + b'x').decode()}",
        lambda pair: f"Basic {pair} {pair}",
    ],
    ids=["bearer", "bare", "cut", "shorter", "longer", "twice"],
)
def test_d1_verify_when_user_name_or_password_differ_then_it_is_refused(name: str, made: Callable[[str], str]) -> None:
    call = CALLS[name]()
    pair = call.header("authorization").removeprefix("Basic ")

    with pytest.raises(SignatureInvalid):
        the_adapter(name).verify(with_header(call, "authorization", made(pair)), NOW)


@pytest.mark.parametrize("name", BASIC)
def test_verify_when_there_are_no_credentials_then_they_are_asked_for(name: str) -> None:
    with pytest.raises(CredentialsMissing):
        the_adapter(name).verify(with_header(CALLS[name](), "authorization", None), NOW)


async def test_receive_when_bandwidth_calls_without_credentials_then_401_asks_for_them_and_the_next_call_is_taken() -> (
    None
):
    """Bandwidth follows RFC 7235: it may wait to be asked."""
    line = Line({"bandwidth": {"username": "ü", "password": SHOWN["bandwidth"], "deliver_url": CUSTOMER}})
    call = CALLS["bandwidth"]()

    first = await line.call(with_header(call, "authorization", None))
    second = await line.call(call)

    assert (first.status, first.body) == (401, b"credentials required\n")
    assert dict(first.headers)["www-authenticate"].startswith("Basic realm=")
    assert second.status == 200
    assert line.counted("bandwidth", "bad_signature") == 1


@pytest.mark.parametrize("name", BASIC)
def test_forward_when_the_provider_uses_basic_then_the_customer_gets_the_same_credentials(name: str) -> None:
    adapter, call = the_adapter(name), CALLS[name]()
    (part,) = adapter.parse(call, NOW)

    request = adapter.forward(part, NOW)

    assert header(request, "authorization") == call.header("authorization")


@pytest.mark.parametrize("name", BASIC)
def test_d15_parse_when_the_provider_uses_basic_then_the_credentials_are_not_kept(name: str) -> None:
    (part,) = the_adapter(name).parse(CALLS[name](), NOW)

    assert part.headers == ()


async def test_receive_when_one_of_two_messages_is_spam_then_only_the_other_is_forwarded() -> None:
    line = Line(dict(INFOBIP))

    replies = [await line.call(shown_basic("infobip", "us:er", "infobip_two.json")) for _ in range(2)]
    await line.work_all()

    assert [reply.status for reply in replies] == [200, 200]
    (sent,) = line.forwarder.sent
    assert [result["text"] for result in json.loads(sent.body)["results"]] == ["see you at noon"]
    assert len(await line.store.list_held()) == 1


# --- tokens in the URL or the form -----------------------------------------------------------------------------------


def in_place_of(call: WebhookRequest, secret: str, other: str) -> WebhookRequest:
    """The call with another text where its secret stands."""
    body = call.body.replace(secret.encode(), other.encode())
    return replace(call, body=body, query=call.query.replace(secret, other))


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("other", ["", "x", "%00", "%ff", "shown-to-%C3%BC"])
def test_d1_verify_when_the_token_differs_then_it_is_refused(name: str, other: str) -> None:
    secret = SHOWN[provider_of(name)]

    for changed in (other, secret + other, secret[:-1] + other):
        if changed != secret:
            with pytest.raises(SignatureInvalid):
                the_adapter(provider_of(name)).verify(in_place_of(CALLS[name](), secret, changed), NOW)


@pytest.mark.parametrize("name", TOKENS)
def test_d1_verify_when_there_is_a_second_token_then_it_is_refused(name: str) -> None:
    provider, call = provider_of(name), CALLS[name]()
    field = "secret" if provider == "telerivet" else "token"
    doubled = replace(call, body=call.body + b"&secret=x", query=f"{call.query}&{field}=x")

    with pytest.raises(SignatureInvalid):
        the_adapter(provider).verify(doubled, NOW)


def test_verify_when_the_token_has_every_character_then_it_is_compared_as_text() -> None:
    call = in_place_of(CALLS["kannel-get"](), SHOWN["kannel"], "%C3%BC+%26%3D%25")

    the_adapter("kannel", token="ü &=%").verify(call, NOW)


@pytest.mark.parametrize("name", TOKENS)
def test_d15_parse_when_a_token_came_then_it_is_kept_nowhere(name: str) -> None:
    (part,) = the_adapter(provider_of(name)).parse(CALLS[name](), NOW)

    assert SHOWN[provider_of(name)] not in repr(part)


@pytest.mark.parametrize("name", [name for name in TOKENS if name != "telerivet"])
def test_d15_forward_when_a_token_came_then_the_customer_does_not_get_it(name: str) -> None:
    """It is between the gateway and us."""
    adapter, call = the_adapter(provider_of(name)), CALLS[name]()
    (part,) = adapter.parse(call, NOW)

    request = adapter.forward(part, NOW)

    assert SHOWN[provider_of(name)] not in repr(request)
    assert request.url.startswith(CUSTOMER)
    fields = dict(parse_qsl(call.query, encoding="latin-1"))
    del fields["token"]
    given = dict(parse_qsl(request.url.removeprefix(f"{CUSTOMER}&"), encoding="latin-1")) if fields else {}
    assert given == fields


def test_forward_when_telerivet_then_the_customer_gets_the_secret_its_own_check_asks_for() -> None:
    adapter, call = the_adapter("telerivet"), CALLS["telerivet"]()
    (part,) = adapter.parse(call, NOW)

    request = adapter.forward(part, NOW)

    assert sorted(parse_qsl(request.body.decode())) == sorted(parse_qsl(call.body.decode()))


def test_reply_when_jasmin_then_it_is_the_acknowledgement_and_nothing_else() -> None:
    """Jasmin compares the body and sends the message again otherwise."""
    for is_ham in (True, False):
        reply = the_adapter("jasmin").reply(is_ham=is_ham)
        assert (reply.status, reply.body) == (200, b"ACK/Jasmin")


@pytest.mark.parametrize("provider", ["kannel", "telerivet"])
def test_reply_when_a_text_would_be_sent_to_the_phone_then_it_is_empty(provider: str) -> None:
    for is_ham in (True, False):
        reply = the_adapter(provider).reply(is_ham=is_ham)
        assert (reply.status, reply.body) == (200, b"")


async def test_d3_receive_when_kannel_tries_again_then_it_is_one_message() -> None:
    line = Line({"kannel": {"token": SHOWN["kannel"], "deliver_url": CUSTOMER}})

    replies = [await line.call(CALLS["kannel-get"]()) for _ in range(2)]
    await line.work_all()

    assert [reply.status for reply in replies] == [200, 200]
    assert len(line.forwarder.sent) == 1
    assert line.counted("kannel", "duplicate") == 1


@pytest.mark.parametrize(
    ("encoded", "rest"),
    [
        ("token=1&a=%20&b=+", "a=%20&b=+"),
        ("a=1&token=2&b=3", "a=1&b=3"),
        ("a=1&token", "a=1"),
        ("%74oken=1&tokens=2", "tokens=2"),
        ("token=1", ""),
        ("", ""),
    ],
)
def test_without_field_when_it_is_there_then_the_rest_is_as_it_came(encoded: str, rest: str) -> None:
    assert without_field(encoded, "token") == rest
