"""A private Postfix in a temporary folder, on loopback, with the snippets of ``deploy/postfix`` exactly as shipped.

Needs root (Postfix does) and the package's files, from ``.servers/tree`` or from the machine. Only ports are
replaced in the snippets. Nothing of the machine is read or changed; the processes end with the block.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port

ROOT = Path(__file__).parents[2]
SNIPPETS = ROOT / "deploy/postfix"
UNPACKED = ROOT / ".servers/tree"
_PATIENCE_SECONDS = 30.0
_QUEUES = ("incoming", "active", "deferred", "bounce", "defer", "corrupt", "flush", "saved", "trace", "hold")

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {programs}/usr/lib/postfix/sbin
command_directory = {programs}/usr/sbin
mail_owner = {owner}
setgid_group = {group}
default_privs = nobody
import_environment = MAIL_CONFIG MAIL_DEBUG TZ LANG=C LD_LIBRARY_PATH
export_environment = TZ MAIL_CONFIG LANG LD_LIBRARY_PATH
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = mx.example.net
mydomain = example.net
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
relay_domains = example.net
relay_recipient_maps =
relay_transport = smtp:[127.0.0.1]:{destination}
smtpd_relay_restrictions = permit_auth_destination, reject
smtpd_peername_lookup = no
smtp_host_lookup = native
notify_classes =
disable_dns_lookups = yes
smtputf8_enable = yes
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
bounce_queue_lifetime = 1h
# The tests hurry; a destination that failed is tried again at once.
transport_retry_time = 1s
"""
_MASTER = """
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       1       1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
lmtp      unix  -       -       n       -       -       lmtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postfix:
    """One running instance."""

    folder: Path
    port: int
    """Its public smtpd."""
    pid: int
    environ: Mapping[str, str]

    def log(self) -> str:
        """What it has logged."""
        path = self.folder / "maillog"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def queued(self) -> int:
        """Messages in its queue."""
        queue = self.folder / "queue"
        return sum(path.is_file() for name in ("incoming", "active", "deferred") for path in (queue / name).rglob("*"))

    def flush(self) -> None:
        """Try everything in the queue again now."""
        _command(self.environ, "postqueue", "-f")


def require() -> None:
    """Skip where Postfix cannot run; fail instead under continuous integration."""
    missing = ""
    if os.geteuid() != 0:
        missing = "a private Postfix needs root"
    elif _programs() is None:
        missing = "Postfix is missing: run tests/servers/fetch.sh"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@contextmanager
def running(
    position: str | None,
    *,
    filter_port: int = 0,
    return_port: int = 0,
    milter_port: int = 0,
    destination: int,
    options: tuple[str, ...] = (),
    main: str = "",
    configure: Callable[[Path, int, Mapping[str, str]], None] | None = None,
) -> Iterator[Postfix]:
    """Postfix with the snippets of ``position``; ``options`` are switched on in them (``-o name=value``).

    Without a position it is a plain relay. ``main`` is put at the end of ``main.cf``; ``configure`` is given the folder
    of both files, the public port and the environment of Postfix's programs, and may change them.
    """
    require()
    programs = _programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="filterd-postfix-"))
    folder.chmod(0o755)
    port = free_port()
    ports = {"10025": str(filter_port), "10026": str(return_port), "10027": str(milter_port)}
    _lay_out(folder, programs, position, port, destination, ports, options)
    with (folder / "etc/main.cf").open("a", encoding="utf-8") as file:
        file.write(main)
    environ = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": _libraries(programs), "MAIL_CONFIG": str(folder / "etc")}
    if configure is not None:
        configure(folder / "etc", port, environ | {"PATH": f"{programs / 'usr/sbin'}:{environ['PATH']}"})
    master = subprocess.Popen(
        [programs / "usr/lib/postfix/sbin/master", "-c", folder / "etc", "-d"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    postfix = Postfix(folder=folder, port=port, pid=master.pid, environ=environ)
    try:
        _wait_until_up(postfix, master)
        yield postfix
    finally:
        _stop(master)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def smtp_sink(port: int, *options: str, folder: Path | None = None, backlog: int = 200) -> Iterator[None]:
    """Postfix's smtp-sink on ``port``, in ``folder``: it takes everything and keeps nothing, unless options say so."""
    programs = _programs()
    assert programs is not None, "run tests/servers/fetch.sh"
    process = subprocess.Popen(
        [programs / "usr/sbin/smtp-sink", "-u", "nobody", *options, f"127.0.0.1:{port}", str(backlog)],
        cwd=folder,
        env={**os.environ, "LD_LIBRARY_PATH": _libraries(programs)},
    )
    try:
        wait_until(lambda: answers(port), "smtp-sink")
        yield
    finally:
        process.terminate()
        process.wait()


