"""What the settings are made of: secrets, addresses, thresholds, and sections that refuse an unknown key."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from filterd.core.policy import SenderList


class Secret:
    """A value that prints as stars. ``file:/path`` has been replaced by the file's content when it gets here."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('***')" if self._value else "Secret('')"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from_text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema())
        serialize = core_schema.plain_serializer_function_ser_schema(lambda s: "***" if s else "")
        return core_schema.union_schema([core_schema.is_instance_schema(cls), from_text], serialization=serialize)


def _network(text: str) -> str:
    ipaddress.ip_network(text, strict=False)
    return text


def _address(text: str) -> str:
    """``host:port``, ``[v6]:port`` or ``unix:/path``."""
    if text.startswith("unix:/"):
        return text
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("must be host:port or unix:/path")
    return text


def _mailbox(text: str) -> str:
    if text and not all(text.rpartition("@")[::2]):
        raise ValueError("must be an address, or empty")
    return text


def _sender(text: str) -> str:
    SenderList.of((text,))
    return text


def _threshold(value: str | float | None) -> str | float | None:
    if isinstance(value, float) and not 0 <= value <= 1:
        raise ValueError("a threshold is a probability from 0 to 1 or the name of an operating point")
    if value in ("off", "never", ""):
        return None
    return value


def _name_server(text: str) -> str:
    host, _, port = text.rpartition(":")
    ipaddress.ip_address(host.strip("[]"))
    if not port.isdigit() or not 0 < int(port) <= 65535:
        raise ValueError("must be an address and a port, 127.0.0.1:53 or [::1]:53")
    return text


Network = Annotated[str, AfterValidator(_network)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Address = Annotated[str, AfterValidator(_address)]
NameServer = Annotated[str, AfterValidator(_name_server)]
Sender = Annotated[str, AfterValidator(_sender)]
Probability = Annotated[str | float | None, AfterValidator(_threshold)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]

LOOPBACK = ("127.0.0.0/8", "::1/128")


class Section(BaseModel):
    """A frozen group of settings; a key it does not name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
