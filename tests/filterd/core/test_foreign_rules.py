"""What configurations of other filters say in our words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.foreign_rules import read_bogofilter, read_spamassassin
from filterd.core.overlay import told

LOCAL_CF = """
# site
required_score 4.0
rewrite_header Subject *****SPAM*****
welcomelist_from ann@friends.example  *@lists.example   # two in a line
whitelist_from bob@friends.example
blacklist_from  *@casino.example
blocklist_from  *.casino.example
whitelist_from *bank.example
welcomelist_auth news@shop.example
whitelist_from_rcvd carl@example.net example.net
def_whitelist_from_dkim dora@example.net
all_spam_to postmaster@example.org
unwelcomelist_from ann@friends.example
blacklist_from bob@friends.example
score BAYES_99 5
"""


def test_lists_of_spamassassin_become_entries_and_the_rest_is_named() -> None:
    """What would let more through than it says is left out, with its line and why."""
    found = read_spamassassin(LOCAL_CF, "example.org")

    assert [(entry.scope, told(entry)) for entry in found.entries] == [
        ("example.org", "allow ann@friends.example"),
        ("example.org", "allow lists.example"),
        ("example.org", "deny casino.example"),
        ("example.org", "deny bob@friends.example"),
    ]
    assert [(skipped.line, skipped.text.split()[0]) for skipped in found.skipped] == [
        (8, "blocklist_from"),
        (9, "whitelist_from"),
        (10, "welcomelist_auth"),
        (11, "whitelist_from_rcvd"),
        (12, "def_whitelist_from_dkim"),
        (13, "all_spam_to"),
        (14, "unwelcomelist_from"),
    ]
    assert "--no-filter" in found.skipped[5].why
    assert len(found.hints) == 2
    assert 'policy.tag_at = "strict"' in found.hints[0]
    assert "*****SPAM*****" in found.hints[1]


@pytest.mark.parametrize(
    ("score", "point"), [("3.5", "strict"), ("5", "normal"), ("5.0", "normal"), ("8", "lenient")], ids=str
)
def test_required_score_is_a_hint_about_an_operating_point(score: str, point: str) -> None:
    """Lower catches more; five is what everybody has."""
    (hint,) = read_spamassassin(f"required_score {score}").hints

    assert f'"{point}"' in hint


def test_thresholds_of_bogofilter_are_hints() -> None:
    """Its numbers are of its own scale."""
    hints = read_bogofilter("# x\nspam_cutoff = 0.99 # default\nham_cutoff=0.45\nrobs=0.01\n").hints

    assert len(hints) == 2
    assert 'policy.tag_at = "normal"' in hints[0]
    assert "between ham and spam" in hints[1]
    assert read_bogofilter("ham_cutoff = 0.00\nspam_cutoff = much\n").hints == ()


@given(st.text(alphabet="whitelst_from rqudco.@*?#=\n5", max_size=200))
def test_any_text_is_read(text: str) -> None:
    """A file that is no configuration has nothing to say, and does no harm."""
    for found in (read_spamassassin(text), read_bogofilter(text)):
        assert all("*" not in entry.entry and "?" not in entry.entry for entry in found.entries)
