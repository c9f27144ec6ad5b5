"""Real Jasmin with the snippets of ``deploy/jasmin``: an SMS from an SMS centre over SMPP to the customer's URL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from urllib.parse import parse_qs

import pytest

from tests.interop import sms_line
from tests.interop.sms_line import TOKEN, WHILE_DOWN, Line
from tests.servers import jasmin
from tests.servers.customer import Call
from tests.servers.gateway import wait_until
from tests.servers.smpp_centre import UCS2

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    jasmin.require()
    root = tmp_path_factory.mktemp("jasmin")
    soon = {"retry_delay = 30": "retry_delay = 1"}
    with sms_line.running(root, "jasmin", lambda changes: jasmin.running(root, changes | soon)) as line:
        yield line


def arrived(line: Line, text: str, codec: str = "ascii") -> list[Call]:
    """The customer's calls about the text, whose octets Jasmin hands on in hexadecimal digits."""
    return [call for call in line.customer.calls if _fields(call)["binary"] == text.encode(codec).hex()]


def _fields(call: Call) -> dict[str, str]:
    """The form that Jasmin posts."""
    return {name: values[0] for name, values in parse_qs(call.body.decode("ascii"), encoding="latin-1").items()}


def test_message_when_filterd_was_down_then_jasmin_tries_again_until_it_arrives(line: Line) -> None:
    assert wait_until(lambda: arrived(line, WHILE_DOWN))


def test_ham_when_it_has_every_kind_of_character_then_the_customer_gets_jasmins_call_less_the_token(
    line: Line,
) -> None:
    # The GSM alphabet's octets of: the agenda @ $5 & more = café
    octets = b"the agenda \x00 \x025 & more = caf\x05"
    line.centre.deliver(octets)
    line.centre.deliver("the agenda ☕ и кофе".encode("utf-16-be"), coding=UCS2)

    for text, codec in ((octets.decode("latin-1"), "latin-1"), ("the agenda ☕ и кофе", "utf-16-be")):
        (call,) = wait_until(partial(arrived, line, text, codec))
        fields = _fields(call)
        assert call.method == "POST"
        assert call.query == {"site": "1"}
        assert (fields["from"], fields["to"]) == ("15005550001", "15005550006")
        assert TOKEN not in call.body.decode("ascii")
        assert call.headers["x-filterd-verdict"] == "accept"


def test_spam_when_it_comes_then_it_is_held_and_the_phone_hears_nothing(line: Line) -> None:
    line.centre.deliver(b"lottery winner call now")

    assert wait_until(lambda: line.held() == 1)
    assert not arrived(line, "lottery winner call now")
    assert line.centre.submitted == []
