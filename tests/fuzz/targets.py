"""What is fuzzed: functions from octets to nothing, that fail where a promise is broken.

``run.py`` feeds them with what atheris finds; ``test_regressions.py`` replays what it found. The first octet or two
choose among variants, so that one target covers a family.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from filterd.core.bundle import BundleSpec, probes_from_jsonl
from filterd.core.domains import Domains
from filterd.core.envelope import Channel
from filterd.core.html import read_html
from filterd.core.message import ParseLimits
from filterd.core.normalize import Normalizer
from filterd.core.report_mail import MAX_REPORTS, read_report
from filterd.core.smtp_data import normalize_newlines
from filterd.core.smtp_reply import MAX_TEXT_CHARS, Offers, ReplyParser
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.demo.webhook_client import telnyx_key_pair
from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import BundleError, PayloadInvalid, RelayUnavailable, SignatureInvalid, Unscannable, Unsigned
from filterd.inference.graph import read_graph
from filterd.settings import SmsSettings
from tests.filterd.test_core_smtp_data import received, reference
from tests.hostile.test_messages import DECISIONS, check_splice

Target = Callable[[bytes], None]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE = "https://sms.example.com"
LIMITS = ParseLimits(max_parts=100, max_decoded_bytes=1 << 20)


def mail() -> Target:
    """MIME, HTML, normaliser and features: whatever comes is read or unscannable, and ids are in range."""
    domains = Domains()
    extractors = {channel: Extractor(channel, DEFAULT_HASHING[channel], LIMITS, domains) for channel in Channel}
    normalizer = Normalizer(domains.registrable, capacity=1_000)

    def extract(raw: bytes, channel: Channel) -> None:
        try:
            tokens = extractors[channel](raw).tokens
        except Unscannable as exc:
            if exc.__cause__ is not None:
                raise
            return
        assert 1 <= tokens.length <= DEFAULT_HASHING[channel].max_tokens
        assert tokens.tokens.min() >= 0
        assert tokens.tokens.max() < DEFAULT_HASHING[channel].token_buckets

    def run(data: bytes) -> None:
        kind, rest = data[:1], data[1:]
        if kind == b"h":
            with contextlib.suppress(Unscannable):
                read_html(rest.decode("utf-8", "replace"), 100_000).visible.encode("utf-8")
        elif kind == b"n":
            once = normalizer.normalize(rest.decode("utf-8", "replace"))
            assert normalizer.normalize(once) == once
        elif kind == b"s":
            extract(rest, Channel.SMS)
        else:
            extract(data, Channel.EMAIL)

    return run


def report() -> Target:
    """Mail to a report address: ids that stand in it, or unscannable."""

    def run(data: bytes) -> None:
        try:
            found = read_report(data, LIMITS)
        except Unscannable as exc:
            if exc.__cause__ is not None:
                raise
            return
        assert len(set(found.ids)) == len(found.ids) <= MAX_REPORTS
        assert all(re.fullmatch(r"[0-9a-f]{32}", id) for id in found.ids)

    return run


def splice() -> Target:
    """Our block in front, forged headers out, every other octet as it came: of messages as the receiver gives them."""

    def run(data: bytes) -> None:
        check_splice(normalize_newlines(data[1:]), DECISIONS[data[0] % len(DECISIONS)] if data else DECISIONS[0])

    return run


def smtp_data() -> Target:
    """The end of data is where the reference says, however the octets are split."""

    def run(data: bytes) -> None:
        wire = data[4:] + b"\r\n.\r\nNEXT"
        assert received(wire, *(cut % (len(wire) + 1) for cut in data[:4])) == reference(wire)

    return run


def smtp_reply() -> Target:
    """Replies are the same however split, and printable; anything else is an unavailable next hop."""

    def replies(*chunks: bytes) -> object:
        parser = ReplyParser()
        try:
            return [reply for chunk in chunks for reply in parser.feed(chunk)]
        except RelayUnavailable:
            return None

    def run(data: bytes) -> None:
        cut, octets = data[0] if data else 0, data[1:]
        whole, split = replies(octets), replies(octets[:cut], octets[cut:])
        assert whole == split or None in {whole is None, split is None}
        parser = ReplyParser()
        with contextlib.suppress(RelayUnavailable):
            for reply in parser.feed(octets):
                assert 200 <= reply.code <= 599
                assert all(re.fullmatch(r"[ -~]*", line) and len(line) <= MAX_TEXT_CHARS for line in reply.lines)
                assert Offers.of(reply).max_bytes >= 0

    return run


def webhook() -> Target:
    """Unsigned calls are refused; bodies are read or refused, and what is read can be stored."""
    settings = SmsSettings.model_validate(
        {
            "public_base_url": BASE,
            "twilio": {"auth_token": "0" * 32},
            "vonage": {"signature_secret": "0" * 32},
            "telnyx": {"public_key": telnyx_key_pair()[1]},
            "plivo": {"auth_token": "0" * 32},
            "generic": {"secret": "whsec_" + "A" * 32},
        }
    )
    adapters = list(adapters_of(settings).values())
    kinds = ("application/json", "application/x-www-form-urlencoded", "text/plain", "")

    def run(data: bytes) -> None:
        if len(data) < 2:
            return
        adapter, kind = adapters[data[0] % len(adapters)], kinds[data[1] % len(kinds)]
        query, body = ("", data[2:]) if data[1] < 128 else (data[2:].decode("latin-1"), b"")
        _call(adapter, kind, query, body)

    return run


def _call(adapter: Adapter, kind: str, query: str, body: bytes) -> None:
    text = body[:200].decode("latin-1")
    names = ("x-twilio-signature", "authorization", "telnyx-signature-ed25519", "webhook-signature", "webhook-id")
    headers = (("content-type", kind), *((name, text) for name in names))
    url = f"{BASE}/webhooks/{adapter.name}"
    call = WebhookRequest(
        method="GET" if query else "POST", url=f"{url}?{query}", query=query, headers=headers, body=body
    )
    try:
        adapter.verify(call, NOW)
    except (SignatureInvalid, Unsigned, PayloadInvalid):
        pass
    else:
        raise AssertionError("a call nobody signed was believed")
    with contextlib.suppress(PayloadInvalid):
        for part in adapter.parse(call, NOW):
            for value in (part.text, part.sender, part.recipient, part.provider_id, part.reference):
                assert "\0" not in value
                value.encode("utf-8")


def bundle() -> Target:
    """A bundle's files are read or refused with a reason."""

    def run(data: bytes) -> None:
        kind, rest = data[:1], data[1:]
        with contextlib.suppress(BundleError):
            if kind == b"j":
                BundleSpec.from_json(rest.decode("utf-8", "replace"))
            elif kind == b"p":
                probes_from_jsonl(rest.decode("utf-8", "replace"))
            else:
                read_graph(rest).column(16)

    return run


TARGETS: Mapping[str, Callable[[], Target]] = MappingProxyType(
    {
        "mail": mail,
        "report": report,
        "splice": splice,
        "smtp_data": smtp_data,
        "smtp_reply": smtp_reply,
        "webhook": webhook,
        "bundle": bundle,
    }
)