def _programs() -> Path | None:
    """Where Postfix's files are: a root with usr/sbin and usr/lib/postfix below it."""
    roots = (UNPACKED, Path("/"))
    return next((root for root in roots if (root / "usr/lib/postfix/sbin/master").exists()), None)


def _libraries(programs: Path) -> str:
    folders = [programs / "usr/lib/postfix", *(programs / "usr/lib").glob("*-linux-gnu*")]
    return ":".join(str(path) for path in folders)


def _lay_out(
    folder: Path,
    programs: Path,
    position: str | None,
    port: int,
    destination: int,
    ports: Mapping[str, str],
    options: tuple[str, ...],
) -> None:
    # Postfix wants an account and a group of its own; where it is not installed, others that nobody uses must do.
    users = {user.pw_name: user for user in pwd.getpwall()}
    groups = {group.gr_name: group.gr_gid for group in grp.getgrall()}
    owner = next(name for name in ("postfix", "mail", "daemon") if name in users)
    group = next(name for name in ("postdrop", "daemon", "bin") if groups.get(name) not in (None, users[owner].pw_gid))
    uid, gid = users[owner].pw_uid, groups[group]
    etc = folder / "etc"
    etc.mkdir()
    main = _MAIN.format(folder=folder, programs=programs, owner=owner, group=group, destination=destination)
    master = _MASTER + _snippet(position, "master.cf")
    for option in options:
        assert f"#    -o {option}\n" in master, f"the snippet does not offer {option}"
        master = master.replace(f"#    -o {option}\n", f"    -o {option}\n")
    if position == "before-queue":
        master = re.sub(r"(?m)^smtp( +)inet", f"127.0.0.1:{port}\\1inet", master)
    else:
        master += f"127.0.0.1:{port} inet n - n - - smtpd\n"
    main += _snippet(position, "main.cf")
    (etc / "main.cf").write_text(_with_ports(main, ports), encoding="utf-8")
    (etc / "master.cf").write_text(_with_ports(master, ports), encoding="utf-8")
    for name, mode in (
        *((queue, 0o700) for queue in _QUEUES),
        ("private", 0o700),
        ("public", 0o710),
        ("maildrop", 0o730),
    ):
        path = folder / "queue" / name
        path.mkdir(parents=True)
        os.chown(path, uid, gid if name in ("public", "maildrop") else 0)
        path.chmod(mode)
    (folder / "queue/pid").mkdir()
    (folder / "data").mkdir()
    os.chown(folder / "data", uid, 0)


def _snippet(position: str | None, name: str) -> str:
    return (SNIPPETS / position / name).read_text(encoding="utf-8") if position else ""


def _with_ports(text: str, ports: Mapping[str, str]) -> str:
    return re.sub("|".join(ports), lambda found: ports[found[0]], text)


def _wait_until_up(postfix: Postfix, master: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and master.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", postfix.port), timeout=10) as peer:
                if peer.recv(3) == b"220":
                    return
        except OSError:
            time.sleep(0.1)
    # The master tells syslog only; any other command says what is wrong with main.cf.
    raise AssertionError(f"Postfix did not start:\n{_command(postfix.environ, 'postqueue', '-p')}\n{postfix.log()}")


def _stop(master: subprocess.Popen[bytes]) -> None:
    """End the whole session that was started here; its files go too, so there is nothing to finish."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(master.pid, signal.SIGKILL)
    master.wait()


def _command(environ: Mapping[str, str], name: str, *arguments: str) -> str:
    programs = _programs()
    assert programs is not None
    done = subprocess.run(
        [programs / "usr/sbin" / name, *arguments], env=dict(environ), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr
