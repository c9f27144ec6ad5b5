"""An SMS gateway between an SMS centre and filterd, and a customer behind: what holds whichever gateway it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filterd.demo.embedded import Ports
from tests.servers import gateway
from tests.servers.customer import Customer
from tests.servers.gateway import Gateway
from tests.servers.ports import free_port
from tests.servers.smpp_centre import Centre

TOKEN = "token-of-the-test"
WHILE_DOWN = "the agenda while nobody was there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """SMS centre, filterd, customer."""

    centre: Centre
    customer: Customer
    filterd: Gateway

    def held(self) -> int:
        """How many messages the log says are held."""
        return sum(event["action"] == "quarantine" for event in self.filterd.events("message.judged"))


@contextmanager
def running(root: Path, name: str, start: Callable[[dict[str, str]], AbstractContextManager[Centre]]) -> Iterator[Line]:
    """The line; ``start`` runs the gateway with these changes of its snippet.

    A first message was delivered to the gateway before filterd was started.
    """
    ports = Ports.free()
    with ExitStack() as stack:
        customer = stack.enter_context(Customer())
        extra = f'[sms.{name}]\ntoken = "{TOKEN}"\ndeliver_url = "{customer.url}?site=1"\n'
        config = gateway.write_settings(root, ports, next_hop=free_port(), extra=extra)
        changes = {"http://127.0.0.1:8025/": f"http://127.0.0.1:{ports.http}/", "CHANGE-ME": TOKEN}
        centre = stack.enter_context(start(changes))
        centre.deliver(WHILE_DOWN.encode())
        filterd = stack.enter_context(gateway.running(root, config, ports))
        yield Line(centre=centre, customer=customer, filterd=filterd)
