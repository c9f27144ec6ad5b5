"""Every e-mail corpus as an archive of invented messages, with dates where the real one has them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from .archives import pack, sentence

_SITES = ("one.example.org", "two.example.net", "three.example.com")


def dated(rng: random.Random, *, spam: bool, year: int, day: int) -> bytes:
    """A plain message with headers and a date of its own."""
    when = format_datetime(datetime(year, 1, 1, 9, tzinfo=UTC) + timedelta(days=day))
    site = rng.choice(_SITES)
    head = f"From: Someone <who{day}@{site}>\r\nTo: other@example.net\r\nSubject: {sentence(rng, spam=spam, words=5)}"
    return f"{head}\r\nDate: {when}\r\nMessage-ID: <{day}@{site}>\r\n\r\n{sentence(rng, spam=spam)}\r\n".encode()


def mail_folder(folder: Path, count: int = 80) -> Path:
    """Every e-mail corpus, ``count`` messages each, half of them spam where the corpus has both."""
    rng = random.Random(6)

    def messages(year: int, *, spam: bool | None = None) -> list[tuple[bool, bytes]]:
        labels = [bool(i % 2) if spam is None else spam for i in range(count)]
        return [(label, dated(rng, spam=label, year=year, day=i)) for i, label in enumerate(labels)]

    classic, contest, lists = messages(2002), messages(2009), messages(2020)
    pack(
        folder / "email-spamassassin.tar.xz",
        {f"{'spam-1' if spam else 'easy-ham-1'}/{i:04d}.txt": raw for i, (spam, raw) in enumerate(classic)},
    )
    marks = "".join(f"{0 if spam else 1} T{i}.eml\n" for i, (spam, _) in enumerate(contest))
    pack(
        folder / "email-csdmc2010.tar.xz",
        {
            "SPAMTrain.label": marks.encode(),
            "dup_with_spamassassin.txt": b"email-csdmc2010/TRAINING/T3.eml\tspam-1/0003.txt\n",
            **{f"TRAINING/T{i}.eml": raw for i, (_, raw) in enumerate(contest)},
        },
    )
    enron = {"dup_with_spamassassin.txt": b"", **dict(_enron(rng, count))}
    pack(folder / "email-enron-spam.tar.xz", enron)
    pack(
        folder / "email-enron-raw-ham.tar.xz",
        {f"who/{i}": raw for i, (_, raw) in enumerate(messages(2001, spam=False))},
    )
    pack(
        folder / "email-lingspam.tar.xz",
        {f"bare/part1/{'spmsg' if i % 2 else 'msg'}{i}.txt": _plain(rng, spam=bool(i % 2)) for i in range(count)},
    )
    boxes = b"".join(b"From x@y Mon Jun  3 2005\n" + raw + b"\n" for _, raw in messages(2005, spam=True))
    pack(folder / "email-nazario.tar.xz", {"p.mbox": boxes})
    labels = "file\tlabel\n" + "".join(f"2020/{i}.eml\tspam\n" for i in range(count))
    pack(
        folder / "email-spam-osst-users.tar.xz",
        {
            "labels.tsv": labels.encode(),
            **{f"2020/{i}.eml": raw for i, (_, raw) in enumerate(messages(2020, spam=True))},
        },
    )
    pack(
        folder / "email-ham-usrp-users.tar.xz",
        {f"2020/{i}.eml": raw for i, (spam, raw) in enumerate(lists) if not spam},
    )
    groups = ("django-allauth", "bookstack", "alfio")
    pack(
        folder / "email-templates-ham.tar.xz",
        {f"{groups[i % 3]}/en/{i}.eml": dated(rng, spam=False, year=2022, day=i) for i in range(count)},
    )
    return folder


def _enron(rng: random.Random, count: int) -> list[tuple[str, bytes]]:
    days = [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=i) for i in range(count)]
    return [
        (
            f"enron1/{'spam' if i % 2 else 'ham'}/{i:04d}.{day:%Y-%m-%d}.x.{'spam' if i % 2 else 'ham'}.txt",
            _plain(rng, spam=bool(i % 2)),
        )
        for i, day in enumerate(days)
    ]


def _plain(rng: random.Random, *, spam: bool) -> bytes:
    return f"Subject: {sentence(rng, spam=spam, words=5)}\n\n{sentence(rng, spam=spam)}\n".encode()
