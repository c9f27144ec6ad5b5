"""Each corpus is read with the right labels, and a file that is not what it should be is refused by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources import (
    email_csdmc2010,
    email_enron_raw_ham,
    email_enron_spam,
    email_lingspam,
    email_nazario,
    email_osst_users,
    email_spamassassin,
    email_templates,
    email_usrp_users,
    own_messages,
    sms_mishra_soni,
    sms_super,
    sms_templates,
    sms_uci,
    sms_yt_combined,
)
from trainer.sources.archive import message_date

from .archives import mail, pack

HAM, SPAM = Label.HAM, Label.SPAM


def labels(read: Callable[[Path], Iterator[Example]], path: Path) -> Counter[tuple[str, Label]]:
    return Counter((e.corpus, e.label) for e in read(path))


@pytest.mark.parametrize(
    ("read", "files", "expected"),
    [
        pytest.param(
            email_spamassassin.read,
            {"easy-ham-1/1.txt": b"From a b\n" + mail("a", "b"), "spam-2/2.txt": mail("a", "b")},
            {("spamassassin", HAM): 1, ("spamassassin", SPAM): 1},
            id="spamassassin: by folder",
        ),
        pytest.param(
            email_csdmc2010.read,
            {"SPAMTrain.label": b"0 A.eml\n1 B.eml\n1 C.eml\n", **{f"TRAINING/{n}.eml": mail(n, "b") for n in "ABC"}},
            {("csdmc2010", HAM): 2, ("csdmc2010", SPAM): 1},
            id="csdmc2010: 1 is ham",
        ),
        pytest.param(
            email_enron_spam.read,
            {
                "enron1/Summary.txt": b"x",
                "enron1/ham/0001.2001-02-07.kitchen.ham.txt": b"Subject: a\nb",
                "enron2/spam/0002.2004-02-07.GP.spam.txt": b"Subject: a\nb",
            },
            {("enron-spam", HAM): 1, ("enron-spam", SPAM): 1},
            id="enron-spam: by path",
        ),
        pytest.param(
            email_enron_raw_ham.read, {"who/sent/1": mail("a", "b")}, {("enron-raw-ham", HAM): 1}, id="enron-raw-ham"
        ),
        pytest.param(
            email_lingspam.read,
            {"readme.txt": b"x", "bare/part1/spmsga1.txt": b"Subject: a\n\nb", "bare/part1/3-1msg1.txt": b"Subject: a"},
            {("lingspam", HAM): 1, ("lingspam", SPAM): 1},
            id="lingspam: by name",
        ),
        pytest.param(
            email_nazario.read,
            {"p.mbox": b"From x@y Mon Jun  3 2005\n" + mail("a", "b") + b"\nFrom z Mon Jun  3 2005\n" + mail("c", "d")},
            {("nazario", SPAM): 2},
            id="nazario: two in a mailbox",
        ),
        pytest.param(
            email_osst_users.read,
            {
                "2019/0.eml": mail("a", "b"),
                "2019/1.eml": mail("c", "d"),
                "2019/2.eml": mail("e", "f"),
                "labels.tsv": b"file\tlabel\n2019/0.eml\tspam\n2019/1.eml\tbounce\n2019/2.eml\tautoreply\n",
            },
            {("osst-users", SPAM): 1},
            id="osst-users: bounces are left out",
        ),
        pytest.param(email_usrp_users.read, {"2019/1.eml": mail("a", "b")}, {("usrp-users", HAM): 1}, id="usrp-users"),
        pytest.param(
            email_templates.read, {"shop/de/1.eml": mail("a", "b")}, {("templates-ham", HAM): 1}, id="templates-ham"
        ),
        pytest.param(
            sms_uci.read, {"SMSSpamCollection": b"ham\ta\nspam\tb\n"}, {("uci", HAM): 1, ("uci", SPAM): 1}, id="uci"
        ),
        pytest.param(
            sms_super.read,
            {"DS_latest.csv": b"SMSes,Labels\na,1\n", "DS_legacy.csv": b"SMSes,Labels\nb,0\nc,0\n"},
            {("super-latest", SPAM): 1, ("super-legacy", HAM): 2},
            id="super: 1 is spam",
        ),
        pytest.param(
            sms_mishra_soni.read,
            {"Mendeley_Dataset_5971.csv": b"LABEL,TEXT,URL\nham,\xa3,No\nSmishing,b,No\nSpam,c,\n"},
            {("mishra-soni", HAM): 1, ("mishra-soni", SPAM): 2},
            id="mishra-soni: smishing is spam",
        ),
        pytest.param(
            sms_yt_combined.read,
            {"spam-dataset.csv": b"label,text,source\nham,a,uci-spam-sms\n" + b"spam,b,uci-youtube-spam\n" * 5},
            {("yt-comments", SPAM): 1},
            id="yt-combined: each comment once",
        ),
        pytest.param(
            sms_templates.read, {"bank.tsv": b"ham\tde\ta b\n"}, {("templates-ham", HAM): 1}, id="sms templates"
        ),
    ],
)
def test_read_when_the_archive_is_in_order_then_labels_follow_the_corpus(tmp_path, read, files, expected):
    path = pack(tmp_path / "c.tar.xz", files)

    assert labels(read, path) == expected


@pytest.mark.parametrize(
    ("read", "files", "words"),
    [
        pytest.param(sms_uci.read, {"SMSSpamCollection": b"good\ta\n"}, "'good' is not a label", id="unknown label"),
        pytest.param(sms_super.read, {"DS_legacy.csv": b"TEXT,Labels\na,1\n"}, "no column 'SMSes'", id="wrong column"),
        pytest.param(sms_uci.read, {"other": b""}, "holds no SMSSpamCollection", id="missing member"),
        pytest.param(email_csdmc2010.read, {"TRAINING/A.eml": b"x"}, "no line in SPAMTrain.label", id="no label"),
        pytest.param(email_spamassassin.read, {"mixed/1.txt": b"x"}, "no labelled folder", id="wrong folder"),
        pytest.param(email_osst_users.read, {"labels.tsv": b"f\tl\na\tmaybe\n"}, "expected one of", id="wrong mark"),
    ],
)
def test_read_when_labels_are_not_the_corpus_s_own_then_the_file_is_named(tmp_path, read, files, words):
    path = pack(tmp_path / "odd.tar.xz", files)

    with pytest.raises(CorpusError, match=words) as raised:
        list(read(path))

    assert "odd.tar.xz" in str(raised.value)


def test_read_when_the_archive_is_absent_then_the_error_says_where_to_point(tmp_path):
    with pytest.raises(CorpusError, match="FILTERD_DATA"):
        list(sms_uci.read(tmp_path / "sms-uci.tar.xz"))


def test_read_when_the_archive_is_truncated_then_it_is_named(tmp_path):
    path = pack(tmp_path / "sms-uci.tar.xz", {"SMSSpamCollection": Random(1).randbytes(50_000)})
    path.write_bytes(path.read_bytes()[:20_000])

    with pytest.raises(CorpusError, match="cannot be read to its end"):
        list(sms_uci.read(path))


def test_message_date_when_sender_and_collector_disagree_then_the_collector_is_believed():
    raw = b"Received: from a\r\n by b; Tue, 4 Jun 2002 10:00:00 +0200\r\nDate: Mon, 3 Jun 2030 10:00:00 +0200\r\n\r\nx"

    assert message_date(raw, (2001, 2003)) == datetime(2002, 6, 4, 8, tzinfo=UTC)


@pytest.mark.parametrize("value", ["nonsense", "Mon, 3 Jun 2030 10:00:00 +0200", ""])
def test_message_date_when_it_cannot_be_true_then_there_is_none(value):
    assert message_date(f"Date: {value}\r\n\r\nDate: Tue, 4 Jun 2002 10:00:00 +0200".encode(), (2001, 2003)) is None


@pytest.mark.parametrize("read", [own_messages.read_email, own_messages.read_sms], ids=["email", "sms"])
def test_own_messages_when_read_then_every_slot_is_filled_and_both_labels_are_there(read):
    made = list(read(Path()))

    assert {e.label for e in made} == {HAM, SPAM}
    assert not [e.id for e in made if b"{" in e.raw]
    assert {e.corpus for e in made} == {own_messages.CORPUS}
    assert len({e.id for e in made}) == len(made)
    assert [e.raw for e in read(Path())] == [e.raw for e in made]
