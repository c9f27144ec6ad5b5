"""``deploy/compose`` without Docker: its Postfix, its environment and a PostgreSQL, on loopback for its networks."""

from __future__ import annotations

import re
import shutil
import smtplib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from filterd.demo.embedded import Ports
from tests.house.test_containers import COMPOSE, composition, environment
from tests.servers import gateway, postfix, postgres
from tests.servers.gateway import Gateway, wait_until
from tests.servers.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The composition as it runs."""

    mta: postfix.Postfix
    filterd: Gateway
    inbox: Path

    def arrived(self) -> list[str]:
        """What is in the mailbox."""
        return [path.read_text(encoding="utf-8") for path in self.inbox.glob("all/new/*")]


def replaced(path: Path, changes: Mapping[str, str]) -> None:
    """Write ``changes`` (pattern -> text) into a file, each of which must find something."""
    text = path.read_text(encoding="utf-8")
    for pattern, new in changes.items():
        text, count = re.subn(f"(?m){pattern}", new, text)
        assert count, f"{path.name}: no {pattern}"
    path.write_text(text, encoding="utf-8")


def configure(etc: Path, port: int, environ: Mapping[str, str], *, filter_port: int, return_port: int) -> None:
    """What the Postfix image does to Debian's line for the public port; then loopback for the names of the networks."""
    line = f"127.0.0.1:{port} inet n - n - - smtpd\n"
    replaced(
        etc / "master.cf",
        {
            re.escape(
                line
            ): "smtp      inet  n       -       y       -       -       smtpd\nvirtual unix - n n - - virtual\n"
        },
    )
    subprocess.run(
        ["sh", COMPOSE / "postfix/configure.sh", COMPOSE.parent / "postfix/before-queue"], env=environ, check=True
    )
    assert line not in (etc / "master.cf").read_text(encoding="utf-8")
    replaced(
        etc / "master.cf",
        {
            "^smtp( +)inet": f"127.0.0.1:{port}\\1inet",
            "filterd:10025": f"127.0.0.1:{filter_port}",
            "^10026 ": f"127.0.0.1:{return_port} ",
            "172.30.25.0/24": "127.0.0.0/8",
        },
    )
    inbox = etc.parent / "inbox"
    inbox.mkdir()
    inbox.chmod(0o777)
    replaced(
        etc / "main.cf",
        {
            "^maillog_file = /dev/stdout$": f"maillog_file = {etc.parent}/maillog",
            "^inet_interfaces = all$": "inet_interfaces = loopback-only",
            "/var/mail/inbox$": str(inbox),
            "^relay_domains = .*$": "relay_domains =",
        },
    )


def environment_of_filterd(root: Path, ports: Ports, *, return_port: int, database: str) -> dict[str, str]:
    """The image's and the service's, with loopback for the networks and a folder of ours for theirs."""
    shutil.copy(COMPOSE / "secrets.sh", root)
    subprocess.run([root / "secrets.sh"], check=True)
    (root / "secrets/database_url").write_text(database, encoding="ascii")
    names = {
        "/run/secrets": str(root / "secrets"),
        "/run/filterd": str(root / "run"),
        "0.0.0.0:10025": f"127.0.0.1:{ports.smtp}",
        "0.0.0.0:8025": f"127.0.0.1:{ports.http}",
        "0.0.0.0:9464": f"127.0.0.1:{ports.admin}",
        "postfix:10026": f"127.0.0.1:{return_port}",
        "172.30.25.0/24": "127.0.0.0/8",
    }
    told = environment("filterd") | composition()["services"]["filterd"]["environment"]
    pattern = re.compile("|".join(map(re.escape, names)))
    told = {key: pattern.sub(lambda found: names[found[0]], str(value)) for key, value in told.items()}
    return told | {"FILTERD_SERVER__STATE_DIR": str(root / "state"), "FILTERD_SERVER__WORKERS": "1"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    postfix.require()
    programs = postgres.find_programs()
    assert programs is not None, "no PostgreSQL: run tests/servers/fetch.sh"
    root, ports, back = tmp_path_factory.mktemp("compose"), Ports.free(), free_port()
    shutil.copy(COMPOSE / "filterd.toml", root)
    with (root / "filterd.toml").open("a", encoding="utf-8") as file:
        file.write('deny = ["eve@example.com"]\n')
    with ExitStack() as stack:
        database = stack.enter_context(postgres.running(programs))
        environ = environment_of_filterd(root, ports, return_port=back, database=database)
        daemon = stack.enter_context(gateway.running(root, root / "filterd.toml", ports, environ=environ))
        mta = stack.enter_context(
            postfix.running(None, destination=1, configure=partial(configure, filter_port=ports.smtp, return_port=back))
        )
        yield Site(mta=mta, filterd=daemon, inbox=mta.folder / "inbox")


def test_first_mail_is_filtered_and_arrives(site: Site) -> None:
    """Sent as the README says: Postfix names its client, and the mailbox has the mail with our header in front."""
    readme = (COMPOSE / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"(?ms)^curl .*?^MAIL$\n", readme)
    subprocess.run(["sh", "-ec", command.replace(":2525 ", f":{site.mta.port} ")], check=True)
    (arrived,) = wait_until(site.arrived, site.mta.log())

    assert "X-Filterd-Id:" in arrived
    assert arrived.endswith("\n\nShall we meet at the usual place at noon?\n")
    assert site.filterd.events("message.judged")[-1]["peer"] == "127.0.0.1"


def test_mail_of_a_denied_sender_is_held_in_postgresql(site: Site) -> None:
    before = len(site.arrived())
    with smtplib.SMTP("127.0.0.1", site.mta.port, local_hostname="client.example", timeout=60) as client:
        client.sendmail("eve@example.com", ["bob@example.net"], "Subject: noon\r\n\r\nlunch?\r\n")

    wait_until(lambda: site.filterd.metric('filterd_outcomes_total{channel="email",outcome="held"}') == 1)
    assert len(site.arrived()) == before
    assert not (site.filterd.root / "state/filterd.db").exists()


def test_postfix_trusts_nobody_on_its_public_port(site: Site) -> None:
    """It is no open relay, whatever address Docker gives those who come through a published port."""
    settings = (site.mta.folder / "etc/main.cf").read_text(encoding="utf-8")

    assert "\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n" in settings
    assert "\nmynetworks = 127.0.0.0/8\n" in settings
