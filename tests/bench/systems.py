"""The systems that are put side by side, each as one block that ends with its processes.

All of them hand what they accept to the same kind of sink, and none asks the network. What a system does with spam is
made alike: it marks it and passes it on.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from filterd.demo.embedded import Ports, write_config
from tests.servers import gateway, postfix
from tests.servers.ports import answers, free_port
from trainer.systems import programs
from trainer.systems.rspamd import Rspamd

_PATIENCE_SECONDS = 120.0
_OURS = """
[policy]
tag_at = "normal"
quarantine_at = "off"
"""
_MILTER = """
milter_default_action = tempfail
smtpd_milters = unix:{path}
"""
_PROXY = """
bind_socket = "{path} mode=0666";
milter = yes;
timeout = 30s;
upstream "local" {{ default = yes; self_scan = yes; }}
count = 2;
"""
_NO_BAYES = "enabled = false;\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A system that takes messages."""

    port: int
    pids: tuple[int, ...]
    """The processes whose families are what it costs; the sink behind it is not among them."""
    protocol: str = "smtp"
    """Or ``rspamd``: its HTTP protocol."""


System = Callable[[int], AbstractContextManager[Running]]


@contextmanager
def sink() -> Iterator[int]:
    """Postfix's smtp-sink on a port of its own: it takes everything and keeps nothing."""
    port = free_port()
    with postfix.smtp_sink(port):
        yield port


@contextmanager
def no_names() -> Iterator[str]:
    """A name server that says at once of every name that there is none (RFC 1035 4.1.1, RCODE 3)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def answer() -> None:
            while True:
                query, peer = sock.recvfrom(4096)
                # Without what may stand behind the question (EDNS): it is not counted in the answer.
                sock.sendto(
                    query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12 : query.index(b"\0", 12) + 5], peer
                )

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def nothing(next_hop: int) -> Iterator[Running]:
    """The sink by itself: what the client can do."""
    yield Running(port=next_hop, pids=())


@contextmanager
def filterd(next_hop: int, *, workers: int = 2) -> Iterator[Running]:
    """The daemon with its own models on SQLite, as a proxy in front of the sink."""
    with tempfile.TemporaryDirectory(prefix="filterd-bench-") as name:
        root, ports = Path(name), Ports.free()
        config = root / "filterd.toml"
        write_config(config, ports, state=root / "state", next_hop=next_hop, extra=_OURS, workers=workers)
        with gateway.running(root, config, ports) as ours:
            yield Running(port=ports.smtp, pids=(ours.process.pid,))


@contextmanager
def postfix_alone(next_hop: int) -> Iterator[Running]:
    """Postfix as a plain relay: the queue that every mail server has anyway."""
    with postfix.running(None, destination=next_hop) as mta:
        yield Running(port=mta.port, pids=(mta.pid,))


@contextmanager
def postfix_and_filterd(next_hop: int) -> Iterator[Running]:
    """Postfix with the daemon before its queue, as in deploy/postfix/before-queue."""
    back = free_port()
    with ExitStack() as stack:
        ours = stack.enter_context(filterd(back))
        mta = stack.enter_context(
            postfix.running("before-queue", filter_port=ours.port, return_port=back, destination=next_hop)
        )
        yield Running(port=mta.port, pids=(mta.pid, *ours.pids))


@contextmanager
def postfix_and_rspamd(next_hop: int) -> Iterator[Running]:
    """Postfix with rspamd as its milter over a unix socket; rules only, Bayes off."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rspamd-milter-")))
        folder.chmod(0o755)
        path = folder / "milter"
        local = {"worker-proxy.inc": _PROXY.format(path=path), "classifier-bayes.conf": _NO_BAYES}
        names = stack.enter_context(no_names())
        spam = stack.enter_context(Rspamd(os.environ, local=local, nameserver=names))
        await_path(path)
        mta = stack.enter_context(postfix.running(None, destination=next_hop, main=_MILTER.format(path=path)))
        yield Running(port=mta.port, pids=(mta.pid, spam.pid))


@contextmanager
def rspamd_over_http(_: int) -> Iterator[Running]:
    """The HTTP protocol of rspamd, nothing relayed; rules only, Bayes off."""
    local = {"classifier-bayes.conf": _NO_BAYES}
    with no_names() as names, Rspamd(os.environ, local=local, scanners=2, nameserver=names) as spam:
        yield Running(port=spam.port, pids=(spam.pid,), protocol="rspamd")


@contextmanager
def spampd(next_hop: int) -> Iterator[Running]:
    """The SMTP proxy around SpamAssassin, without network tests and without Bayes."""
    program, port = programs.find(("spampd",), "spampd", os.environ), free_port()
    with tempfile.TemporaryDirectory(prefix="spampd-") as name:
        Path(name).chmod(0o755)
        copy = _movable(program, Path(name) / "spampd")
        arguments = [
            *("--nodetach", f"--host=127.0.0.1:{port}", f"--relayhost=127.0.0.1:{next_hop}", "--children=4"),
            *("--local-only", "--tagall", "--user=root", "--group=root", f"--homedir={name}", "--pid", f"{name}/pid"),
        ]
        with (Path(name) / "log").open("wb") as log:
            process = subprocess.Popen(
                ["perl", copy, *arguments], env={**program.environment, "HOME": name}, stdout=log, stderr=log
            )
        try:
            await_port(port, process, Path(name) / "log")
            yield Running(port=port, pids=(process.pid,))
        finally:
            process.terminate()
            process.wait()


def _movable(program: programs.Program, copy: Path) -> Path:
    """A copy that finds modules and rules beside the machine, and writes its log beside itself."""
    rules = f"'rules_filename' => '{program.root}/usr/share/spamassassin', "
    rules += f"'site_rules_filename' => '{program.root}/etc/spamassassin',"
    text = program.path.read_text(encoding="utf-8").replace("perl -T", "perl", 1)
    text = text.replace("'Sys::Syslog'", f"'{copy}.log'").replace('"Sys::Syslog"', f"'{copy}.log'")
    copy.write_text(text.replace("'dont_copy_prefs'", f"{rules}\n  'dont_copy_prefs'", 1), encoding="utf-8")
    return copy


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "sink alone": nothing,
        "filterd": filterd,
        "Postfix alone": postfix_alone,
        "Postfix + filterd before its queue": postfix_and_filterd,
        "Postfix + rspamd milter": postfix_and_rspamd,
        "rspamd over HTTP": rspamd_over_http,
        "spampd": spampd,
    }
)
"""Name -> block that runs it in front of the sink on that port."""


def await_port(port: int, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
    """Return once somebody listens there. Raises AssertionError with the end of the log."""
    _await(lambda: answers(port), process, log)


def await_path(path: Path) -> None:
    """Return once it exists."""
    _await(path.exists, None, None)


def _await(is_ready: Callable[[], bool], process: subprocess.Popen[bytes] | None, log: Path | None) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not is_ready():
        said = log.read_bytes()[-500:].decode("utf-8", "replace") if log else ""
        assert process is None or process.poll() is None, f"ended: {said}"
        assert time.monotonic() < until, f"not ready: {said}"
        time.sleep(0.05)
