"""Maildir, mbox and folders of messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterd.errors import NotFound
from filterd.mail_folders import messages_in

ONE, TWO = b"Subject: one\n\nFrom here\n", b"Subject: two\n\nbody\n"


def test_maildir_gives_what_is_in_cur_and_new_only(tmp_path: Path) -> None:
    """Files that are half written, and the index of the mail store, are not mail."""
    for name, raw in (("cur/1:2,S", ONE), ("new/2", TWO), ("tmp/3", b"half"), ("dovecot.index", b"index")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(raw)

    assert [(Path(name).name, raw) for name, raw in messages_in(tmp_path)] == [("1:2,S", ONE), ("2", TWO)]


def test_folder_of_files_gives_each_of_them(tmp_path: Path) -> None:
    """As other filters' corpora lie about."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.eml").write_bytes(ONE)
    (tmp_path / "2.eml").write_bytes(TWO)

    assert [raw for _, raw in messages_in(tmp_path)] == [TWO, ONE]


def test_mbox_gives_each_message_and_is_not_changed(tmp_path: Path) -> None:
    """The lines between the messages are the mbox's own."""
    path = tmp_path / "mbox"
    raw = (
        b"From a@b Thu Jan  1 10:00:00 2026\n" + TWO + b"\nFrom a@b Thu Jan  1 10:00:01 2026\nSubject: three\n\nbody\n"
    )
    path.write_bytes(raw)

    found = list(messages_in(path))
    assert [name for name, _ in found] == [f"{path}:1", f"{path}:2"]
    assert found[0][1].startswith(b"Subject: two\n")
    assert path.read_bytes() == raw


def test_single_message_is_one(tmp_path: Path) -> None:
    """A file that is no mbox is a message."""
    (tmp_path / "1.eml").write_bytes(ONE)

    assert [raw for _, raw in messages_in(tmp_path / "1.eml")] == [ONE]


def test_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong path is no empty folder."""
    with pytest.raises(NotFound, match="missing"):
        list(messages_in(tmp_path / "missing"))
