"""A private gammu-smsd for tests, with a telephone that is a folder and the snippet of ``deploy/gammu``.

Source: Gammu's manual, "Dummy Driver" and "SMS Backup Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import processes, unpacked
from tests.servers.snippets import changed

FOLDER = Path(__file__).parents[2] / "deploy" / "gammu"
PROGRAM = FOLDER / "filterd_receive.py"


@dataclass(slots=True, kw_only=True)
class Phone:
    """The telephone's folder."""

    inbox: Path
    _count: int = field(default=0)

    def receive(self, text: str, sender: str = "+15005550001", udh: bytes = b"") -> None:
        """One SMS, or one part of a long one with its user data header, on the telephone."""
        self._count += 1
        path = self.inbox / str(self._count)
        coding = "Default" if text.isascii() else "Unicode"
        lines = [
            "[SMSBackup000]",
            'SMSC = "+15005550000"',
            "PDU = Deliver",
            "DateTime = 20260101T000000",
            "State = UnRead",
            f'Number = "{sender}"',
            f"NumberUnicode = {_hexadecimal(sender)}",
            f"Coding = {coding}",
            f"Length = {len(text)}",
            f"Text00 = {_hexadecimal(text)}",
            "Folder = 1",
            *([f"UDH = {udh.hex().upper()}"] if udh else []),
        ]
        path.with_suffix(".new").write_text("\n".join(lines) + "\n", encoding="ascii")
        path.with_suffix(".new").rename(path)


def _hexadecimal(text: str) -> str:
    return text.encode("utf-16-be").hex().upper()


@contextmanager
def running(folder: Path, changes: Mapping[str, str]) -> Iterator[Phone]:
    """gammu-smsd until the end of the block, its snippet with ``changes`` made."""
    inbox = folder / "phone" / "sms" / "1"
    for needed in (inbox, folder / "inbox"):
        needed.mkdir(parents=True)
    snippet = (FOLDER / "smsdrc").read_text(encoding="utf-8")
    snippet = changed(snippet, {"/usr/local/lib/filterd/filterd_receive.py": str(PROGRAM), **changes})
    snippet = snippet.replace("/var/spool/gammu/inbox/", f"{folder}/inbox/")
    config = folder / "smsdrc"
    telephone = f"[gammu]\nmodel = dummy\nconnection = none\ndevice = {folder}/phone\n"
    settings = (
        f"ReceiveFrequency = 1\nLoopSleep = 1\nCheckSecurity = 0\nLogFile = {folder}/smsd.log\nDebugLevel = 255\n"
    )
    config.write_text(f"{telephone}\n{snippet}\n{settings}", encoding="utf-8")
    program = unpacked.program("usr/bin/gammu-smsd")
    with processes.running([program, "-c", config], folder / "gammu.log", unpacked.environment()):
        yield Phone(inbox=inbox)
