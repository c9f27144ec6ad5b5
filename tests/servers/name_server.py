"""A name server for tests: TXT records on loopback, by UDP and, where they are long, TCP (RFC 1035, RFC 7766)."""

from __future__ import annotations

import asyncio

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

_UDP_BYTES = 1_232
_TTL = 60


class NameServer:
    """Answers from ``records``, which may change meanwhile; a name with None is never answered."""

    def __init__(self) -> None:
        self.records: dict[str, list[bytes] | None] = {}
        self.asked: list[str] = []
        self.is_failing = False
        """Whether it answers SERVFAIL, as where DNSSEC does not fit."""
        self.port = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; the port."""
        self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), ("127.0.0.1", self.port))
        return self.port

    async def stop(self) -> None:
        """Answer no more."""
        assert self._udp is not None
        assert self._tcp is not None
        self._udp.close()
        self._tcp.close()

    def answer(self, data: bytes, *, most: int = 65_535) -> bytes | None:
        """The answer to one question; cut short where it is too long."""
        question = dns.message.from_wire(data)
        name = question.question[0].name
        self.asked.append(name.to_text(omit_final_dot=True))
        answer = dns.message.make_response(question)
        texts = self.records.get(self.asked[-1], [])
        if texts is None:
            return None
        if self.is_failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif texts:
            strings = [" ".join(f'"{part.decode()}"' for part in _parts(text)) for text in texts]
            answer.answer.append(dns.rrset.from_text(name, _TTL, "IN", "TXT", *strings))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        wire = answer.to_wire()
        if len(wire) > most:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
            wire = answer.to_wire()
        return wire

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        wire = self.answer(await reader.readexactly(size))
        if wire is not None:
            writer.write(len(wire).to_bytes(2, "big") + wire)
        writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # what UDP has
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        wire = self._server.answer(data, most=_UDP_BYTES)
        if wire is not None and self._transport is not None:
            self._transport.sendto(wire, addr)


def _parts(text: bytes) -> list[bytes]:
    """A character string has 255 octets at most."""
    return [text[i : i + 255] for i in range(0, len(text), 255)]
