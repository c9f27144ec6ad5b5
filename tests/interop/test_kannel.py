"""Real Kannel with the snippet of ``deploy/kannel``: an SMS from an SMS centre over SMPP to the customer's URL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.interop import sms_line
from tests.interop.sms_line import WHILE_DOWN, Line
from tests.servers import kannel, unpacked
from tests.servers.customer import Call
from tests.servers.gateway import wait_until
from tests.servers.smpp_centre import UCS2

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    unpacked.program("usr/sbin/bearerbox")
    root = tmp_path_factory.mktemp("kannel")
    soon = {"http-queue-delay = 30": "http-queue-delay = 1"}
    with sms_line.running(root, "kannel", lambda changes: kannel.running(root, changes | soon)) as line:
        yield line


def arrived(line: Line, text: str) -> list[Call]:
    """The customer's calls about the text."""
    return [call for call in line.customer.calls if call.query.get("text") == text]


def test_message_when_filterd_was_down_then_kannel_tries_again_until_it_arrives(line: Line) -> None:
    assert wait_until(lambda: arrived(line, WHILE_DOWN))


def test_ham_when_it_has_every_kind_of_character_then_the_customer_gets_kannels_query_less_the_token(
    line: Line,
) -> None:
    # The GSM alphabet's octets of: the agenda @ $5 & more = café
    line.centre.deliver(b"the agenda \x00 \x025 & more = caf\x05")
    line.centre.deliver("the agenda ☕ и кофе".encode("utf-16-be"), coding=UCS2)

    for text in ("the agenda @ $5 & more = café", "the agenda ☕ и кофе"):
        (call,) = wait_until(partial(arrived, line, text))
        assert call.method == "GET"
        assert call.query["site"] == "1"
        assert (call.query["from"], call.query["to"]) == ("+15005550001", "+15005550006")
        assert "token" not in call.query
        assert call.headers["x-filterd-verdict"] == "accept"


def test_spam_when_it_comes_then_it_is_held_and_the_phone_hears_nothing(line: Line) -> None:
    line.centre.deliver(b"lottery winner call now")

    assert wait_until(lambda: line.held() == 1)
    assert not arrived(line, "lottery winner call now")
    assert line.centre.submitted == []
