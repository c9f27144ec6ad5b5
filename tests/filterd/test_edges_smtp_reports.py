"""Reports by mail over real sockets: who is believed, what is answered, what is written down (threat C2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from filterd.core.verdict import Action, Decision, Label, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.errors import Overloaded, ScanDown, StoreUnavailable, Unscannable
from filterd.settings import LearningSettings
from filterd.testing import a_scan, an_envelope
from tests.filterd.smtp_dialogue import Gateway, NextHop, gateway, until

ONE, TWO, UNKNOWN = "1" * 32, "2" * 32, "3" * 32
ANN, BOB = "ann@example.org", "bob@example.org"
LEARNING = LearningSettings(
    report_spam_to="spam@example.org",
    report_ham_to="ham@example.org",
    reporters=("example.org", "carol@example.net"),
    report_networks=("127.0.0.0/8", "192.0.2.0/24"),
)
OFFICE, STRANGER = "192.0.2.7", "203.0.113.5"
PROXIED: dict[str, Any] = {"xclient_networks": ("127.0.0.0/8",)}


def forward(*ids: str) -> bytes:
    """A mail with the messages of these ids attached; of an empty id, one that bypassed us."""
    parts = "".join(
        "--b\r\nContent-Type: message/rfc822\r\n\r\n"
        + (f"X-Filterd-Id: {id}\r\n" if id else "")
        + "From: eve@example.com\r\nSubject: win\r\n\r\nwin\r\n"
        for id in ids
    )
    return f'Subject: Fwd\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n{parts}--b--\r\n'.encode()


async def record(gw: Gateway, *ids: str, recipients: tuple[str, ...] = (ANN, BOB)) -> None:
    """Messages that were delivered."""
    for id in ids:
        decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=replace(a_scan(), fingerprint="0" * 64))
        outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
        await gw.store.record(Verdict.of(an_envelope("eve@example.com", *recipients, id=id), 1, decision, outcome, {}))


def standing(gw: Gateway) -> list[tuple[str, Label, str, str]]:
    return [(f.message_id, f.label, f.reporter, f.origin) for f in gw.store.ledger.standing()]


def result(gw: Gateway, name: str) -> float:
    return gw.count("filterd_reports_total", origin="mail", result=name)


async def test_report_from_a_listed_sender_of_a_vouching_client_is_written_down_and_goes_no_further() -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING) as gw:
        await record(gw, ONE, TWO)
        client = await gw.client()

        reply = await client.message(forward(ONE, TWO), "SPAM@Example.org", sender="Ann@Example.ORG")

        assert reply == "250 2.0.0 Ok, 2 reported as spam"
        assert standing(gw) == [(ONE, Label.SPAM, ANN, "mail"), (TWO, Label.SPAM, ANN, "mail")]
        assert [c.report.recipients for c in await gw.store.report_changes(None, most=9)] == [(ANN,), (ANN,)]
        assert (hop.messages, [c for c in hop.commands if c.startswith(("MAIL", "RCPT"))]) == ([], [])
        assert result(gw, "new") == gw.count("filterd_feedback_total", label="spam") == 2
        assert (await client.message()).startswith("250 2.0.0 Ok: queued")


async def test_report_twice_counts_once_and_the_opposite_label_wins() -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING) as gw:
        await record(gw, ONE)
        client = await gw.client()
        for _ in range(2):
            assert (await client.message(forward(ONE), "spam@example.org", sender=ANN)).startswith("250")
        assert standing(gw) == [(ONE, Label.SPAM, ANN, "mail")]
        assert (result(gw, "new"), result(gw, "repeated")) == (1, 1)

        assert await client.message(forward(ONE), "ham@example.org", sender=ANN) == "250 2.0.0 Ok, 1 reported as ham"

        assert standing(gw) == [(ONE, Label.HAM, ANN, "mail")]
        changes = await gw.store.report_changes(gw.store.ledger.standing()[0].given_at, most=9)
        assert [(c.report.label, c.is_standing) for c in changes] == [(Label.SPAM, False), (Label.HAM, True)]


REFUSED = "550 5.7.1 Reports are not taken from you"


@pytest.mark.parametrize(
    ("said", "sender"),
    [
        ((), "eve@example.com"),
        ((), ""),
        ((), "ann@mail.example.org"),
        ((f"XFORWARD ADDR={STRANGER} NAME=mx.example.org",), ANN),
        (("XFORWARD ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]",), ANN),
        (("XFORWARD NAME=office.example.org",), ANN),
        ((f"XCLIENT ADDR={STRANGER}", "EHLO x"), ANN),
        ((f"XCLIENT ADDR={OFFICE} LOGIN=eve@example.org", "EHLO x"), ANN),
        ((f"XCLIENT ADDR={OFFICE} LOGIN=eve", "EHLO x"), ANN),
        ((f"XCLIENT ADDR={STRANGER} LOGIN=eve", "EHLO x"), "eve@example.com"),
        ((f"XCLIENT ADDR={STRANGER} LOGIN=ann@example.org", "EHLO x"), "ann@example.com"),
    ],
    ids=[
        "unlisted sender",
        "null sender",
        "domain below a listed one",
        "forged by a client that XFORWARD names",
        "client unknown to XFORWARD",
        "client not named by XFORWARD",
        "forged by a client that XCLIENT names",
        "logged in as another",
        "logged in as another user",
        "user name at an unlisted domain",
        "logged in under another domain",
    ],
)
async def test_c2_report_of_a_stranger_is_refused_at_rcpt(said: tuple[str, ...], sender: str) -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING, **PROXIED) as gw:
        await record(gw, ONE)
        client = await gw.client()
        for line in said:
            assert (await client.say(line))[:1] == "2"

        assert await client.say(f"MAIL FROM:<{sender}>", "RCPT TO:<spam@example.org>") == REFUSED
        assert (await client.say("DATA")).startswith("503")
        assert (standing(gw), hop.messages) == ([], [])
        assert result(gw, "refused") == 1
        (line,) = [entry for entry in gw.log if entry["event"] == "report.refused"]
        assert "ann@" not in str(line)


@pytest.mark.parametrize("networks", [(), ("198.51.100.0/24",)], ids=["none listed", "another listed"])
async def test_c2_report_of_a_forged_listed_sender_from_a_client_that_only_relays_is_refused(
    networks: tuple[str, ...],
) -> None:
    """A mail server in front passes on whatever sender the internet wrote."""
    learning = LEARNING.model_copy(update={"report_networks": networks})
    async with NextHop() as hop, gateway(hop, learning=learning, relay_networks=("127.0.0.0/8",)) as gw:
        client = await gw.client()

        assert await client.say(f"MAIL FROM:<{ANN}>", "RCPT TO:<spam@example.org>") == REFUSED


@pytest.mark.parametrize(
    ("said", "sender"),
    [
        ((), "carol@example.net"),
        ((f"XFORWARD ADDR={OFFICE} NAME=office.example.org",), ANN),
        ((f"XCLIENT ADDR={OFFICE}", "EHLO x"), ANN),
        ((f"XCLIENT ADDR={STRANGER} LOGIN=Dan@Example.com", "EHLO x"), "dan@example.com"),
        ((f"XCLIENT ADDR={STRANGER} LOGIN=ann", "EHLO x"), ANN),
    ],
    ids=["listed address", "office by XFORWARD", "office by XCLIENT", "login", "user name at a listed domain"],
)
async def test_report_of_one_who_is_known_is_taken(said: tuple[str, ...], sender: str) -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING, **PROXIED) as gw:
        await record(gw, ONE)
        client = await gw.client()
        for line in said:
            await client.say(line)

        assert (await client.message(forward(ONE), "ham@example.org", sender=sender)).startswith("250")
        assert standing(gw) == [(ONE, Label.HAM, sender, "mail")]


async def test_report_address_when_none_is_set_is_an_address_like_any_other() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()

        assert (await client.message(forward(ONE), "spam@example.org", sender=ANN)).startswith("250")
        assert len(hop.messages) == 1


APART = "452 4.5.3 Send reports in a message of their own"


async def test_report_address_behind_other_recipients_waits_for_a_message_of_its_own() -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING) as gw:
        client = await gw.client()
        await client.say(f"MAIL FROM:<{ANN}>", "RCPT TO:<b@example.net>")

        assert await client.say("RCPT TO:<spam@example.org>") == APART
        assert (await client.say("RCPT TO:<c@example.net>")).startswith("250")
        assert (await client.say("DATA")).startswith("354")
        assert (await client.say("Subject: x\r\n\r\nx\r\n.")).startswith("250 2.0.0 Ok: queued")
        assert (len(hop.messages), standing(gw)) == (1, [])


async def test_other_recipients_behind_a_report_address_wait_and_so_does_the_other_label() -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING) as gw:
        await record(gw, ONE)
        client = await gw.client()
        await client.say(f"MAIL FROM:<{ANN}>")

        assert await client.say("RCPT TO:<spam@example.org>") == "250 2.1.5 Ok"
        assert await client.say("RCPT TO:<b@example.net>") == APART
        assert await client.say("RCPT TO:<ham@example.org>") == APART
        assert await client.say("RCPT TO:<spam@example.org>") == "250 2.1.5 Ok"
        await client.say("DATA")
        client.send(forward(ONE) + b".\r\n")
        assert (await client.reply()).startswith("250")
        assert standing(gw) == [(ONE, Label.SPAM, ANN, "mail")]
        # Nothing of it is left for the next message.
        assert (await client.message(sender=ANN)).startswith("250 2.0.0 Ok: queued")
        assert (len(hop.messages), len(standing(gw))) == (1, 1)


async def test_report_after_a_recipient_the_next_hop_refused_is_taken() -> None:
    async with NextHop(answers={"RCPT": "550 5.1.1 no"}) as hop, gateway(hop, learning=LEARNING) as gw:
        await record(gw, ONE)
        client = await gw.client()

        reply = await client.message(forward(ONE), "nobody@example.net", "spam@example.org", sender=ANN)

        assert reply.startswith("250")
        assert hop.messages == []


@pytest.mark.parametrize("sent", ["RSET", "EHLO x"])
async def test_report_when_the_transaction_is_forgotten_is_forgotten(sent: str) -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING) as gw:
        client = await gw.client()
        await client.say(f"MAIL FROM:<{ANN}>", "RCPT TO:<spam@example.org>", sent)

        assert (await client.message(sender=ANN)).startswith("250 2.0.0 Ok: queued")
        assert len(hop.messages) == 1


NOT_OURS = "550 5.6.0 The message in this report did not pass this filter, or is forgotten"


@pytest.mark.parametrize(
    ("raw", "reply", "results"),
    [
        (forward(ONE, "", UNKNOWN), "250 2.0.0 Ok, 1 reported as spam, 2 did not pass this filter", (1, 2, 0)),
        (forward(UNKNOWN), NOT_OURS, (0, 1, 0)),
        (forward(""), NOT_OURS, (0, 1, 0)),
        (
            b"Subject: look\r\n\r\nthis is spam\r\n",
            "550 5.6.0 No message in this report: forward it as an attachment",
            (0, 0, 1),
        ),
        (forward(*(f"{n:032x}" for n in range(101))), "550 5.6.0 Report cannot be read", (0, 0, 1)),
    ],
    ids=["one of three", "an unknown id", "bypassed us", "no message", "too many"],
)
async def test_report_when_messages_are_not_ours_says_so(raw: bytes, reply: str, results: tuple[int, int, int]) -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING) as gw:
        await record(gw, ONE)
        client = await gw.client()

        assert (await client.message(raw, "spam@example.org", sender=ANN)).startswith(reply)
        assert [result(gw, name) for name in ("new", "unknown", "unreadable")] == list(results)
        assert [entry["event"] for entry in gw.log].count("report.unread") == (0 if reply.startswith("2") else 1)


async def test_report_when_both_addresses_are_one_is_what_the_feedback_report_says() -> None:
    learning = LEARNING.model_copy(update={"report_ham_to": "spam@example.org"})
    fields = b"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: not-spam\r\n"
    async with NextHop() as hop, gateway(hop, learning=learning) as gw:
        await record(gw, ONE)
        client = await gw.client()

        reply = await client.message(forward(ONE), "spam@example.org", sender=ANN)
        assert reply == "550 5.6.0 Report says neither spam nor ham"

        raw = forward(ONE).replace(b"--b\r\n", fields + b"--b\r\n", 1)
        assert await client.message(raw, "spam@example.org", sender=ANN) == "250 2.0.0 Ok, 1 reported as ham"


@pytest.mark.parametrize(
    ("where", "failure", "reply"),
    [
        ("store", StoreUnavailable(), "451 4.3.0"),
        ("reader", ScanDown(), "451 4.3.0"),
        ("reader", Overloaded(), "452 4.3.2"),
        ("reader", RuntimeError("a bug"), "451 4.3.0"),
        ("reader", Unscannable("time limit"), "550 5.6.0"),
    ],
    ids=["store down", "scanners down", "busy", "bug", "hostile"],
)
async def test_report_when_it_cannot_be_kept_is_answered_so(where: str, failure: Exception, reply: str) -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING) as gw:
        await record(gw, ONE)
        client = await gw.client()
        (gw.store if where == "store" else gw.reader).failure = failure

        assert (await client.message(forward(ONE), "spam@example.org", sender=ANN)).startswith(reply)

        gw.store.failure = gw.reader.failure = None
        assert standing(gw) == []
        assert (await client.message(forward(ONE), "spam@example.org", sender=ANN)).startswith("250")


async def test_report_when_the_client_is_gone_after_the_dot_is_written_down_all_the_same() -> None:
    async with NextHop() as hop, gateway(hop, learning=LEARNING) as gw:
        await record(gw, ONE)
        client = await gw.client()
        await client.say(f"MAIL FROM:<{ANN}>", "RCPT TO:<spam@example.org>", "DATA")
        client.send(forward(ONE) + b".\r\n")
        await client.writer.drain()
        client.writer.close()

        await until(lambda: bool(standing(gw)))


def test_report_address_that_is_none_is_refused_in_the_configuration() -> None:
    for text in ("spam", "@example.org", "spam@"):
        with pytest.raises(ValueError, match="must be an address"):
            LearningSettings(report_spam_to=text)
