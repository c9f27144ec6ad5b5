"""Real Postfix that asks filterd as its milter, with the snippets of ``deploy/postfix/milter``."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from filterd.demo.embedded import command
from filterd.demo.sink import MailSink, on_a_thread
from tests.filterd.dkim_mail import record, rsa_key, signed
from tests.interop.milter_mail import FORGED, HAM, SPAM, Mail, filtering, original, say
from tests.servers import postfix
from tests.servers.gateway import wait_until
from tests.servers.name_server import NameServer
from tests.servers.ports import free_port
from tests.servers.postfix import Postfix

pytestmark = [pytest.mark.real, pytest.mark.slow]


@contextmanager
def chain(root: Path, milter: str = "") -> Iterator[tuple[Mail, Postfix]]:
    """Everything, running; a client may say who it is, as a proxy in front of Postfix does."""
    postfix.require()
    back, port = free_port(), free_port()
    with ExitStack() as stack:
        destination = stack.enter_context(on_a_thread(MailSink(root / "mailbox")))
        filterd = stack.enter_context(filtering(root, milter_port=port, next_hop=back, milter=milter))
        main = "smtpd_authorized_xclient_hosts = 127.0.0.0/8\n"
        mta = stack.enter_context(
            postfix.running("milter", return_port=back, milter_port=port, destination=destination, main=main)
        )
        yield Mail(port=mta.port, folder=root / "mailbox", filterd=filterd), mta


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory, names: NameServer) -> Iterator[Mail]:
    """One chain for the tests that leave it as it was; it verifies signatures itself."""
    with on_a_thread(names) as port:
        asks = f'[dkim]\nverify = true\nname_servers = ["127.0.0.1:{port}"]\n'
        with chain(tmp_path_factory.mktemp("chain"), asks) as (made, _):
            yield made


@pytest.fixture(scope="module")
def names() -> NameServer:
    """Where keys are published."""
    return NameServer()


def test_ham_arrives_with_our_headers_in_front_and_everything_else_as_it_was(mail: Mail) -> None:
    """Postfix's copy is the sender's, octet for octet, behind our block."""
    assert mail.send(HAM)[0] == 250
    delivered = mail.arrives()

    assert delivered.startswith(b"X-Filterd-Id: ")
    assert original(delivered) == HAM
    assert b"X-Spam-Flag: YES" not in delivered
    assert f"with ESMTP id {mail.judged()[-1]['queue_id']}".encode() in delivered


def test_forged_headers_are_removed(mail: Mail) -> None:
    """Each by its own number, with others in between."""
    assert mail.send(FORGED)[0] == 250
    delivered = mail.arrives()

    assert original(delivered) == HAM
    assert delivered.count(b"X-Filterd-Id: ") == 1


def test_spam_when_tagged_arrives_with_flag_and_subject(mail: Mail) -> None:
    """Headers say what it is, and the subject does."""
    assert mail.send(SPAM, "tag@example.net")[0] == 250
    delivered = mail.arrives()

    assert b"X-Spam-Flag: YES\r\n" in delivered
    assert b"\r\nSubject: [SPAM] agenda\r\n" in delivered


def test_spam_is_held_by_us_and_arrives_once_released(mail: Mail) -> None:
    """Postfix forgets what we hold; what people release goes past the milter."""
    assert mail.send(SPAM)[0] == 250
    judged = mail.judged()

    command(mail.filterd.config, "quarantine", "release", str(judged[-1]["id"]))
    delivered = mail.arrives()

    assert judged[-1]["outcome"] == "held"
    assert delivered.endswith(SPAM)
    assert b"X-Spam" not in delivered
    assert mail.judged() == judged


def test_spam_is_refused_while_the_sender_is_connected(mail: Mail) -> None:
    """The client hears our reply from Postfix."""
    code, text = mail.send(SPAM, "refuse@example.net")

    assert (code, text[:5]) == (550, b"5.7.1")


def test_recipients_with_other_rules_get_it_while_the_rest_is_held(mail: Mail) -> None:
    """One is delivered to, the other's part is held and taken off Postfix's copy."""
    assert mail.send(SPAM, "bob@example.net", "carol@example.net")[0] == 250
    delivered = mail.arrives()

    assert b"X-Filterd-Reason: allowed\r\n" in delivered
    assert b"for <carol@example.net>" in delivered or b"for <" not in delivered
    assert sorted(str(event["outcome"]) for event in mail.judged()[-2:]) == ["held", "relayed"]
    assert mail.send(HAM)[0] == 250
    assert original(mail.arrives()) == HAM


def test_two_messages_of_one_session_are_judged_apart(mail: Mail) -> None:
    """Nothing of the first is left for the second, nor of what is taken back."""
    with mail.client() as client:
        assert say(client, SPAM)[0] == 250
        first = str(mail.judged()[-1]["id"])
        client.mail("ann@example.org")
        client.rset()
        assert say(client, HAM)[0] == 250
    delivered = mail.arrives()

    assert original(delivered) == HAM
    assert first.encode() not in delivered
    assert mail.filterd.metric("filterd_session_errors_total") == 0


def test_client_is_known_by_its_address(mail: Mail) -> None:
    """The address Postfix knows reaches the verdict and the deny list."""
    with mail.client() as client:
        assert client.docmd("XCLIENT", "ADDR=192.0.2.66 NAME=mail.example.org LOGIN=ann")[0] == 220
        client.ehlo()
        assert say(client, HAM)[0] == 250

    assert (mail.judged()[-1]["reason"], mail.judged()[-1]["peer"]) == ("denied", "192.0.2.66")


def test_sender_is_allowed_when_a_milter_before_us_vouches_for_it_and_not_else(mail: Mail) -> None:
    """What a trusted server wrote reaches the policy, and stays on the message."""
    own = SPAM.replace(b"ann@example.org", b"ann@vouched.example.org")
    found = b"Authentication-Results: auth.example.net; dmarc=pass header.from=vouched.example.org\r\n"
    mail.send(own)
    mail.send(found + own)
    delivered = mail.arrives()

    assert [event["reason"] for event in mail.judged()[-2:]] == ["spam", "allowed"]
    assert original(delivered) == found + own
    assert b"DMARC_PASS" in delivered


def test_sender_is_allowed_when_its_own_signature_is_good_and_not_when_the_mail_was_changed(
    mail: Mail, names: NameServer
) -> None:
    """A signature survives Postfix and the milter protocol, and the policy reads what we found as it reads theirs."""
    domain = "vouched.example.org"
    own = signed(SPAM.replace(b"ann@example.org", f"ann@{domain}".encode()), domain=domain, ways=(b"simple", b"simple"))
    names.records[f"sel._domainkey.{domain}"] = [record(rsa_key())]
    mail.send(own)
    delivered = mail.arrives()
    mail.send(own.replace(b"lottery", b"Lottery"))

    assert [event["reason"] for event in mail.judged()[-2:]] == ["allowed", "spam"]
    assert original(delivered) == own
    assert b"DKIM_ALIGNED" in delivered
    assert mail.filterd.metric("filterd_dkim_signatures_total") == 2


@pytest.mark.invariant("I1", "I3")
def test_sender_repeats_what_was_held_when_we_died_and_it_is_held_once(mail: Mail) -> None:
    """A worker that dies between its commit and its answer costs a retry, and no second copy."""
    own = SPAM.replace(b"1@example.org", b"died@example.org")
    (mail.filterd.root / "failpoints/pipeline.held").write_text("kill", encoding="ascii")
    first = mail.send(own)[0]
    wait_until(lambda: mail.filterd.events("worker.exited") and mail.filterd.admin("readyz")[0] == 200)
    before = mail.held()

    second = mail.send(own)[0]

    assert (first, second) == (451, 250)
    assert mail.held() == before


@pytest.mark.invariant("I2", "I9")
def test_sender_is_asked_to_try_again_when_nothing_can_be_scored(mail: Mail) -> None:
    """A scanner that dies and no other that can start lets nothing through and bounces nothing."""
    bundle, away = mail.filterd.root / "bundle-email", mail.filterd.root / "away"
    bundle.rename(away)
    for scanner in mail.filterd.scanners():
        os.kill(scanner, signal.SIGKILL)
    try:
        code, _ = mail.send(HAM)
        # A worker tells of a change within half a second: ready before that is what was true before the kill.
        wait_until(lambda: mail.filterd.admin("readyz")[0] == 503, "not ready")
    finally:
        away.rename(bundle)
        mail.filterd.signal(signal.SIGHUP)
    wait_until(lambda: mail.filterd.admin("readyz")[0] == 200, "ready again")

    assert code == 451
    assert mail.judged()[-1]["reason"] == "scan_down"


@pytest.mark.invariant("I2")
def test_sender_is_asked_to_try_again_when_we_are_away() -> None:
    """The snippet's default action: nothing passes unjudged, nothing bounces."""
    with postfix.running("milter", milter_port=free_port(), destination=free_port()) as mta:
        mail = Mail(port=mta.port, folder=mta.folder, filterd=None)  # type: ignore[arg-type]  # there is none
        with mail.client() as client:
            assert client.mail("ann@example.org")[0] == 451


def test_spam_is_held_in_postfix_when_that_is_wanted(tmp_path: Path) -> None:
    """With milter.quarantine = "mta" the message waits in the hold queue, and our store has none."""
    with chain(tmp_path, milter='quarantine = "mta"\n') as (mail, mta):
        assert mail.send(SPAM)[0] == 250
        wait_until(lambda: [path for path in (mta.folder / "queue/hold").rglob("*") if path.is_file()])
        held, log = mail.held(), mta.log()

    # Postfix 3.7 does not log the reason it is given.
    assert "milter-hold: END-OF-MESSAGE" in log
    assert held == []
