"""Keys of signatures: asked for on a real name server, bounded, and never a reason to keep a message."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from prometheus_client import CollectorRegistry

from filterd.core.dkim import signatures
from filterd.core.domains import Domains
from filterd.core.signed import Signed
from filterd.dkim.keys import result_of
from filterd.dkim.names import Names
from filterd.dkim.verifying import VerifyingScanner
from filterd.metrics import Metrics
from filterd.testing import FakeScanner, FixedClock, an_envelope
from tests.servers.name_server import NameServer

from .dkim_mail import AUTHOR, DOMAIN, MAIL, ed25519_key, record, rsa_key, signed

NAME = f"sel._domainkey.{DOMAIN}"
RIGHT = record(rsa_key())


@cache
def _domains() -> Domains:
    return Domains()


def _signatures(raw: bytes) -> tuple[Signed, ...]:
    return signatures(raw, AUTHOR, _domains(), 5)


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    server = NameServer()
    await server.start()
    yield server
    await server.stop()


def _around(server: NameServer, inner: FakeScanner, seconds: float = 2.0) -> VerifyingScanner:
    names = Names([("127.0.0.1", server.port)], seconds)
    metrics = Metrics(CollectorRegistry())
    return VerifyingScanner(inner, names, timeout_seconds=seconds, clock=FixedClock(), metrics=metrics)


def _scanner(server: NameServer, raw: bytes, seconds: float = 2.0) -> VerifyingScanner:
    inner = FakeScanner()
    inner.signatures = _signatures(raw)
    return _around(server, inner, seconds)


async def _signals(server: NameServer, raw: bytes, seconds: float = 2.0) -> tuple[str, ...]:
    scan = await _scanner(server, raw, seconds).scan(an_envelope(), raw)
    assert scan.signatures == ()
    return scan.signals


GOOD = ("dkim_aligned", "dkim_pass")


@pytest.mark.parametrize(
    ("raw", "records", "signals"),
    [
        pytest.param(signed(), [RIGHT], GOOD, id="right key"),
        pytest.param(signed(key=ed25519_key()), [record(ed25519_key())], GOOD, id="Ed25519"),
        pytest.param(signed(), [b"v=spf1 -all", RIGHT], GOOD, id="another record beside it"),
        pytest.param(signed(key=rsa_key(4096)), [record(rsa_key(4096), b"n=" + b"x" * 900 + b"; ")], GOOD, id="by TCP"),
        pytest.param(signed(), [record(rsa_key(number=1))], ("dkim_fail",), id="wrong key"),
        pytest.param(signed(), [], ("dkim_permerror",), id="no key"),
        pytest.param(signed(), None, ("dkim_temperror",), id="no answer"),
        pytest.param(MAIL, [RIGHT], (), id="not signed"),
    ],
)
async def test_scan_when_a_mail_is_signed_then_its_signals_say_what_the_signature_is_worth(
    server: NameServer, raw: bytes, records: list[bytes] | None, signals: tuple[str, ...]
) -> None:
    """As a trusted server's Authentication-Results would; the model's number stays what it is."""
    server.records[NAME] = records

    assert await _signals(server, raw, seconds=2.0 if records is not None else 0.2) == signals


async def test_b15_scan_when_the_name_server_fails_then_nothing_is_known(server: NameServer) -> None:
    """An answer that is none is not taken for a key that is missing, and is asked for again."""
    server.is_failing = True
    server.records[NAME] = [RIGHT]
    scanner = _scanner(server, signed(), 0.5)

    assert (await scanner.scan(an_envelope(), b"")).signals == ("dkim_temperror",)
    server.is_failing = False
    assert (await scanner.scan(an_envelope(), b"")).signals == GOOD


async def test_scan_when_the_body_was_changed_then_fails_without_asking_for_a_key(server: NameServer) -> None:
    """What cannot be good costs no question."""
    server.records[NAME] = [RIGHT]

    assert await _signals(server, signed() + b"more\r\n") == ("dkim_fail",)
    assert server.asked == []


async def test_scan_when_a_domain_sends_again_then_its_key_is_remembered(server: NameServer) -> None:
    """A newsletter costs one question; a key that is missing is remembered, too."""
    server.records[NAME] = [RIGHT]
    scanner = _scanner(server, signed(signed(domain="none.example")))

    first = await scanner.scan(an_envelope(), b"")
    second = await scanner.scan(an_envelope(), b"")

    assert first.signals == second.signals == GOOD
    assert sorted(server.asked) == ["sel._domainkey.news.example.org", "sel._domainkey.none.example"]


async def test_b15_scan_when_the_name_server_is_away_then_is_done_in_time(server: NameServer) -> None:
    """All keys of a message together have the time of one."""
    raw = MAIL
    for n in range(4):
        raw = signed(raw, domain=f"d{n}.example")
        server.records[f"sel._domainkey.d{n}.example"] = None
    started = asyncio.get_running_loop().time()

    assert await _signals(server, raw, seconds=0.3) == ("dkim_temperror",)
    assert asyncio.get_running_loop().time() - started < 2.0


async def test_scan_when_a_signature_has_expired_then_is_not_good(server: NameServer) -> None:
    """``x=`` is compared with the clock here: a scanner has none."""
    server.records[NAME] = [RIGHT]
    inner = FakeScanner()
    (found,) = _signatures(signed())
    results = []
    for year in (2025, 2027):
        at = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
        inner.signatures = (replace(found, expires=at),)
        results.append((await _around(server, inner).scan(an_envelope(), b"")).signals)

    assert results == [("dkim_permerror",), GOOD]


def _with_numbers(e: int, n: int) -> bytes:
    key = RSAPublicNumbers(e, n).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"p=" + base64.b64encode(der)


MODULUS = rsa_key().public_key().public_numbers().n


@pytest.mark.parametrize(
    ("key", "result"),
    [
        pytest.param(RIGHT, "pass", id="the right one"),
        pytest.param(RIGHT.replace(b"v=DKIM1; ", b""), "pass", id="without a version"),
        pytest.param(record(rsa_key(), b"s=email; h=sha1:sha256; t=s; "), "pass", id="for all that it is used for"),
        pytest.param(_with_numbers(65_537, MODULUS**5 | 1), "policy", id="too long"),
        pytest.param(_with_numbers(65_537, 2**600 + 1), "policy", id="too short"),
        pytest.param(_with_numbers(MODULUS - 2, MODULUS), "policy", id="long exponent"),
        pytest.param(b"p=" + b"A" * 100_000, "permerror", id="longer than any"),
        pytest.param(b"v=DKIM1; p=", "permerror", id="revoked"),
        pytest.param(b"v=DKIM1; p=AAAA", "permerror", id="no key in it"),
        pytest.param(b"v=DKIM1; p=%%%", "permerror", id="no base64"),
        pytest.param(record(ed25519_key()), "permerror", id="of another kind"),
        pytest.param(record(rsa_key(), b"h=sha1; "), "permerror", id="for SHA-1 only"),
        pytest.param(record(rsa_key(), b"s=other; "), "permerror", id="not for mail"),
        pytest.param(record(rsa_key(), b"t=y; "), "neutral", id="tried out"),
        pytest.param(b"what is this", "permerror", id="no record of a key"),
    ],
)
def test_b15_key_when_it_is_published_then_is_used_as_far_as_it_is_fit(key: bytes, result: str) -> None:
    """RFC 6376 section 6.1.2; what would cost a verifier too much is not used."""
    (found,) = _signatures(signed())

    assert result_of(found, [key]) == result


def test_key_when_it_is_of_the_domain_only_then_signs_for_none_below() -> None:
    """``t=s`` (RFC 6376 section 3.6.1)."""
    (found,) = _signatures(signed(identity=f"@sub.{DOMAIN}"))

    assert result_of(found, [RIGHT]) == "pass"
    assert result_of(found, [record(rsa_key(), b"t=s; ")]) == "permerror"
