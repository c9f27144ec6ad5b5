"""Networks of their own for daemons under test: each sees two links and nothing else of this machine.

One link leads to whoever sends mail and to the next hop, the other to the database, and either can be taken down.
Needs root, iproute2 and a kernel that lets us. A namespace ends with the process that holds it, which ends with the
test, however that ends; its links go with it. Addresses are of the range for measuring networks (RFC 2544, C.2.2).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers import unpacked

_IP = "bin/ip"
BITS = 30
"""Of an address, for its link: two addresses each."""
_STRIDE = 8
"""Addresses of both links of a host."""
MAX_HOSTS = 256 // _STRIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cable between this machine's own network and another one."""

    device: str
    """Our end."""
    ours: str
    theirs: str

    def take_down(self) -> None:
        """Let nothing pass: neither end hears why."""
        _ip(f"link set {self.device} down")

    def bring_up(self) -> None:
        """Let it pass again."""
        _ip(f"link set {self.device} up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network of one host."""

    mail: Link
    base: Link
    enter: tuple[str, ...]
    """The start of a command that runs there."""


def refusal() -> str:
    """Why no networks can be made here; empty where they can, or where continuous integration is to fail."""
    if os.geteuid() != 0:
        return "not root"
    if not any((root / _IP).exists() for root in (unpacked.TREE, Path("/"))):
        return "" if os.environ.get("CI") == "true" else "no iproute2"
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip()
    device = _device("try", 0)
    made = _run([f"link add {device} type veth peer name {device}p", f"link del {device}"])
    return made.stderr.strip()


@contextlib.contextmanager
def running(count: int) -> Iterator[list[Network]]:
    """So many networks until the end of the block."""
    assert count <= MAX_HOSTS
    prefix = _free_prefix()
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_network(prefix, n * _STRIDE)) for n in range(count)]


@contextlib.contextmanager
def _network(prefix: str, first: int) -> Iterator[Network]:
    with _namespace() as pid, contextlib.ExitStack() as stack:
        enter = ("nsenter", f"--target={pid}", "--net")
        links = []
        for name, at in (("mail", first), ("base", first + _STRIDE // 2)):
            link = Link(device=_device(name, first), ours=f"{prefix}.{at + 1}", theirs=f"{prefix}.{at + 2}")
            _ip(f"link add {link.device} type veth peer name {name} netns {pid}")
            stack.callback(_run, [f"link del {link.device}"])
            _ip(f"address add {link.ours}/{BITS} dev {link.device}", f"link set {link.device} up")
            _ip(f"address add {link.theirs}/{BITS} dev {name}", f"link set {name} up", enter=enter)
            links.append(link)
        _ip("link set lo up", enter=enter)
        yield Network(mail=links[0], base=links[1], enter=enter)


@contextlib.contextmanager
def _namespace() -> Iterator[int]:
    """Process id of one that is in an empty network; it says nothing and ends when our end of its pipe does."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        # It echoes from inside only.
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"\n"
        yield holder.pid


def _device(name: str, number: int) -> str:
    return f"fd{name}{secrets.token_hex(2)}{number}"


def _free_prefix() -> str:
    """The first three numbers of addresses that no interface of this machine has."""
    taken = _run(["address show"]).stdout
    while True:
        prefix = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
        if f" {prefix}." not in taken:
            return prefix


def _ip(*lines: str, enter: Sequence[str] = ()) -> None:
    done = _run(lines, enter)
    assert done.returncode == 0, done.stderr


def _run(lines: Sequence[str], enter: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """``ip`` on each line, in order."""
    return subprocess.run(
        [*enter, str(unpacked.program(_IP)), "-batch", "-"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
        env=unpacked.environment(),
    )
