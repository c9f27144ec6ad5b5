"""Messages of our own that a bundle tests itself with when it is loaded: none is taken from a corpus."""

from __future__ import annotations

from filterd.core.envelope import Channel

_SMS = (
    "Running ten minutes late, please start without me",
    "Your parcel is at the shop on Mill Street until Friday. Bring an ID.",
    "Your login code is 481920. It is valid for 10 minutes. Do not share it.",
    "URGENT! You have won a 1000 pound prize. Call 09061234567 now to claim, calls 150p per min",
    "Your account is suspended. Verify your details at http://bank-secure-login.example/verify or it will be closed",
    "FREE ringtones! Text TONE to 80000 now. 18+ only, reply STOP to end",
    "Can you pick up milk and bread on your way home? x",
    "Card 1234 was charged 25.40 EUR at a bakery. Balance 310.22 EUR.",
    "Flat 70% off on all shoes this weekend, hurry, offer ends Sunday",
    "Votre code est 204871, valable 5 minutes",
)

_PLAIN = (
    "From: {author}\r\nTo: someone@example.org\r\nSubject: {subject}\r\n"
    "MIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n{body}\r\n"
)
_TEXT = "text/plain; charset=us-ascii"
_HTML = "text/html; charset=us-ascii"

_EMAIL = tuple(
    _PLAIN.format(author=author, subject=subject, kind=kind, body=body)
    for author, subject, kind, body in (
        (
            "Ann Writer <ann@example.org>",
            "Minutes of Tuesday",
            _TEXT,
            "Hi all,\r\n\r\nthe minutes are attached to the wiki page. Please correct what I got wrong.\r\n\r\nAnn",
        ),
        (
            "Shop <orders@shop.example>",
            "Your order 20417 has shipped",
            _HTML,
            "<p>Hello,</p><p>your order left today. <a href='https://shop.example/t/20417'>Track it</a></p>",
        ),
        (
            "Accounts <no-reply@service.example>",
            "Reset your password",
            _TEXT,
            "You asked for a new password. Open https://service.example/reset/abc or ignore this mail.",
        ),
        (
            "Winner Desk <win4321@prizes.example>",
            "CONGRATULATIONS!!! YOU HAVE WON $1,000,000",
            _TEXT,
            "Dear lucky winner, your address was selected. Send bank details and a fee of $250 now!!!",
        ),
        (
            "Bank Security <alert@192-0-2-7.example>",
            "Your account will be suspended",
            _HTML,
            "<p>Dear customer, verify it: <a href='http://192.0.2.7/login'>https://www.bank.example</a></p>",
        ),
        (
            "Pharmacy <sale@pills.example>",
            "Cheap meds, no prescription",
            _HTML,
            "<h1>80% OFF</h1><p>Buy viagra and cialis online. <a href='http://pills.example'>ORDER NOW</a></p>",
        ),
        (
            "Mr. Barrister <barrister@lawfirm.example>",
            "Confidential business proposal",
            _TEXT,
            "I am the attorney of a late client who left 18.5 million dollars. I need a partner. Reply today.",
        ),
        (
            "Dev List <kim@example.net>",
            "Re: build fails on the second run",
            _TEXT,
            "> it fails for me too\r\n\r\nThe cache key lacks the compiler version. See the patch.\r\n\r\nKim",
        ),
        (
            "The Weekly <news@letter.example>",
            "Issue 112: gardens in winter",
            _HTML,
            "<h2>In this issue</h2><p>What to prune now.</p><p><a href='https://letter.example/u'>Unsubscribe</a></p>",
        ),
        (
            "Jobs <work@home.example>",
            "Earn $5000 a week from home",
            _TEXT,
            "No experience needed! Make money fast. Limited places, click http://home.example/join now!",
        ),
    )
)


def texts(channel: Channel) -> tuple[str, ...]:
    """The probes of a channel, latin-1."""
    return _EMAIL if channel is Channel.EMAIL else _SMS
