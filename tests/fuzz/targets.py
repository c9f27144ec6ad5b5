"""What is fuzzed: functions from octets to nothing, that fail where a promise is broken.

``run.py`` feeds them with what atheris finds; ``test_regressions.py`` replays what it found. The first octet or two
choose among variants, so that one target covers a family.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from filterd.core.advice import Advice
from filterd.core.auth_results import auth_signals, parse
from filterd.core.bundle import BundleSpec, probes_from_jsonl
from filterd.core.dkim import signatures
from filterd.core.domains import Domains
from filterd.core.envelope import Channel, MessageId
from filterd.core.headers import Stamp, find_id
from filterd.core.html import read_html
from filterd.core.message import ParseLimits
from filterd.core.milter_codec import (
    Frames,
    Header,
    read_connect,
    read_header,
    read_macros,
    read_negotiation,
    read_path,
)
from filterd.core.milter_message import edits, rebuild
from filterd.core.normalize import Normalizer
from filterd.core.report_mail import MAX_REPORTS, read_report
from filterd.core.rspamd_codec import answer as rspamd_answer
from filterd.core.signed import RESULTS
from filterd.core.smtp_data import normalize_newlines
from filterd.core.smtp_reply import MAX_TEXT_CHARS, Offers, ReplyParser
from filterd.core.spamd_codec import inflate, parse_request
from filterd.core.spamd_message import rewrite, sender_of
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.core.verdict import Action, Decision, Reason
from filterd.demo.webhook_client import telnyx_key_pair
from filterd.dkim.keys import result_of
from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import (
    BundleError,
    CredentialsMissing,
    FetchNeeded,
    MessageTooLarge,
    MilterBroken,
    PayloadInvalid,
    RelayUnavailable,
    RequestInvalid,
    SignatureInvalid,
    Unscannable,
    Unsigned,
)
from filterd.inference.graph import read_graph
from filterd.sms_settings import SmsSettings
from filterd.testing import a_scan, an_envelope
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


def milter() -> Target:
    """Frames are the same however split; each is a value or refused; what is made of them is whole frames and lines."""
    readers = {b"O": read_negotiation, b"D": read_macros, b"C": read_connect, b"M": read_path, b"L": read_header}
    stamp = Stamp(hostname="gw.example")

    def frames(*chunks: bytes) -> object:
        found = Frames()
        try:
            return [each for chunk in chunks for each in found.feed(chunk)]
        except MilterBroken:
            return None

    def run(data: bytes) -> None:
        cut, octets = data[0] if data else 0, data[1:]
        whole, split = frames(octets), frames(octets[:cut], octets[cut:])
        assert whole == split or None in {whole is None, split is None}
        fields = []
        with contextlib.suppress(MilterBroken):
            for command, payload in Frames().feed(octets):
                value = readers[command](payload) if command in readers else None
                fields += [value] if isinstance(value, Header) else []
        raw = rebuild(fields, octets, is_spaced=True)
        assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")
        for each in edits(fields, an_envelope(), DECISIONS[cut % len(DECISIONS)], stamp, is_spaced=True):
            assert len(each) == 4 + int.from_bytes(each[:4], "big")

    return run


def auth_results() -> Target:
    """Whatever the octets, signals are words of ours, and there are none where no trusted server is named."""
    domains = Domains()
    trusted = frozenset({"mx.example.net"})

    def run(data: bytes) -> None:
        parse(data.decode("utf-8", "replace"))
        found = auth_signals(data, trusted, "ann@example.org", domains)
        assert all(re.fullmatch(r"(arc_)?(spf|dkim|dmarc|arc)_[a-z]+", name) for name in found)
        assert not found or b"mx.example.net" in data.lower()

    return run


def dkim() -> Target:
    """Whatever the octets of a signature, of what it signs and of its key, it comes to a result of the list."""
    domains = Domains()

    def run(data: bytes) -> None:
        raw, _, key = data.partition(b"\0\0")
        for signed in signatures(raw, "ann@example.org", domains, 5):
            assert (signed.result or result_of(signed, [key])) in RESULTS

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
    token = secrets.token_hex(16)  # of its own: a fuzzer would find one that stands in the code
    settings = SmsSettings.model_validate(
        {
            "public_base_url": BASE,
            "twilio": {"auth_token": token},
            "vonage": {"signature_secret": token},
            "telnyx": {"public_key": telnyx_key_pair()[1]},
            "plivo": {"auth_token": token},
            "messagebird": {"signing_key": token},
            "bird": {"signing_key": token},
            "sinch": {"webhook_secret": token},
            "infobip": {"password": token},
            "bandwidth": {"password": token},
            "sns": {"topic_arns": ("arn:aws:sns:eu-west-1:123456789012:sms",)},
            "telerivet": {"secret": token},
            "kannel": {"token": token},
            "jasmin": {"token": token},
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
    names = (
        *("x-twilio-signature", "authorization", "telnyx-signature-ed25519", "webhook-signature", "webhook-id"),
        *("messagebird-signature-jwt", "messagebird-signature", "messagebird-request-timestamp"),
        *(f"x-sinch-webhook-signature{name}" for name in ("", "-nonce", "-timestamp")),
    )
    headers = (("content-type", kind), *((name, text) for name in names))
    url = f"{BASE}/webhooks/{adapter.name}"
    call = WebhookRequest(
        method="GET" if query else "POST", url=f"{url}?{query}", query=query, headers=headers, body=body
    )
    try:
        adapter.verify(call, NOW)
    except (SignatureInvalid, Unsigned, CredentialsMissing, PayloadInvalid, FetchNeeded):
        pass
    else:
        raise AssertionError("a call nobody signed was believed")
    with contextlib.suppress(PayloadInvalid, FetchNeeded):
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


def asked() -> Target:
    """Requests of spamd's clients are read or refused; what goes back to a client of either kind is well-formed."""
    decision = Decision(action=Action.TAG, reason=Reason.SPAM, scan=a_scan(0.99), subject_tag="[SPAM]")
    advice = Advice(id=MessageId("1" * 32), decision=decision)

    def request(head: bytes) -> None:
        with contextlib.suppress(RequestInvalid):
            found = parse_request(head)
            values = (found.user, *(value for values in found.fields.values() for value in values))
            assert all(re.fullmatch(r"[!-~]*", value) for value in values)

    def message(raw: bytes) -> None:
        with contextlib.suppress(RequestInvalid, MessageTooLarge):
            assert len(inflate(raw, 10_000)) <= 10_000
        whole, header = (rewrite(raw, advice, Stamp(hostname="x"), is_header_only=only) for only in (False, True))
        assert whole.startswith(header)
        if b"\r" not in raw.replace(b"\r\n", b""):  # else readers differ on where our first line begins
            assert find_id(whole) == find_id(header) == advice.id
        assert re.fullmatch(r"[!-~]*", sender_of(raw))

    def reply(raw: bytes) -> None:
        found = rspamd_answer(advice, raw, "add header")
        json.dumps(found)
        headers = found["milter"]
        texts = (*headers["remove_headers"], found["subject"], found["message-id"])
        assert not any(end in text for text in texts for end in "\r\n")

    def run(data: bytes) -> None:
        (request, message, reply)[data[0] % 3 if data else 0](data[1:])

    return run


TARGETS: Mapping[str, Callable[[], Target]] = MappingProxyType(
    {
        "mail": mail,
        "report": report,
        "splice": splice,
        "milter": milter,
        "auth_results": auth_results,
        "dkim": dkim,
        "smtp_data": smtp_data,
        "smtp_reply": smtp_reply,
        "asked": asked,
        "webhook": webhook,
        "bundle": bundle,
    }
)
