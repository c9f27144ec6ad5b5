"""The private names of aiosmtpd and asyncio the wire rests on: a new version that moves one fails here by name."""

from __future__ import annotations

import asyncio
import inspect

import aiosmtpd
import pytest
from aiosmtpd.smtp import SMTP, TLSSetupException

from filterd.edges.smtp_wire import Wire
from tests.filterd.smtp_dialogue import NextHop, gateway, until

ATTRIBUTES = (
    "_timeout_handle",
    "_timeout_duration",
    "_handler_coroutine",
    "_tls_protocol",
    "_original_transport",
    "transport",
    "loop",
)
METHODS = (
    "_handle_client",
    "_reset_timeout",
    "_timeout_cb",
    "smtp_STARTTLS",
    "push",
    "connection_made",
    "data_received",
)


def test_private_names_belong_to_the_version_that_was_read() -> None:
    assert aiosmtpd.__version__ == "1.4.6"


@pytest.mark.parametrize("name", METHODS)
def test_private_method_is_there(name: str) -> None:
    assert callable(getattr(SMTP, name))


@pytest.mark.parametrize("name", ATTRIBUTES)
async def test_private_attribute_is_there(name: str) -> None:
    made = SMTP(object(), hostname="x", loop=asyncio.get_running_loop())

    assert name in vars(made) or hasattr(made, name)


@pytest.mark.parametrize("name", ["_timeout_cb", "_handle_client", "connection_lost", "eof_received", "data_received"])
def test_method_is_replaced(name: str) -> None:
    assert getattr(Wire, name) is not getattr(SMTP, name)


def test_reader_buffer_is_a_bytearray() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert isinstance(asyncio.StreamReader(loop=loop)._buffer, bytearray)  # type: ignore[attr-defined]
    finally:
        loop.close()


def test_reader_is_set_when_the_connection_is_made() -> None:
    assert "self._reader = reader" in inspect.getsource(SMTP._cb_client_connected)


def test_handle_client_is_started_by_connection_made() -> None:
    assert "self._handle_client()" in inspect.getsource(SMTP.connection_made)


def test_starttls_raises_the_exception_that_is_caught() -> None:
    assert "TLSSetupException" in inspect.getsource(SMTP.smtp_STARTTLS)
    assert issubclass(TLSSetupException, Exception)


def test_starttls_discards_what_was_sent_in_the_clear() -> None:
    assert "_buffer.clear()" in inspect.getsource(SMTP.connection_made)


async def test_connection_lost_cancels_the_session_only_once_it_is_lost() -> None:
    async with NextHop() as hop, gateway(hop) as gw:
        client = await gw.client()
        client.reset()

        await until(lambda: gw.count("filterd_sessions", edge="smtp") == 0)


async def test_wire_without_a_session_is_not_usable() -> None:
    wire = Wire(hostname="x", tls_context=None, idle_seconds=1)

    with pytest.raises(NotImplementedError):
        await wire.run()
