"""Custody of mail as state machines, for SMTP and LMTP.

Any commands, any fault of next hop, scanner and store, any way a client leaves.

Every reply is the model's, and after every step the ledger of the fault runs adds up: what was acknowledged is with
the next hop or in quarantine, once, octet for octet, for the recipients it was accepted for, under an honest verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from filterd.core.envelope import Envelope
from filterd.core.policy import Policy, Rule, Scope
from filterd.core.verdict import OutcomeKind, Scan
from filterd.edges.lmtp import LmtpEdge
from filterd.edges.smtp import SmtpEdge
from filterd.metrics import UNJUDGED
from filterd.ports import HeldState
from tests.faults.ledger import Attempt, Held, Nature, Told, audit
from tests.faults.letters import Letter, delivered_from, held_from, token_in
from tests.filterd.custody_model import (
    MAX_BYTES,
    MAX_RECIPIENTS,
    MAX_UNKNOWN,
    NEXT_HOP,
    SCANNER,
    STORE,
    Handled,
    Session,
    handle,
    handle_each,
)
from tests.filterd.smtp_dialogue import gateway, until
from tests.filterd.taking_hop import TakingHop

NAMES = st.sampled_from(["b", "c", "d"])
SENDERS = st.sampled_from(["ann@example.org", "eve@example.org", ""])
BROKEN = {
    "bare_newline": (b"a\nb\r\n", "550"),
    "too_large": (b"x" * 5_000 + b"\r\n", "552"),
    "loop": (b"Received: x\r\n" * 60 + b"\r\n", "554"),
}
BATCH = (
    *("EHLO me", "HELO me", "MAIL FROM:<ann@example.org>", "MAIL FROM:<> SIZE=9999", "RCPT TO:<b@example.net>"),
    *("RCPT TO:<d@example.net>", "RCPT TO:<>", "DATA", "RSET", "NOOP", "VRFY x", "STARTTLS", "AUTH PLAIN", "FOO"),
)
LAST_IN_GROUP = ("EHLO", "HELO", "LHLO", "DATA", "STARTTLS")
FIXED = {"NOOP": "250", "VRFY": "252", "STARTTLS": "454", "AUTH": "502"}
IN_CUSTODY = (HeldState.PENDING, HeldState.HELD, HeldState.RELEASING)


class SmtpCustody(RuleBasedStateMachine):
    """One client after the other, in front of a next hop that keeps count."""

    kind: type[SmtpEdge] = SmtpEdge
    replies_to_two = 1
    """How many replies a message for two recipients has."""
    handle = staticmethod(handle)

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.session = Session()
        self.scanner = self.store = "up"
        self.serial = 0
        self.letters: dict[str, Letter] = {}
        self.unsent: list[str] = []
        """Letters whose sender has kept them and may repeat them."""
        self.attempts: list[Attempt] = []
        self.relayed: list[tuple[str, str, tuple[str, ...], str]] = []
        """Token, sender, recipients and status of what the next hop must have, in order."""
        self.records: Counter[str] = Counter()

    @initialize()
    def open_(self) -> None:
        self.runner.run(self._open())

    async def _open(self) -> None:
        policy = Policy(overrides={"d@example.net": Scope(rule=Rule(quarantine_at=None))})
        options: dict[str, Any] = {"max_message_bytes": MAX_BYTES, "max_recipients": MAX_RECIPIENTS}
        self.hop = await self.stack.enter_async_context(TakingHop())
        self.gateway = await self.stack.enter_async_context(
            gateway(self.hop, policy=policy, kind=self.kind, max_errors=100_000, **options)
        )
        self.gateway.scanner.marker = b"lottery"
        self.gate, scan = asyncio.Event(), self.gateway.scanner.scan
        self.gate.set()

        async def scan_in_time(envelope: Envelope, raw: bytes) -> Scan:
            await self.gate.wait()
            return await scan(envelope, raw)

        self.gateway.scanner.scan = scan_in_time  # type: ignore[method-assign]  # the same, once it may
        await self._connect()

    async def _connect(self) -> None:
        self.session = Session()
        self.client = await self.gateway.client(ehlo="")
        assert (await self.client.reply())[:3] == "220"

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()

    # --- the dialogue

    def say(self, line: str) -> str:
        return self.runner.run(self.client.say(line)).rpartition("\n")[2][:3]

    @rule(verb=st.sampled_from(["EHLO", "HELO"]))
    def greet(self, verb: str) -> None:
        verb = self.own(verb)
        assert self.say(f"{verb} me") == self.session.greet(verb)

    def own(self, line: str) -> str:
        """``line`` as this protocol says it."""
        return line

    @rule(sender=SENDERS, size=st.sampled_from([0, 100, MAX_BYTES + 1]))
    def mail(self, sender: str, size: int) -> None:
        declared = f" SIZE={size}" if size else ""
        assert self.say(f"MAIL FROM:<{sender}>{declared}") == self.session.mail(sender, size)

    @rule(name=NAMES, at_mail=st.sampled_from(["", "", "450 no", "550 no"]))
    def rcpt(self, name: str, at_mail: str) -> None:
        self._rcpt(name, at_mail, "")

    @rule(name=NAMES, at_rcpt=st.sampled_from(["450 no", "550 no", "close"]))
    def rcpt_refused(self, name: str, at_rcpt: str) -> None:
        self._rcpt(name, "", at_rcpt)

    def _rcpt(self, name: str, at_mail: str, at_rcpt: str) -> None:
        said = {"MAIL": at_mail, "RCPT": at_rcpt}
        self.hop.answers |= {verb: answer for verb, answer in said.items() if answer}
        assert self.say(f"RCPT TO:<{name}@example.net>") == self.session.rcpt(name, at_mail, at_rcpt)
        self.hop.answers.clear()

    @rule()
    def rset(self) -> None:
        assert self.say("RSET") == "250"
        self.session.reset()

    @rule(lines=st.lists(st.sampled_from(BATCH), min_size=1, max_size=6))
    def pipeline(self, lines: list[str]) -> None:
        """Commands in one packet. What a client may not say ahead of a reply ends the session."""
        lines = [self.own(line) for line in lines]
        self.client.send("".join(f"{line}\r\n" for line in lines).encode())
        for number, line in enumerate(lines):
            is_last = number == len(lines) - 1
            heard = self.runner.run(self.client.reply()).rpartition("\n")[2][:3]
            if line.startswith(LAST_IN_GROUP) and not is_last:
                assert heard == "554"
                self._gone()
                return
            if heard == "354":
                assert self.session.data() == "354"
                self._message("takes")
            else:
                assert heard == self._expected(line)
            if self.session.unknown == MAX_UNKNOWN:
                assert self.runner.run(self.client.reply())[:3] == "421"
                self._gone()
                return

    def _expected(self, line: str) -> str:
        verb, _, rest = line.partition(" ")
        if verb in FIXED:
            return FIXED[verb]
        if verb in ("EHLO", "HELO", "LHLO"):
            return self.session.greet(verb)
        if verb in ("MAIL", "RCPT"):
            return self._expected_path(verb, rest)
        if verb == "RSET":
            self.session.reset()
            return "250"
        self.session.unknown += verb == "FOO"
        return "500" if verb == "FOO" else self.session.data()

    def _expected_path(self, verb: str, argument: str) -> str:
        if verb == "MAIL":
            size = int(argument.partition("SIZE=")[2] or 0)
            return self.session.mail(argument.partition("<")[2].partition(">")[0], size)
        if argument == "TO:<>":
            return "503" if self.session.sender is None else "501"
        return self.session.rcpt(argument[4])

    def _gone(self) -> None:
        """The gateway has closed, having nothing more to say."""
        assert self.runner.run(self.client.is_closed())
        self.runner.run(self._connect())

    # --- messages

    @rule(hop=st.sampled_from(sorted(NEXT_HOP)))
    def data(self, hop: str) -> None:
        assert self.say("DATA") == self.session.data()
        if self.session.accepted and self.session.sender is not None:
            self._message(hop)

    @rule(
        names=st.lists(NAMES, min_size=1, max_size=2),
        sender=SENDERS,
        hop=st.sampled_from(sorted(NEXT_HOP)),
        leaves=st.sampled_from(["", "", "", "half-close", "reset"]),
    )
    def send(self, names: list[str], sender: str, hop: str, leaves: str) -> None:
        """A whole transaction: commands in any order seldom get that far."""
        self._begin(names, sender)
        assert self.say("DATA") == "354"
        self._message(hop, leaves=leaves)

    def _begin(self, names: list[str], sender: str = "ann@example.org") -> None:
        if not self.session.has_greeted:
            self.greet("EHLO")
        self.rset()
        self.mail(sender, 0)
        for name in names:
            self._rcpt(name, "", "")

    def _message(self, hop: str, *, leaves: str = "") -> None:
        """After 354. The client may leave behind the final dot: what becomes of the message is the same."""
        token = self._token()
        letter, recipients, sender = self.letters[token], tuple(self.session.accepted), self.session.sender or ""
        answer = NEXT_HOP[hop]
        self.hop.answers[answer.verb] = answer.says
        self.client.send(letter.raw.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        expected = self.handle(letter.nature, recipients, self.scanner, self.store, hop)
        if leaves:
            self.runner.run(self._leave(leaves))
        else:
            codes = [code for code, _ in expected.each] or [expected.code]
            assert self.runner.run(self.client.replies(len(codes))) == codes
        self.hop.answers.clear()
        self._note(token, sender, recipients, expected, is_heard=not leaves)
        self.session.reset()
        if leaves:
            self.runner.run(self._connect())

    async def _leave(self, how: str) -> None:
        # The scanner waits for the client to go: leaving before the final dot was read is another rule.
        self.gate.clear()
        await until(lambda: bool(self.gateway.edge._tasks))
        self._turn_away(how)
        await asyncio.sleep(0.005)
        self.gate.set()
        await self.gateway.settled()

    def _turn_away(self, how: str) -> None:
        if how == "reset":
            self.client.reset()
        else:
            self.client.writer.write_eof()

    def _token(self) -> str:
        """A new letter, or one whose sender still has it."""
        if self.unsent and self.serial % 3 == 0:
            return self.unsent.pop(0)
        self.serial += 1
        nature = Nature.SPAM if self.serial % 2 else Nature.HAM
        token = f"t{self.serial}"
        self.letters[token] = Letter(token=token, nature=nature)
        return token

    def _note(self, token: str, sender: str, recipients: tuple[str, ...], expected: Handled, *, is_heard: bool) -> None:
        said = dict(zip(recipients, expected.each or [(expected.code, expected.told)] * len(recipients), strict=True))
        nature = self.letters[token].nature
        attempts = [
            Attempt(
                token=f"{token}/{sender}/{name}",
                nature=nature,
                told=told if is_heard else Told.UNCLEAR,
                reply=code,
                is_theirs=True,
            )
            for name, (code, told) in sorted(said.items())
        ]
        self.attempts += attempts
        if any(attempt.told in (Told.DEFERRED, Told.UNCLEAR) for attempt in attempts):
            self.unsent.append(token)
        if expected.relayed:
            self.relayed.append((token, sender, expected.relayed, expected.status.value))
        self.records.update(expected.records)

    @rule(kind=st.sampled_from(sorted(BROKEN)))
    def send_broken(self, kind: str) -> None:
        """A message that breaks a rule: refused for good, after its real end."""
        body, code = BROKEN[kind]
        self._begin(["b", "c"])
        assert self.say("DATA") == "354"
        self.client.send(body + b".\r\n")
        assert self.runner.run(self.client.replies(self.replies_to_two)) == [code] * self.replies_to_two
        self.records[kind] += 1
        self.session.reset()

    @rule(how=st.sampled_from(["half-close", "reset"]))
    def leave_within_message(self, how: str) -> None:
        self._begin(["b", "d"])
        assert self.say("DATA") == "354"
        self.client.send(b"Subject: half\r\n\r\na line\r\n")
        self._turn_away(how)
        self.records["client_gone"] += 1
        self.runner.run(self._reconnect())

    @rule()
    def leave(self) -> None:
        """Between commands, whatever was said so far."""
        self.client.reset()
        self.runner.run(self._reconnect())

    async def _reconnect(self) -> None:
        await until(lambda: not self.gateway.edge._open)
        await self._connect()

    # --- the world around it

    @rule(scanner=st.sampled_from(sorted(SCANNER)))
    def scanner_changes(self, scanner: str) -> None:
        pipeline: Any = self.gateway.edge._process.__self__  # type: ignore[attr-defined]  # a bound method
        self.scanner = scanner
        self.gateway.scanner.failure = SCANNER[scanner]
        pipeline.settings = replace(pipeline.settings, scan_down="accept" if scanner == "passing" else "defer")

    @rule(store=st.sampled_from(sorted(STORE)))
    def store_changes(self, store: str) -> None:
        self.store = store
        self.gateway.store.failure = STORE[store]

    @rule()
    def next_hop_restarts(self) -> None:
        self.runner.run(self._drop())
        self.session.is_open = False

    async def _drop(self) -> None:
        self.hop.drop_all()
        await until(lambda: not self.hop._writers)
        await asyncio.sleep(0.002)

    # --- the books

    @invariant()
    def ledger_adds_up(self) -> None:
        """I1, I3, I4, I9: no loss, no copy too many, no octet changed, no verdict that nobody gave."""
        if not hasattr(self, "gateway"):
            return
        delivered = [
            replace(delivered_from(taken.raw, self.letters), token=f"{token_in(taken.raw)}/{taken.sender}/{name}")
            for taken in self.hop.taken
            for name in set(taken.recipients)
        ]
        held: list[Held] = []
        for known in self.gateway.store._held.values():
            if known.message.summary.state in IN_CUSTODY:
                envelope, copy = known.message.envelope, held_from(known.message.raw, self.letters)
                names = {recipient.address[0] for recipient in envelope.recipients}
                held += [replace(copy, token=f"{copy.token}/{envelope.sender}/{name}") for name in names]

        assert audit(self.attempts, delivered, held).faults() == {}

    @invariant()
    def next_hop_has_what_was_accepted(self) -> None:
        """I5, I7: each message with its own sender and recipients, in their order, and with none of another's."""
        if hasattr(self, "gateway"):
            found = [
                (token_in(taken.raw), taken.sender, taken.recipients, delivered_from(taken.raw, self.letters).status)
                for taken in self.hop.taken
            ]
            assert found == self.relayed

    @invariant()
    def every_message_ends_once(self) -> None:
        """I6: what began to arrive is the sum of what it ended as."""
        if not hasattr(self, "gateway"):
            return
        metrics = self.gateway.metrics
        found = {kind.value: metrics.outcomes.labels("email", kind.value) for kind in OutcomeKind}
        found |= {why: metrics.unjudged.labels(why) for why in UNJUDGED}
        found["bug"] = metrics.session_errors.labels(self.kind.name)
        counts = {kind: int(counter._value.get()) for kind, counter in found.items()}

        assert {kind: n for kind, n in counts.items() if n} == {kind: n for kind, n in self.records.items() if n}


