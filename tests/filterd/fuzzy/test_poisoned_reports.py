"""Liars: what false labels do to mail of others, with the memory, the weighing and the scopes as they are served."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from filterd.core.envelope import Channel, MessageId
from filterd.core.influence import Caps
from filterd.core.reported import Agreement, Report, Reported, ReportScope, resolve
from filterd.core.verdict import Label
from filterd.feedback_ports import ReportChange
from filterd.fuzzy.campaigns import credits_of
from filterd.fuzzy.memory import ReportedMemory

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIARS = [f"liar{n}@domain{n}.example" for n in range(5)]
HONEST = [f"user{n}@domain{n}.example" for n in range(5)]


def text_of(number: int) -> str:
    return np.random.default_rng(number).bytes(32).hex()


class Site:
    """Labels as they stand, weighed as a worker weighs them."""

    def __init__(self) -> None:
        self.memory = ReportedMemory()
        self._next = 1

    def report(self, text: str, label: Label, *reporters: str) -> None:
        """Everybody of ``reporters`` says so of the mail that came to them."""
        for reporter in reporters:
            report = Report(
                id=self._next,
                channel=Channel.EMAIL,
                message=MessageId(f"{self._next:032x}"),
                fingerprint=text,
                label=label,
                reporter=reporter,
                recipients=(reporter,),
                given_at=NOW,
                sender=f"news@s{self._next}.example",
            )
            self._next += 1
            self.memory.apply([ReportChange(report=report, changed_at=NOW, is_standing=True)])
        self.memory.weigh(credits_of(self.memory.newest(1_000), Caps()))

    def found(self, text: str, recipients: Sequence[str], sure: Label | None = None) -> list[Reported | None]:
        near = self.memory.find(Channel.EMAIL, text)
        return [resolve(near, recipient, Agreement(), sure) for recipient in recipients]


def test_c1_focused_lie_about_plain_ham_holds_the_liars_own_mail_and_nobody_else_s() -> None:
    site = Site()
    site.report(text_of(1), Label.SPAM, *LIARS)

    assert site.found(text_of(1), HONEST, Label.HAM) == [None] * len(HONEST)
    own = site.found(text_of(1), LIARS, Label.HAM)
    assert [found.scope for found in own if found is not None] == [ReportScope.RECIPIENT] * len(LIARS)


def test_c1_liars_whom_others_have_contradicted_hold_nobody_s_mail_where_the_model_doubts() -> None:
    """Until then five who agree do. They vouch for each other, so that it takes a dozen contradictions."""
    site = Site()
    site.report(text_of(1), Label.SPAM, *LIARS)
    assert all(site.found(text_of(1), HONEST))

    for number in range(2, 14):
        site.report(text_of(number), Label.SPAM, *LIARS)
        site.report(text_of(number), Label.HAM, *HONEST, f"ann@domain{number}.example")
    site.report(text_of(20), Label.SPAM, *LIARS)

    assert site.found(text_of(20), HONEST) == [None] * len(HONEST)


@pytest.mark.parametrize("sure", [None, Label.HAM])
def test_c1_dictionary_of_lies_by_one_person_holds_nobody_else_s_mail(sure: Label | None) -> None:
    site = Site()
    liar, *others = HONEST
    for number in range(50):
        site.report(text_of(number), Label.SPAM, liar, liar, liar)

    found = [site.found(text_of(number), ["colleague@domain0.example", *others], sure) for number in range(50)]

    assert found == [[None] * len(HONEST)] * 50


def test_c1_spammers_who_call_their_spam_ham_let_it_through_to_themselves_only() -> None:
    site = Site()
    site.report(text_of(1), Label.HAM, *LIARS)

    assert site.found(text_of(1), HONEST, Label.SPAM) == [None] * len(HONEST)
