"""A machine of our own to install on: the one the tests run on, with layers over the folders that installing changes.

A mount namespace holds an overlay for each of them; what is written there is gone when the block ends, and nothing of
the real machine is changed. Needs root. No systemd runs in it; its ``systemctl`` starts the one unit as it says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.gateway import wait_until

_LAYERS = """
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
for folder in /etc /opt /usr/local /var /run; do
    mkdir -p "$1/upper$folder" "$1/work$folder"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$1/upper$folder,workdir=$1/work$folder" "$folder"
done
touch "$1/up"
exec sleep infinity
"""

_SYSTEMCTL = """#!/bin/sh
# Says in a file how it was called. Starts and stops filterd.service: its user, environment and command.
echo "$*" >>/var/log/systemctl
unit=/usr/local/lib/systemd/system/filterd.service
stop() {
    if ! kill "$(cat /run/filterd.pid)" 2>/dev/null; then return; fi
    while kill -0 "$(cat /run/filterd.pid)" 2>/dev/null; do sleep 0.1; done
}
case "$*" in
restart*filterd.service | start*filterd.service)
    stop
    install -d -o filterd -m 700 /run/filterd
    cd /
    user=$(sed -n 's/^User=//p' $unit)
    # shellcheck disable=SC2046
    env -i PATH=/usr/bin:/bin $(sed -n 's/^Environment=//p' $unit) setpriv --reuid="$user" --regid="$user" \\
        --clear-groups --no-new-privs $(sed -n 's/^ExecStart=//p' $unit) >>/var/log/filterd.log 2>&1 &
    echo $! >/run/filterd.pid
    ;;
stop*filterd.service | disable*--now*filterd.service*) stop ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Programs run in it see its folders."""

    pid: int

    def command(self, *command: str) -> tuple[str, ...]:
        """``command`` as it is started from outside."""
        return ("nsenter", f"--target={self.pid}", "--mount", f"--wd={Path.cwd()}", *command)

    def run(self, *command: str, code: int = 0, text: str = "", environ: Mapping[str, str] | None = None) -> str:
        """What it printed; it must exit with ``code``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FILTERD_", "PYTHON"))}
        done = subprocess.run(
            self.command(*command),
            env={**kept, **(environ or {})},
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def start_systemd(self) -> None:
        """Let it look as if systemd ran."""
        self.run("sh", "-c", "mkdir -p /run/systemd/system; cat > /usr/local/bin/systemctl", text=_SYSTEMCTL)
        self.run("chmod", "755", "/usr/local/bin/systemctl")


@contextmanager
def running(folder: Path) -> Iterator[Machine]:
    """A machine until the end of the block; ``folder`` is empty."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("a machine of our own needs root and unshare(1)")
        pytest.skip("a machine of our own needs root and unshare(1)")
    process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", _LAYERS, "sh", folder])
    try:
        up = Path(f"/proc/{process.pid}/root{folder}/up")
        wait_until(lambda: process.poll() is not None or up.exists(), "the folders of the machine")
        assert process.poll() is None
        found = Machine(pid=process.pid)
        yield found
        found.run("sh", "-c", "kill $(cat /run/filterd.pid 2>/dev/null) 2>/dev/null; true")
    finally:
        process.kill()
        process.wait()
