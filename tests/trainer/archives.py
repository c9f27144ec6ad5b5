"""Small corpora of invented messages in the layout of the real archives."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

_HAM = (
    *("meeting", "agenda", "lunch", "report", "thanks", "tomorrow", "house"),
    *("garden", "train", "music", "dinner", "school", "letter", "friend"),
    *("coffee",),
)
_SPAM = (
    *("winner", "prize", "claim", "cash", "urgent", "viagra", "casino"),
    *("loan", "cheap", "offer", "million", "bonus", "credit", "lottery"),
    *("pills",),
)
_BOTH = (
    *("please", "today", "your", "from", "with", "about", "send"),
    *("call", "time", "week", "number", "message", "great", "good"),
    *("new", "first"),
)


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """A ``tar.xz`` at ``path`` whose members lie in a folder named like the archive."""
    folder = path.name.removesuffix(".tar.xz")
    with tarfile.open(path, "w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def sentence(rng: random.Random, *, spam: bool, words: int = 14) -> str:
    """Words of one label and of both, and a random one that makes every sentence its own cluster."""
    pool = _SPAM if spam else _HAM
    made = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(words // 3)]
    chosen = [*rng.choices(pool, k=words // 2), *rng.choices(_BOTH, k=words // 3), *made]
    rng.shuffle(chosen)
    return " ".join(chosen)


def sms_folder(folder: Path, count: int = 160) -> Path:
    """Every SMS corpus, ``count`` messages each, half of them spam where the corpus has spam."""
    rng = random.Random(5)
    rows = [("spam" if i % 2 else "ham", sentence(rng, spam=bool(i % 2))) for i in range(count)]
    uci = "".join(f"{label}\t{text}\n" for label, text in rows)
    pack(folder / "sms-uci.tar.xz", {"SMSSpamCollection": uci.encode()})

    def table(head: str, line: str) -> bytes:
        made = [("spam" if i % 2 else "ham", sentence(rng, spam=bool(i % 2))) for i in range(count)]
        return (head + "".join(line.format(label=a, text=b, digit=int(a == "spam")) for a, b in made)).encode()

    numbers = "SMSes,Labels\n", "{text},{digit}\n"
    pack(folder / "sms-super.tar.xz", {"DS_latest.csv": table(*numbers), "DS_legacy.csv": table(*numbers)})
    mishra = table("LABEL,TEXT,URL,EMAIL,PHONE\n", "{label},{text},No,No,No\n")
    pack(folder / "sms-mishra-soni.tar.xz", {"Mendeley_Dataset_5971.csv": mishra})
    comments = table("label,text,source\n", "{label},{text},uci-youtube-spam\n")
    pack(folder / "sms-yt-combined.tar.xz", {"spam-dataset.csv": comments})
    bank = "".join(f"ham\ten\t{sentence(rng, spam=False)}\n" for _ in range(count // 2))
    pack(folder / "sms-templates-ham.tar.xz", {"bank.tsv": bank.encode()})
    return folder


def reviews_file(folder: Path, count: int = 60) -> Path:
    """Film reviews, ``count`` of each label in each part."""
    rng = random.Random(11)
    reviews = {
        f"{part}/{label}/{n}_8.txt": sentence(rng, spam=label == "pos", words=40).encode()
        for part in ("train", "test")
        for label in ("pos", "neg")
        for n in range(count)
    }
    return pack(folder / "imdb-aclimdb.tar.xz", reviews)


def mail(subject: str, body: str, extra: str = "") -> bytes:
    """A plain message."""
    head = f"{extra}From: Someone <someone@example.org>\r\nTo: other@example.net\r\nSubject: {subject}\r\n"
    return f"{head}Date: Mon, 03 Jun 2002 10:00:00 +0200\r\n\r\n{body}\r\n".encode()
