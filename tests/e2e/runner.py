r"""Plays a scenario folder against the real daemon.

A folder holds ``scenario.toml`` and ``dialogue.smtp``. The first says what is special and what must be true after::

    about = "One sentence."
    next_hop = "sink"            # or one of the faults of NextHop
    delivered = 1                # messages the next hop has taken
    held = 0                     # messages in quarantine
    settings = '''...'''         # TOML appended to the configuration

The second is a session; ``---`` starts another one::

    S: 220 .*                    every line the server says, as a regular expression
    C: EHLO client.example       a line the client says
    S*                           any number of lines up to the end of one reply
    M: message.eml               a file of the folder as the body: CRLF line ends, dots stuffed, final dot
    R: text\\r\\n.\\n               octets as they stand, with Python's escapes
    $ quarantine list            a filterd command, {held} replaced by the first held id
    > .*released.*               a line it must print, as a regular expression
    EOF                          the client closes; the server must have nothing more to say
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filterd.demo.embedded import Ports, command, daemon, write_config
from filterd.demo.sink import MailSink, on_a_thread

TIMEOUT_SECONDS = 20.0


class NextHop(MailSink):
    """A mail sink with one fault: what it answers to RCPT, DATA or the final dot, or that it is not there."""

    faults = frozenset({"sink", "down", "rcpt-550", "rcpt-451", "dot-452", "dot-554", "dot-silent", "mail-421"})

    def __init__(self, folder: Path, fault: str) -> None:
        super().__init__(folder)
        assert fault in self.faults, fault
        self.fault = fault

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault == "sink":
            await super()._talk(reader, writer)
            return
        writer.write(b"220 next hop ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            fault, _, answer = self.fault.partition("-")
            if verb == b"EHLO":
                writer.write(b"250-next\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                await reader.readuntil(b"\r\n.\r\n")
                if answer == "silent":
                    return
                writer.write(answer.encode() + b" said the next hop\r\n" if fault == "dot" else b"250 ok\r\n")
            elif verb == fault.upper().encode():
                writer.write(answer.encode() + b" said the next hop\r\n")
                if answer == "421":
                    return
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")
            await writer.drain()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One folder, read."""

    folder: Path
    about: str
    next_hop: str
    delivered: int
    held: int
    position: str
    settings: str
    delivered_matches: tuple[str, ...]
    delivered_lacks: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Scenario:
        """The scenario in ``folder``."""
        tree = tomllib.loads((folder / "scenario.toml").read_text(encoding="utf-8"))
        return cls(
            folder=folder,
            about=tree.pop("about"),
            next_hop=tree.pop("next_hop", "sink"),
            delivered=tree.pop("delivered"),
            held=tree.pop("held"),
            position=tree.pop("position", "before-queue"),
            settings=tree.pop("settings", ""),
            delivered_matches=tuple(tree.pop("delivered_matches", ())),
            delivered_lacks=tuple(tree.pop("delivered_lacks", ())),
        )


@contextlib.contextmanager
def next_hop(folder: Path, fault: str) -> Iterator[int]:
    """A next hop on a thread of its own; yields its port (one that refuses, for ``down``)."""
    if fault == "down":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            yield unused.getsockname()[1]
        return
    with on_a_thread(NextHop(folder, fault)) as port:
        yield port


def play(scenario: Scenario, root: Path) -> None:
    """Run the whole scenario; asserts what it says."""
    ports = Ports.free()
    config = root / "filterd.toml"
    delivered = root / "delivered"
    delivered.mkdir()
    with next_hop(delivered, scenario.next_hop) as port:
        write_config(config, ports, state=root / "state", next_hop=port, workers=1)
        _override(config, scenario)
        with daemon(config, ports, root / "filterd.log"):
            for session in _sessions(scenario.folder / "dialogue.smtp"):
                _play_session(session, scenario, config, ports.smtp)
            held = json.loads(command(config, "quarantine", "list", "--json"))
    mails = [path.read_bytes() for path in sorted(delivered.glob("*.eml"))]
    assert len(mails) == scenario.delivered, "messages the next hop took"
    assert len(held) == scenario.held, "messages in quarantine"
    for pattern in scenario.delivered_matches:
        assert all(re.search(pattern.encode(), mail) for mail in mails), (pattern, mails)
    for pattern in scenario.delivered_lacks:
        assert not any(re.search(pattern.encode(), mail) for mail in mails), (pattern, mails)
    assert "Traceback" not in (root / "filterd.log").read_text(encoding="utf-8")


def _override(config: Path, scenario: Scenario) -> None:
    """Merge the scenario's settings into the file: a section that is there already is continued."""
    text = config.read_text(encoding="utf-8")
    extra = f'[smtp]\nposition = "{scenario.position}"\n{scenario.settings}'
    for part in re.split(r"(?m)^(?=\[)", extra):
        header, _, body = part.partition("\n")
        if header and not header.startswith("[[") and f"{header}\n" in text:
            text = text.replace(f"{header}\n", f"{header}\n{body}", 1)
        else:
            text += part
    config.write_text(text, encoding="utf-8")


def _sessions(path: Path) -> list[list[str]]:
    sessions: list[list[str]] = [[]]
    for line in path.read_text(encoding="utf-8").splitlines():
        if line == "---":
            sessions.append([])
        elif line and not line.startswith("#"):
            sessions[-1].append(line)
    return sessions


def _play_session(lines: list[str], scenario: Scenario, config: Path, port: int) -> None:
    output: list[str] = []
    with contextlib.ExitStack() as stack:
        peer = None
        if any(line[:1] in "SCMR" for line in lines):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS))
            stream = stack.enter_context(peer.makefile("rb"))
        for line in lines:
            where = f"{scenario.folder.name}: {line}"
            if line.startswith("$ "):
                output = _run(line[2:], config)
            elif line.startswith("> "):
                assert any(re.fullmatch(line[2:], printed) for printed in output), (where, output)
            elif line == "EOF":
                assert stream.read() == b"", where
            elif line == "S*":
                while (reply := stream.readline())[3:4] == b"-":
                    pass
                assert reply, where
            elif line.startswith("S: "):
                said = stream.readline().decode().rstrip("\r\n")
                assert re.fullmatch(line[3:], said), (where, said)
            else:
                assert peer is not None
                peer.sendall(_client_bytes(line, scenario.folder))


def _client_bytes(line: str, folder: Path) -> bytes:
    kind, _, text = line.partition(": ")
    if kind == "C":
        return text.encode() + b"\r\n"
    if kind == "R":
        return text.encode().decode("unicode_escape").encode("latin-1")
    assert kind == "M", line
    body = (folder / text).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return re.sub(rb"(?m)^\.", b"..", body) + b".\r\n"


def _run(arguments: str, config: Path) -> list[str]:
    if "{held}" in arguments:
        held = json.loads(command(config, "quarantine", "list", "--json"))
        arguments = arguments.replace("{held}", held[0]["id"])
    return command(config, *arguments.split()).splitlines()
