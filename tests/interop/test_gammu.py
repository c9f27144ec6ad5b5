"""gammu-smsd and the program of ``deploy/gammu``: an SMS on a telephone to the customer's URL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import standardwebhooks

from filterd.demo.embedded import Ports
from tests.servers import gammu, gateway, unpacked
from tests.servers.customer import Customer
from tests.servers.gateway import wait_until
from tests.servers.ports import free_port

SECRET = "whsec_ZGVtby1zZWNyZXQtZGVtby1zZWNyZXQ="
TWO_PARTS = {"DECODED_PARTS": "2", "DECODED_1_TEXT": "first ", "DECODED_2_TEXT": "second"}


@pytest.fixture
def customer() -> Iterator[Customer]:
    with Customer() as customer:
        yield customer


def run(folder: Path, url: str, **environ: str) -> int:
    """The program as gammu-smsd runs it: no open files, its environment, identifiers behind its arguments."""
    secret = folder / "secret"
    secret.write_text(SECRET + "\n", encoding="ascii")
    arguments = ("--url", url, "--secret-file", str(secret), "--spool", str(folder / "spool"), "--to", "+15550199")
    command = [sys.executable, str(gammu.PROGRAM), *arguments, "IN20260101_000000_00.txt"]
    closed = 'exec <&- >&- 2>&-; exec "$@"'
    return subprocess.run(
        ["sh", "-c", closed, "sh", *command], env={"PATH": os.environ["PATH"], **environ}, check=False
    ).returncode


def waiting(folder: Path, ending: str = "json") -> list[str]:
    """The texts in the program's folder."""
    return [json.loads(path.read_bytes())["text"] for path in sorted((folder / "spool").glob(f"*.{ending}"))]


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"SMS_1_TEXT": 'Grüße "und" \\ ☕\n', "DECODED_PARTS": "0"}, 'Grüße "und" \\ ☕\n'),
        ({"SMS_1_TEXT": "first ", "SMS_2_TEXT": "second", "SMS_MESSAGES": "2"}, "first second"),
        ({"SMS_1_TEXT": "cut", **TWO_PARTS}, "first second"),
        ({"DECODED_PARTS": "1", "DECODED_1_MMS_TITLE": "Hi ", "DECODED_1_MMS_ADDRESS": "http://x"}, "Hi http://x"),
        ({}, ""),
    ],
    ids=["one", "undecoded", "decoded", "mms", "binary"],
)
def test_program_when_a_message_came_then_it_is_a_signed_call(
    tmp_path: Path, customer: Customer, environ: dict[str, str], text: str
) -> None:
    code = run(tmp_path, customer.url, **{"SMS_MESSAGES": "1", "SMS_1_NUMBER": "+15005550001", **environ})

    (call,) = customer.calls
    body = standardwebhooks.Webhook(SECRET).verify(call.body, call.headers)
    assert (code, body["text"], body["from"], body["to"]) == (0, text, "+15005550001", "+15550199")
    assert call.headers["webhook-id"] == body["id"]
    assert waiting(tmp_path) == []


def test_program_when_filterd_is_down_then_the_message_waits_and_goes_with_the_next_in_order(
    tmp_path: Path, customer: Customer
) -> None:
    down = f"http://127.0.0.1:{free_port()}/"

    assert run(tmp_path, down, SMS_MESSAGES="1", SMS_1_NUMBER="1", SMS_1_TEXT="first") == os.EX_TEMPFAIL
    assert waiting(tmp_path) == ["first"]
    assert run(tmp_path, customer.url, SMS_MESSAGES="1", SMS_1_NUMBER="1", SMS_1_TEXT="second") == 0

    assert [json.loads(call.body)["text"] for call in customer.calls] == ["first", "second"]


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_program_when_filterd_does_not_take_it_now_then_a_run_without_a_message_sends_it(
    tmp_path: Path, customer: Customer, status: int
) -> None:
    """403 is a wrong secret, 404 a provider that is off: to be repaired, and no reason to lose an SMS."""
    customer.status = status
    code = run(tmp_path, customer.url, SMS_MESSAGES="1", SMS_1_NUMBER="1", SMS_1_TEXT="later")
    customer.status = 200

    assert (code, waiting(tmp_path)) == (os.EX_TEMPFAIL, ["later"])
    assert run(tmp_path, customer.url) == 0
    assert waiting(tmp_path) == []
    assert len({call.headers["webhook-id"] for call in customer.calls}) == 1


def test_program_when_filterd_never_takes_it_then_it_is_put_aside_and_the_next_goes(
    tmp_path: Path, customer: Customer
) -> None:
    customer.status = 422
    assert run(tmp_path, customer.url, SMS_MESSAGES="1", SMS_1_NUMBER="1", SMS_1_TEXT="odd") == 0
    customer.status = 200
    assert run(tmp_path, customer.url, SMS_MESSAGES="1", SMS_1_NUMBER="1", SMS_1_TEXT="next") == 0

    assert waiting(tmp_path, "refused") == ["odd"]
    assert json.loads(customer.calls[-1].body)["text"] == "next"


@pytest.mark.real
@pytest.mark.slow
def test_gammu_smsd_when_messages_come_then_ham_is_forwarded_and_spam_is_held(
    tmp_path: Path, customer: Customer
) -> None:
    unpacked.program("usr/bin/gammu-smsd")
    ports, secret = Ports.free(), tmp_path / "secret"
    secret.write_text(SECRET, encoding="ascii")
    extra = f'[sms.generic]\nsecret = "{SECRET}"\ndeliver_url = "{customer.url}"\n'
    config = gateway.write_settings(tmp_path, ports, next_hop=free_port(), extra=extra)
    changes = {
        "http://127.0.0.1:8025/": f"http://127.0.0.1:{ports.http}/",
        "/etc/filterd/gammu.secret": str(secret),
        "/var/spool/filterd-gammu": str(tmp_path / "spool"),
    }
    with ExitStack() as stack:
        filterd = stack.enter_context(gateway.running(tmp_path, config, ports))
        phone = stack.enter_context(gammu.running(tmp_path, changes))
        phone.receive("lottery winner call now")
        phone.receive("the agenda ☕ ", udh=bytes((5, 0, 3, 7, 2, 1)))
        phone.receive("for Monday", udh=bytes((5, 0, 3, 7, 2, 2)))

        wait_until(lambda: len(filterd.events("message.judged")) == 2 and customer.calls)

        assert sorted(event["action"] for event in filterd.events("message.judged")) == ["accept", "quarantine"]
        (call,) = customer.calls
        assert json.loads(call.body) | {"id": ""} == {
            "id": "",
            "from": "+15005550001",
            "to": "+15550199",
            "text": "the agenda ☕ for Monday",
        }
        assert call.headers["x-filterd-verdict"] == "accept"
