"""``deploy/install.sh`` on a machine of our own: what it installs runs, an upgrade and the way back keep the mail.

The daemon is installed from its own lock: no TensorFlow, no ONNX tools, no trainer dependency.
"""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from tests.house.test_containers import environment, of
from tests.servers import machine
from tests.servers.gateway import wait_until
from tests.servers.machine import Machine

ROOT = Path(__file__).parents[2]
TRAINING_ONLY = {"tensorflow", "tensorflow_cpu", "keras", "tf2onnx", "onnx", "rensa", "matplotlib", "pytest"}
INSTALL = ROOT / "deploy/install.sh"
PYTHON = "/opt/filterd/.venv/bin/python"
STARTED = ("daemon-reload", "enable --quiet filterd.service", "restart filterd.service")

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which ``deploy/install.sh`` has run once, before systemd."""
    with machine.running(tmp_path_factory.mktemp("machine")) as found:
        found.run(str(INSTALL))
        yield found


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The next hop's folder and port."""
    folder = tmp_path_factory.mktemp("delivered")
    with on_a_thread(MailSink(folder)) as port:
        yield folder, port


@pytest.fixture(scope="module")
def ports(installed: Machine, mailbox: tuple[Path, int]) -> Ports:
    """Where the daemon of the machine listens: its configuration is written, and systemd may run from now on."""
    ports = Ports.free()
    settings = f"""
[server]
workers = 1
http_listen = "127.0.0.1:{ports.http}"
admin_listen = "127.0.0.1:{ports.admin}"
[smtp]
listen = ["127.0.0.1:{ports.smtp}"]
next_hop = "127.0.0.1:{mailbox[1]}"
[policy]
deny = ["eve@example.com"]
"""
    installed.run("tee", "/etc/filterd/filterd.toml", text=settings)
    installed.start_systemd()
    return ports


def calls(found: Machine) -> list[str]:
    """What systemctl was called with since the last look."""
    return found.run("sh", "-c", "cd /var/log; touch systemctl; cat systemctl; : > systemctl").splitlines()


def versions(found: Machine) -> tuple[str, str]:
    """The environments in use and before."""
    now, before = (found.run("readlink", "-f", f"/opt/filterd/{link}").strip() for link in (".venv", ".previous"))
    return now, before


def send(ports: Ports, sender: str) -> None:
    with smtplib.SMTP("127.0.0.1", ports.smtp, local_hostname="client.example", timeout=60) as client:
        client.sendmail(sender, ["bob@example.net"], f"From: {sender}\r\nSubject: noon\r\n\r\nlunch?\r\n")


_CONTAINER = """
set -eu
mkdir -p /run/filterd
cp /etc/filterd/filterd.toml /run/filterd.toml
mount -t tmpfs -o mode=755 tmpfs /etc/filterd
install -m 644 /run/filterd.toml /etc/filterd/filterd.toml
mount -t tmpfs -o uid=10001,gid=10001,mode=700 tmpfs /run/filterd
mount -t tmpfs -o uid=10001,gid=10001,mode=700 tmpfs /var/lib/filterd
mount -t tmpfs tmpfs /tmp
for folder in / /etc /opt /usr/local /var; do mount -o remount,bind,ro "$folder"; done
! touch /opt/filterd/x /etc/x /x 2>/dev/null
python3 -c "$1"
exec setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \\
    /opt/filterd/.venv/bin/python -c "$2" "$3"
"""
_LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket() as sock:
    fcntl.ioctl(sock, 0x8914, struct.pack("16sh", b"lo", 0x41))  # netdevice(7): SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
"""
_IN_CONTAINER = """
import json, os, pathlib, smtplib, subprocess, sys, time
from filterd.demo.sink import MailSink, on_a_thread
command, check = json.loads(sys.argv[1])
folder = pathlib.Path("/tmp/delivered")
with on_a_thread(MailSink(folder)) as port:
    os.environ["FILTERD_SMTP__NEXT_HOP"] = f"127.0.0.1:{port}"
    daemon = subprocess.Popen(command)
    try:
        for _ in range(600):
            asked = subprocess.run(check, capture_output=True, text=True)
            if asked.returncode == 0 or daemon.poll() is not None:
                break
            time.sleep(0.1)
        print(asked.stdout or asked.stderr)
        for sender in ("ann@example.org", "eve@example.com"):
            with smtplib.SMTP("127.0.0.1", 10025, timeout=30) as client:
                client.sendmail(sender, ["bob@example.net"], "Subject: noon\\r\\n\\r\\nlunch?\\r\\n")
        print("delivered", len(list(folder.glob("*.eml"))))
        print(subprocess.run(["filterd", "quarantine", "list"], capture_output=True, text=True).stdout)
    finally:
        daemon.terminate()
        print("exit", daemon.wait(60))
"""


def test_environment_holds_nothing_of_the_trainer(installed: Machine) -> None:
    code = "import importlib.metadata as m; print('\\n'.join(d.name for d in m.distributions()))"
    names = {name.lower().replace("-", "_") for name in installed.run(PYTHON, "-P", "-c", code).split()}

    assert {"onnxruntime", "asyncpg", "obstore"} <= names
    assert not names & TRAINING_ONLY


def test_daemon_imports_and_loads_nothing_of_the_trainer(installed: Machine) -> None:
    code = "import filterd.worker, sys; print('\\n'.join(sys.modules), filterd.__file__)"
    printed = installed.run(PYTHON, "-P", "-c", code).split()

    assert printed[-1].startswith("/opt/filterd/")
    assert not {name.partition(".")[0] for name in printed} & {*TRAINING_ONLY, "trainer"}


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_check_scores_a_message_with_the_models_in_the_package(installed: Machine, channel: str) -> None:
    message = "Subject: hello\r\n\r\nsee you at noon\r\n" if channel == "email" else "see you at noon"
    scored = json.loads(installed.run("filterd", "check", "--json", "--channel", channel, "-", text=message))

    assert 0 <= scored["probability"] <= 1
    assert scored["model"].startswith(f"{channel}-")
    assert {"path", "channel", "probability", "logit", "action", "reason", "model"} <= scored.keys()


def test_installed_files_are_the_daemons_and_nobody_elses(installed: Machine) -> None:
    """The first configuration can be used as it is; a command of root's leaves files that the daemon can read."""
    assert installed.run("filterd", "config", "check").startswith("/etc/filterd/filterd.toml: ok")
    assert installed.run("filterd", "db", "upgrade")
    listed = installed.run("sh", "-c", "cd /var/lib/filterd && stat -c '%U %a %n' . * /etc/filterd /etc/filterd/*")
    assert {tuple(line.split()) for line in listed.splitlines()} >= {
        ("filterd", "700", "."),
        ("filterd", "600", "secret"),
        ("filterd", "600", "filterd.db"),
        ("root", "750", "/etc/filterd"),
        ("root", "640", "/etc/filterd/filterd.toml"),
    }
    assert not [line for line in listed.splitlines() if line.startswith("root") and "/etc" not in line]
    program = "/opt/filterd/.venv/bin/filterd"
    refused = installed.run("setpriv", "--reuid=65534", "--clear-groups", program, "config", "show", code=78)
    assert refused.startswith("filterd: /etc/filterd/filterd.toml: cannot be read")
    assert len(refused.splitlines()) == 1
    defaults = installed.run("filterd", "config", "defaults")
    assert defaults == (ROOT / "deploy/etc/filterd.toml").read_text(encoding="utf-8")


def test_upgrade_and_the_way_back_keep_mail_and_configuration(
    installed: Machine, ports: Ports, mailbox: tuple[Path, int]
) -> None:
    """Run again it upgrades: the daemon is restarted with the new version and the old one is kept to go back to."""
    installed.run("systemctl", "restart", "filterd.service")
    wait_until(lambda: "ready" in installed.run("sh", "-c", "filterd ready || true").split())
    send(ports, "eve@example.com")
    calls(installed)
    before = versions(installed)[0]
    configured = installed.run("cat", "/etc/filterd/filterd.toml")

    assert "ready" in installed.run(str(INSTALL))

    now = versions(installed)
    assert now[0] != before == now[1]
    assert calls(installed) == list(STARTED)
    assert installed.run("filterd", "ready") == "ready\n"
    assert installed.run("cat", "/etc/filterd/filterd.toml") == configured
    running = installed.run("sh", "-c", "ps -o user= -o args= -C python,filterd || ps aux").splitlines()
    assert [line for line in running if line.startswith("filterd") and now[0] in line]

    assert "ready" in installed.run(str(INSTALL), "rollback")

    assert versions(installed) == (now[1], now[0])
    assert calls(installed) == list(STARTED)
    (held,) = installed.run("filterd", "quarantine", "list").splitlines()[1:]
    installed.run("filterd", "quarantine", "release", held.split("\t")[0])
    assert len(list(mailbox[0].glob("*.eml"))) == 1


