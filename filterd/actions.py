"""What people do with a message: the five verbs of the quarantine and the two labels.

Each says what becomes of this message and what of messages to come, and each can be taken back as far as that goes: a
rule and a label altogether, a deletion as long as the body is kept, a release not (the mail is delivered), but what it
taught is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from filterd.core.access import Person, Role
from filterd.core.envelope import MessageId, address_key, domain_of
from filterd.core.overlay import EVERYBODY, ListEntry, ListKind
from filterd.core.verdict import Feedback, Label
from filterd.errors import NextHopRefused, NotFound, UsageError
from filterd.feedback_ports import FeedbackLedger
from filterd.labeller import write_down
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import Clock, HeldSummary, Quarantine
from filterd.release import Releaser
from filterd.review_ports import Review
from filterd.rule_desk import RuleDesk


class Verb(StrEnum):
    """What can be done."""

    RELEASE = "release"
    """Deliver this message; messages to come are judged as before."""
    TEACH = "teach"
    """Deliver it and call it ham: near copies pass from now on."""
    ALLOW = "allow"
    """Deliver it, and whatever else this sender sends, to whom one may decide for."""
    BLOCK = "block"
    """Delete it, and hold whatever else this sender sends to them."""
    DELETE = "delete"
    """Delete it; messages to come are judged as before."""
    SPAM = "spam"
    """Call it spam: near copies are held from now on."""
    HAM = "ham"
    """Call it ham: near copies pass from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done, and what can be taken back."""

    message: MessageId
    rules: tuple[int, ...] = ()
    """Numbers of the rules given."""
    is_labelled: bool = False
    is_deleted: bool = False


class Actions:
    """Does it for people, within their reach."""

    def __init__(
        self,
        *,
        quarantine: Quarantine,
        review: Review,
        ledger: FeedbackLedger,
        rules: RuleDesk,
        releaser: Releaser,
        clock: Clock,
        metrics: Metrics,
        events: Events,
    ) -> None:
        self._quarantine = quarantine
        self._review = review
        self._ledger = ledger
        self._rules = rules
        self._releaser = releaser
        self._clock = clock
        self._metrics = metrics
        self._events = events

    async def act(self, person: Person, verb: Verb, id: MessageId) -> Done:
        """Do it for the recipients within reach.

        Raises NotFound for a message out of reach, UsageError where it cannot be done (any more), NextHopRefused,
        RelayUnavailable, RelayAmbiguous and StoreUnavailable.
        """
        if not person.may_act:
            raise UsageError("an auditor changes nothing")
        if verb in {Verb.SPAM, Verb.HAM}:
            return await self._label(person, Label(verb.value), id)
        held = (await self._quarantine.held(id, person.reach)).summary
        # The rule first: when the next hop is away it stands all the same, and the message is still there.
        rules = await self._rule(person, verb, held) if verb in {Verb.ALLOW, Verb.BLOCK} else ()
        if verb in {Verb.DELETE, Verb.BLOCK}:
            await self._quarantine.delete_held(id, person.name, person.reach)
            self._events.deleted(id, person.name)
            return Done(message=id, rules=rules, is_deleted=True)
        is_taught = verb is Verb.TEACH
        await self._release(person, id, is_taught=is_taught)
        return Done(message=id, rules=rules, is_labelled=is_taught)

    async def _release(self, person: Person, id: MessageId, *, is_taught: bool) -> None:
        released = await self._releaser.release(id, person.name, label_ham=is_taught, reach=person.reach)
        if not released.delivered:
            raise NextHopRefused(f"the next hop said: {' '.join(released.reply.lines)}")

    async def _rule(self, person: Person, verb: Verb, held: HeldSummary) -> tuple[int, ...]:
        if not held.sender:
            raise UsageError("the message has no sender that could be on a list")
        kind = ListKind.ALLOW if verb is Verb.ALLOW else ListKind.DENY
        given = []
        for scope in scopes_of(person, held.recipients):
            try:
                entry = ListEntry.of(scope, kind, held.sender)
            except ValueError as exc:
                raise UsageError(str(exc)) from None
            given.append((await self._rules.give(entry, person.name, held.id)).id)
        return tuple(given)

    async def _label(self, person: Person, label: Label, id: MessageId) -> Done:
        rows = await self._review.verdicts(id, person.reach)
        own = [recipient for row in rows for recipient in row.recipients]
        feedback = Feedback(
            message_id=id,
            label=label,
            reporter=person.name,
            given_at=self._clock.now(),
            origin="web",
            # It speaks for nobody beyond their reach: for one of several recipients, others have to agree.
            recipient="" if person.is_administrator else own[0],
            is_for_all=person.is_administrator,
        )
        await write_down(feedback, self._ledger, self._metrics, self._events)
        return Done(message=id, is_labelled=True)


def scopes_of(person: Person, recipients: Sequence[str]) -> Sequence[str]:
    """Whom a rule of ``person`` about a message to ``recipients`` holds for: everybody, domains, or themselves.

    Raises NotFound where none of the recipients is within reach.
    """
    if person.role is Role.ADMINISTRATOR:
        return (EVERYBODY,)
    keys = [address_key(recipient) for recipient in person.reach.part_of(recipients)]
    if not keys:
        raise NotFound("no such message")
    if person.role is Role.MODERATOR:
        keys = [domain_of(key) if domain_of(key) in person.domains else key for key in keys]
    return tuple(dict.fromkeys(keys))