class LmtpCustody(SmtpCustody):
    """The same by LMTP: each recipient hears what became of their own mail."""

    kind = LmtpEdge
    replies_to_two = 2
    handle = staticmethod(handle_each)

    def own(self, line: str) -> str:
        """``line`` as this protocol says it."""
        verb, _, rest = line.partition(" ")
        return f"LHLO {rest}".strip() if verb in ("EHLO", "HELO") else line


class LongSmtpCustody(SmtpCustody):
    """The same for longer."""


proves = pytest.mark.invariant("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9")
TestSmtpCustody = proves(SmtpCustody.TestCase)
# Sockets make shrinking take minutes, and a list of steps is read easily as it is.
FOUND_AS_IT_IS = [Phase.explicit, Phase.reuse, Phase.generate]
TestSmtpCustody.settings = settings(max_examples=10, stateful_step_count=25, phases=FOUND_AS_IT_IS)
TestLmtpCustody = proves(LmtpCustody.TestCase)
TestLmtpCustody.settings = TestSmtpCustody.settings
TestLongSmtpCustody = pytest.mark.long(proves(LongSmtpCustody.TestCase))
TestLongSmtpCustody.settings = settings(
    max_examples=100, stateful_step_count=40, phases=FOUND_AS_IT_IS, suppress_health_check=[HealthCheck.too_slow]
)