def test_image_serves_with_a_read_only_root_and_no_rights(installed: Machine, ports: Ports) -> None:
    """User, environment, ports, command and health check of the Dockerfile, in a mount and a network of its own."""
    command, (check,) = json.loads(of("filterd", "CMD")[0]), of("filterd", "HEALTHCHECK")
    order = json.dumps([command, json.loads(check.partition("CMD ")[2])])
    printed = installed.run(
        *("unshare", "--mount", "--net", "sh", "-c", _CONTAINER, "sh", _LOOPBACK_UP, _IN_CONTAINER, order),
        environ={
            **environment("filterd"),
            "PATH": "/opt/filterd/.venv/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "FILTERD_SERVER__WORKERS": "1",
        },
    )

    assert "\nready\n" in printed, printed
    assert "\ndelivered 1\n" in printed, printed
    assert "eve@example.com" in printed, printed
    assert printed.endswith("exit 0\n"), printed


def test_upgrade_with_a_configuration_it_cannot_use_changes_nothing(installed: Machine, ports: Ports) -> None:
    """Nothing is restarted, nothing is left of the new version, and the old one serves on."""
    before = versions(installed), installed.run("ls", "-A", "/opt/filterd")
    installed.run("cp", "-p", "/etc/filterd/filterd.toml", "/etc/filterd/good.toml")
    installed.run("tee", "-a", "/etc/filterd/filterd.toml", text="prot = 1\n")
    calls(installed)

    printed = installed.run(str(INSTALL), code=78)

    installed.run("mv", "/etc/filterd/good.toml", "/etc/filterd/filterd.toml")
    assert "prot" in printed
    assert calls(installed) == []
    assert (versions(installed), installed.run("ls", "-A", "/opt/filterd")) == before


def test_way_back_over_tables_the_old_version_does_not_know_is_refused(installed: Machine, ports: Ports) -> None:
    """It would not start: the tables must be taken back first, by the version that knows them."""
    installed.run("sh", "-c", "filterd db upgrade; cd /opt/filterd; ln -sfn $(readlink .venv) .previous")
    newest, before = installed.run("filterd", "db", "current").split()[-1], versions(installed)

    number_tables(installed, "9999")
    printed = installed.run(str(INSTALL), "rollback", code=1)
    number_tables(installed, newest)

    assert f"filterd db downgrade {newest}" in printed
    assert versions(installed) == before


def number_tables(found: Machine, revision: str) -> None:
    """Let the tables of the machine's database say that they are at ``revision``."""
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(*sys.argv[2:]); c.commit()"
    change = f"UPDATE alembic_version SET version_num = '{revision}'"
    found.run(PYTHON, "-c", code, "/var/lib/filterd/filterd.db", change)


def test_staged_files_are_those_of_an_installation(installed: Machine, ports: Ports) -> None:
    """With DESTDIR everything is below it, nothing names it, and no user or service is touched; `remove` keeps mail."""
    stage = "/var/stage"
    installed.run("sh", "-c", f"mkdir -p {stage}/opt && cp -a /opt/filterd {stage}/opt/")
    calls(installed)

    installed.run(str(INSTALL), environ={"DESTDIR": stage})

    new = installed.run("readlink", f"{stage}/opt/filterd/.venv").strip()
    assert installed.run("sh", "-c", f"grep -rlI {stage} {stage}/opt/filterd/{new}/bin {stage}/usr || true") == ""
    first = installed.run("head", "-1", f"{stage}/opt/filterd/{new}/bin/filterd").strip()
    assert first == f"#!/opt/filterd/{new}/bin/python"
    units = sorted(path.name for path in (ROOT / "deploy/systemd").iterdir())
    assert installed.run("ls", f"{stage}/usr/local/lib/systemd/system").split() == units
    shared = installed.run("ls", f"{stage}/usr/local/share/filterd").split()
    assert {"filterd.toml", "postfix", "prometheus", "grafana"} <= set(shared)
    assert not {"systemd", "helm"} & set(shared)
    assert installed.run(f"{stage}/opt/filterd/{new}/bin/python", "-m", "filterd", "--version").startswith("filterd ")

    installed.run("touch", f"{stage}/var/lib/filterd/filterd.db")
    installed.run(str(INSTALL), "remove", environ={"DESTDIR": stage})

    files = sorted(installed.run("find", stage, "-type", "f").split())
    assert files == [f"{stage}/etc/filterd/filterd.toml", f"{stage}/var/lib/filterd/filterd.db"]
    assert calls(installed) == []
