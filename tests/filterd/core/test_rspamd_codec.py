"""rspamd's JSON as its clients read it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.advice import Advice, Marks
from filterd.core.envelope import MessageId
from filterd.core.rspamd_codec import answer, deferred, peer_of, recipients_of, stat
from filterd.core.verdict import Action, Decision, Reason
from filterd.testing import a_scan

ID = MessageId("0" * 31 + "1")
RAW = (
    b"Message-ID: <1@x.example>\r\nX-Spam-Status: No\r\nX-Rspamd-Score: 0\r\nAuthentication-Results: mx; dmarc=pass\r\n"
    b"Subject: win\r\n a prize\r\n\r\nX-Spam-Flag: body\r\n"
)


def an_advice(action: Action = Action.TAG, tag: str = "") -> Advice:
    decision = Decision(action=action, reason=Reason.SPAM, scan=a_scan(0.99), subject_tag=tag)
    return Advice(id=ID, decision=decision, marks=Marks(first=0.6))


def test_answer_has_what_clients_look_at() -> None:
    """Action, scores, symbols, the message's own id, and our headers to add."""
    found = answer(an_advice(), RAW, "add header")

    assert (found["action"], found["score"], found["required_score"]) == ("add header", 10.2, 15.0)
    assert (found["is_skipped"], found["message-id"]) == (False, "1@x.example")
    assert found["symbols"]["FILTERD_ID"]["options"] == [ID]
    assert found["symbols"]["SPAM"]["score"] == 10.2
    assert found["milter"]["add_headers"]["X-Filterd-Id"] == {"value": ID, "order": 0}
    assert found["milter"]["add_headers"]["X-Spam-Status"]["value"] == "Yes, score=9.2 required=5.0 tests=SPAM"


def test_b9_answer_has_the_client_remove_what_only_we_may_write() -> None:
    """Forged names and ours; not Authentication-Results, which may be the client's own."""
    found = answer(an_advice(), RAW, "add header")["milter"]["remove_headers"]

    assert set(found.values()) == {0}
    assert {"X-Spam-Status", "X-Rspamd-Score", "X-Filterd-Id"} <= set(found)
    assert "Authentication-Results" not in found


def test_answer_when_the_subject_is_tagged_has_all_of_it() -> None:
    """A folded subject comes back as one line behind the tag."""
    found = answer(an_advice(tag="[SPAM]"), RAW, "add header")

    assert (found["action"], found["subject"]) == ("rewrite subject", "[SPAM] win a prize")


@pytest.mark.parametrize("name", ["add header", "quarantine", "reject"])
def test_answer_when_a_message_would_be_held_says_what_the_operator_calls_it(name: str) -> None:
    """Only a refusal has words for the sender."""
    found = answer(an_advice(Action.QUARANTINE), RAW, name)

    assert found["action"] == name
    assert bool(found["messages"]) == (name == "reject")


@given(st.binary(max_size=200), st.sampled_from(["", "[SPAM]"]))
def test_answer_to_any_message_is_json_without_line_ends_in_headers(raw: bytes, tag: str) -> None:
    """A client writes these values into a header as they are."""
    found = answer(an_advice(tag=tag), raw, "add header")

    json.dumps(found).encode()
    texts = [entry["value"] for entry in found["milter"]["add_headers"].values()]
    texts += [*found["milter"]["remove_headers"], found.get("subject", ""), found["message-id"]]
    assert not any(end in text for text in texts for end in "\r\n")


def test_recipients_come_singly_or_many_in_a_line() -> None:
    """Each once, without brackets."""
    assert recipients_of(["<a@x>", "b@x, <c@x>", "a@x", "", "<>"]) == ("a@x", "b@x", "c@x")
    assert len(recipients_of([f"{number}@x" for number in range(2_000)])) == 1_000


def test_peer_is_the_client_of_the_client() -> None:
    """What it says about where a message came from, made printable."""
    peer = peer_of({"ip": "192.0.2.1", "helo": "x\r\ny", "hostname": "h", "user": "ann"})

    assert (peer.address, peer.helo, peer.name, peer.login) == ("192.0.2.1", "x??y", "h", "ann")


def test_stat_and_deferral_have_rspamds_shape() -> None:
    """Counts by action; a deferral is no opinion."""
    found = stat("1", {Action.ACCEPT: 3, Action.TAG: 1, Action.QUARANTINE: 2}, "add header")

    assert (found["scanned"], found["spam_count"], found["ham_count"]) == (6, 3, 3)
    assert found["actions"] == {"no action": 3, "add header": 3}
    assert (deferred()["action"], deferred()["is_skipped"]) == ("soft reject", True)
