"""A private Dovecot in a temporary folder, on loopback: LMTP and IMAP, with the snippets of ``deploy/dovecot``.

Needs root and the packages' files, from ``.servers/tree`` or from the machine. Dovecot looks for its parts below
``/usr`` only: what was unpacked aside is laid under it in a mount namespace of its own, which ends with the server.
Nothing of the machine is read or changed.
"""

from __future__ import annotations

import imaplib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port

ROOT = Path(__file__).parents[2]
SNIPPETS = ROOT / "deploy/dovecot"
UNPACKED = ROOT / ".servers/tree"
PASSWORD = "secret"
OWNER = "nobody"
"""Whom the mailboxes belong to, and whom scripts run as."""
_PROGRAM = "usr/sbin/dovecot"
_START = 'if [ -n "$0" ]; then mount -t overlay overlay -o "lowerdir=/usr:$0/usr" /usr; fi; exec dovecot -F -c "$1"'

_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {owner}
default_internal_group = {group}
default_login_user = daemon
first_valid_uid = 0
mail_location = maildir:~/Maildir
mail_plugins = quota
auth_username_format = %u
postmaster_address = postmaster@example.net
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    auto = create
    special_use = \\Junk
  }}
  mailbox Trash {{
    auto = create
    special_use = \\Trash
  }}
}}
plugin {{
  quota = maildir:User quota
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dovecot:
    """One running server."""

    folder: Path
    lmtp: int
    """Its LMTP port; ``run/lmtp`` in ``folder`` is the same on a unix socket."""
    imap: int

    @property
    def spool(self) -> Path:
        """Where its snippets put reports."""
        return self.folder / "spool"

    @property
    def socket(self) -> Path:
        """Its LMTP socket."""
        return self.folder / "run/lmtp"

    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @contextmanager
    def mailbox(self, user: str) -> Iterator[imaplib.IMAP4]:
        """A client that has logged in and selected the inbox."""
        with imaplib.IMAP4("127.0.0.1", self.imap, timeout=30) as client:
            client.login(user, PASSWORD)
            client.select()
            yield client

    def messages(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """What is in a folder of ``user``."""
        with self.mailbox(user) as client:
            client.select(folder)
            _, found = client.search(None, "ALL")
            numbers = found[0].split()
            fetched = [client.fetch(number.decode(), "(BODY.PEEK[])")[1][0] for number in numbers]
        return [part[1] for part in fetched if isinstance(part, tuple)]


def require() -> None:
    """Skip where Dovecot cannot run; fail instead under continuous integration."""
    missing = ""
    if os.geteuid() != 0:
        missing = "a private Dovecot needs root"
    elif not any((root / _PROGRAM).exists() for root in (UNPACKED, Path("/"))):
        missing = "Dovecot is missing: run tests/servers/fetch.sh"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@contextmanager
def running(users: Mapping[str, str]) -> Iterator[Dovecot]:
    """A server for ``users``: address -> extra fields of the user database, such as a quota rule."""
    require()
    folder = Path(tempfile.mkdtemp(prefix="filterd-dovecot-"))
    folder.chmod(0o755)
    dovecot = Dovecot(folder=folder, lmtp=free_port(), imap=free_port())
    _lay_out(dovecot, users)
    tree = "" if Path("/", _PROGRAM).exists() else str(UNPACKED)
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _START, tree, folder / "dovecot.conf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        wait_until(lambda: process.poll() is not None or (answers(dovecot.lmtp) and answers(dovecot.imap)), "Dovecot")
        assert process.poll() is None, (folder / "errors").read_text(encoding="utf-8")
        yield dovecot
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _lay_out(dovecot: Dovecot, users: Mapping[str, str]) -> None:
    owner, folder = pwd.getpwnam(OWNER), dovecot.folder
    lines = []
    for user, fields in users.items():
        home = folder / "homes" / user
        home.mkdir(parents=True)
        os.chown(home, owner.pw_uid, owner.pw_gid)
        lines.append(f"{user}:{{PLAIN}}{PASSWORD}:{owner.pw_uid}:{owner.pw_gid}::{home}::{fields}\n")
    (folder / "users").write_text("".join(lines), encoding="utf-8")
    group = "nogroup" if owner.pw_gid == 65534 else OWNER
    config = _CONFIG.format(folder=folder, owner=OWNER, group=group, imap=dovecot.imap, lmtp=dovecot.lmtp)
    for path in (dovecot.spool, dovecot.spool / "spam", dovecot.spool / "ham"):
        path.mkdir()
        os.chown(path, owner.pw_uid, owner.pw_gid)
    (folder / "dovecot.conf").write_text(config + _snippets(folder, dovecot.spool), encoding="utf-8")


def _snippets(folder: Path, spool: Path) -> str:
    """Copy the files that belong to ``90-filterd.conf``; its text, with nothing replaced but where they are."""
    installed = folder / "filterd"
    shutil.copytree(SNIPPETS / "filterd", installed)
    program = installed / "bin/filterd-spool"
    text = program.read_text(encoding="utf-8")
    program.write_text(text.replace("/var/spool/filterd", str(spool)), encoding="utf-8")
    program.chmod(0o755)
    owner = pwd.getpwnam(OWNER)
    for path in (installed, *installed.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    config = (SNIPPETS / "90-filterd.conf").read_text(encoding="utf-8")
    return re.sub("/etc/dovecot/filterd", str(installed), config)
