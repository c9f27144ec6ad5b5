"""The settings of the mail edges beside SMTP: a section for each protocol, and of what they verify.

An edge is off until it is told where to listen.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from filterd.setting_types import LOOPBACK, Address, Count, NameServer, Network, Positive, Secret, Section

QuarantineAs = Literal["add header", "quarantine", "reject"]


class LmtpSettings(Section):
    """The LMTP edge: everything but where it listens is as in the section smtp."""

    listen: tuple[Address, ...] = Field(
        (),
        description="Where mail is received by LMTP, with a reply for each recipient; empty turns the edge off.",
    )


class SpamdSettings(Section):
    """SpamAssassin's spamd protocol, and its RSPAMC dialect, for clients that ask and act themselves."""

    listen: tuple[Address, ...] = Field(
        (), description="Where spamc, Exim and others ask, for example 127.0.0.1:783; empty turns the edge off."
    )
    networks: tuple[Network, ...] = Field(LOOPBACK, description="Clients that may ask; on a unix socket all may.")
    tell_networks: tuple[Network, ...] = Field(
        LOOPBACK,
        description="Clients whose TELL (spamc -L) is believed: each label counts as that of the user the client names.",
    )
    quarantine_as: QuarantineAs = Field(
        "add header", description="What RSPAMC clients are told to do with a message that would be held here."
    )
    max_sessions: Count = Field(200, description="Connections per worker; more get 75.")
    receive_timeout_seconds: Positive = Field(60.0, description="Longest time one request may take to arrive.")


class RspamdSettings(Section):
    """rspamd's HTTP interface, for clients that ask and act themselves."""

    listen: tuple[Address, ...] = Field(
        (), description="Where rspamc, Haraka and others ask, for example 127.0.0.1:11333; empty turns the edge off."
    )
    networks: tuple[Network, ...] = Field(LOOPBACK, description="Clients that may ask; on a unix socket all may.")
    learn_networks: tuple[Network, ...] = Field(
        LOOPBACK, description="Clients that may teach without the password, as those of rspamd's secure_ip."
    )
    password: Secret = Field(Secret(), description="Lets other clients teach, too; empty lets nobody.")
    quarantine_as: QuarantineAs = Field(
        "add header", description="The action clients are told for a message that would be held here."
    )
    receive_timeout_seconds: Positive = Field(60.0, description="Longest time one request may take to arrive.")


class MilterSettings(Section):
    """The milter edge: a mail server shows us each message and keeps it. Whoever can connect is believed."""

    listen: tuple[Address, ...] = Field(
        (), description="Where mail servers connect, host:port or unix:/path; empty turns the edge off."
    )
    quarantine: Literal["filterd", "mta"] = Field(
        "filterd",
        description="Who keeps what is held: filterd takes it and the mail server forgets it; mta is told to hold it in its own queue, where our pages do not reach. A message that is held for some of its recipients only is always kept by filterd.",
    )
    max_message_bytes: Count = Field(
        26_214_400,
        description="Larger messages get 552; not below the mail server's own limit. More than 512 KiB of headers do, too.",
    )
    max_sessions: Count = Field(
        2_000, description="Connections per worker; more are closed, and the mail server's default action holds."
    )
    max_in_flight_bytes: Count = Field(
        268_435_456, description="Message bytes held in memory per worker; more get 452."
    )
    idle_timeout_seconds: Positive = Field(
        7_210.0,
        description="A connection that says nothing is closed after this; longer than a client of the mail server may take for a command.",
    )


class DkimSettings(Section):
    """Verifying DKIM signatures ourselves, of mail that no trusted server has done it for."""

    verify: bool = Field(
        False,
        description="Ask DNS for the keys of signatures and verify them, unless a server in smtp.trusted_authserv_ids has told what they are worth. The results are signals; none of them, and no fault of DNS, keeps a message back.",
    )
    name_servers: tuple[NameServer, ...] = Field(
        (), description="Name servers to ask, for example 127.0.0.1:53; empty means the system's."
    )
    timeout_seconds: Positive = Field(2.0, description="Longest wait for the keys of a message; after it: temperror.")
    max_signatures: Count = Field(
        5, description="Signatures of one message that are verified, those of the author's domain first."
    )
