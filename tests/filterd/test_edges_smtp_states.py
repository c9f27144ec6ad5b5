"""I7: whatever the order of commands, no reply leaves anything of one message behind for the next (threat A7)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from filterd.edges.lmtp import LmtpEdge
from filterd.edges.smtp import SmtpEdge
from tests.filterd.smtp_dialogue import MESSAGE, SPAM, NextHop, gateway

BODIES = {
    "ham": (MESSAGE, "250"),
    "spam": (SPAM, "250"),
    "bare": (b"a\nb\r\n", "550"),
    "large": (b"x" * 5000 + b"\r\n", "552"),
    "loop": (b"Received: x\r\n" * 60 + MESSAGE, "554"),
    "refused": (MESSAGE, "554"),
    "empty": (b"", "250"),
}


class SmtpStates(RuleBasedStateMachine):
    """A session against a model of six lines of state."""

    kind: type[SmtpEdge] = SmtpEdge
    greetings: tuple[str, str] = ("EHLO me", "HELO me")

    def replies_to_message(self) -> int:
        """How many replies a message has."""
        return 1

    @initialize()
    def connect(self) -> None:
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.helo = self.mail = False
        self.recipients: list[str] = []
        self.given: list[list[str]] = []
        self.runner.run(self._connect())

    async def _connect(self) -> None:
        self.hop = await self.stack.enter_async_context(NextHop())
        options: dict[str, Any] = {"max_message_bytes": 2000, "max_errors": 100_000}
        self.gateway = await self.stack.enter_async_context(gateway(self.hop, kind=self.kind, **options))
        self.client = await self.gateway.client(ehlo="")
        await self.client.reply()

    def say(self, line: str) -> str:
        reply = self.runner.run(self.client.say(line))
        return reply.rpartition("\n")[2][:3]

    @rule(which=st.sampled_from([0, 1]))
    def greet(self, which: int) -> None:
        assert self.say(self.greetings[which]) == "250"
        self.helo, self.mail, self.recipients = True, False, []

    @rule(sender=st.sampled_from(["a@example.org", ""]))
    def say_mail(self, sender: str) -> None:
        assert self.say(f"MAIL FROM:<{sender}>") == ("250" if self.helo and not self.mail else "503")
        self.mail = self.mail or self.helo

    @rule(name=st.sampled_from(["b", "c", "d"]))
    def say_rcpt(self, name: str) -> None:
        assert self.say(f"RCPT TO:<{name}@example.net>") == ("250" if self.mail else "503")
        if self.mail:
            self.recipients.append(name)

    @rule(argument=st.sampled_from(["TO:<>", "FROM:<a@b>", "TO:<a b@c>", ""]))
    def say_bad_rcpt(self, argument: str) -> None:
        assert self.say(f"RCPT {argument}") in ("501", "503")

    @rule(code=st.sampled_from(["450", "550"]))
    def say_refused_rcpt(self, code: str) -> None:
        if self.mail:
            self.hop.answers["RCPT"] = f"{code} not here"
            assert self.say("RCPT TO:<x@example.net>") == code
            del self.hop.answers["RCPT"]

    @rule(kind=st.sampled_from(sorted(BODIES)))
    def say_data(self, kind: str) -> None:
        if not self.recipients:
            assert self.say("DATA") == "503"
            return
        body, code = BODIES[kind]
        if kind == "refused":
            self.hop.answers["."] = "554 no"
        assert self.say("DATA") == "354"
        self.client.send(body + b".\r\n")
        count = self.replies_to_message()
        assert self.runner.run(self.client.replies(count)) == [code] * count
        self.hop.answers.clear()
        if kind in ("ham", "empty", "refused"):
            self.given.append(self.recipients)
        self.mail, self.recipients = False, []

    @rule(kind=st.sampled_from(sorted(BODIES)))
    def send(self, kind: str) -> None:
        """A whole message: commands in any order seldom get that far, and what it leaves behind is the question."""
        if not self.helo:
            self.greet(0)
        if not self.mail:
            self.say_mail("a@example.org")
        self.say_rcpt("b")
        self.say_data(kind)

    @rule()
    def say_rset(self) -> None:
        assert self.say("RSET") == "250"
        self.mail, self.recipients = False, []

    @rule(line=st.sampled_from(["NOOP", "VRFY x", "EXPN x", "STARTTLS", "FOO"]))
    def say_other(self, line: str) -> None:
        for session in self.gateway.edge._open:
            session._unknown = 0  # the session would end after five; that is tested elsewhere
        assert self.say(line)[:1] in "245"

    @rule()
    def restart_next_hop(self) -> None:
        if not self.recipients:
            self.runner.run(self._drop())

    async def _drop(self) -> None:
        self.hop.drop_all()
        await asyncio.sleep(0.01)

    @invariant()
    def next_hop_was_given_what_was_said(self) -> None:
        if hasattr(self, "hop"):
            assert len(self.hop.messages) == len(self.given)
            assert self.envelopes() == self.given

    def envelopes(self) -> list[list[str]]:
        """The recipients of each message the next hop was given, from its own log."""
        found: list[list[str]] = []
        names: list[str] = []
        for command in self.hop.commands:
            if command.startswith(("MAIL", "RSET", "EHLO")):
                names = []
            elif command.startswith("RCPT TO:<") and not command.startswith("RCPT TO:<x@"):
                names.append(command[9])
            elif command == "DATA":
                found.append(names)
                names = []
        return found

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.stack.aclose())
            self.runner.close()


class LmtpStates(SmtpStates):
    """The same by LMTP, where each recipient has a reply of its own."""

    kind = LmtpEdge
    greetings = ("LHLO me", "lhlo you")

    def replies_to_message(self) -> int:
        """How many replies a message has."""
        return len(self.recipients)


SmtpStates.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
LmtpStates.TestCase.settings = SmtpStates.TestCase.settings
TestA7SmtpStates = pytest.mark.invariant("I7")(SmtpStates.TestCase)
TestA7LmtpStates = pytest.mark.invariant("I7")(LmtpStates.TestCase)
