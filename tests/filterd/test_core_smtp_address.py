"""MAIL and RCPT arguments, and the relay rule: threat A11 as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.smtp_address import Fault, Path, canonical_domain, may_relay, parse_path

OURS = frozenset({"ours.example", ".sub.example", "xn--bcher-kva.example"})


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("FROM:<>", Path(address="")),
        ("from:<a@b.example>", Path(address="a@b.example")),
        ("FROM: <A.b+c@B.Example>", Path(address="A.b+c@B.Example")),
        ("FROM:<a@b> SIZE=10 BODY=8BITMIME", Path(address="a@b", parameters=("SIZE=10", "BODY=8BITMIME"))),
        ("FROM:<a@b> ENVID=AbC+20x RET=HDRS", Path(address="a@b", parameters=("ENVID=AbC+20x", "RET=HDRS"))),
        ("FROM:<a@b>  X-Y=1  Z", Path(address="a@b", parameters=("X-Y=1", "Z"))),
        ('FROM:<"a b\\"c@d"@e.example>', Path(address='"a b\\"c@d"@e.example')),
        ("FROM:<a@[192.0.2.1]>", Path(address="a@[192.0.2.1]")),
        ("FROM:<a@[IPv6:2001:db8::1]>", Path(address="a@[IPv6:2001:db8::1]")),
        ("FROM:<=?utf-8?q?x?=@b.example>", Path(address="=?utf-8?q?x?=@b.example")),
        ("FROM:<jürgen@bücher.example> SMTPUTF8", Path(address="jürgen@bücher.example", parameters=("SMTPUTF8",))),
        ("FROM:<a..b@docomo.example>", Path(address="a..b@docomo.example")),
        ("FROM:a@b", Fault.SYNTAX),
        ("FROM:", Fault.SYNTAX),
        ("", Fault.SYNTAX),
        ("TO:<a@b>", Fault.SYNTAX),
        ("FROM:<a@b", Fault.SYNTAX),
        ("FROM:<a@b>x", Fault.ADDRESS),
        ("FROM:<a(comment)@b>", Fault.ADDRESS),
        ("FROM:<a b@c>", Fault.ADDRESS),
        ("FROM:<@relay,@b:u@x>", Fault.ADDRESS),
        ("FROM:<a@b@c>", Fault.ADDRESS),
        ("FROM:<a@b.example.>", Fault.ADDRESS),
        ("FROM:<a@>", Fault.ADDRESS),
        ("FROM:<a@-b->", Fault.ADDRESS),
        ("FROM:<a>", Fault.ADDRESS),
        ("FROM:<a@b\0.example>", Fault.ADDRESS),
        ("FROM:<a@" + "b" * 400 + ">", Fault.ADDRESS),
        ("FROM:<a@b> SIZE=", Fault.PARAMETER),
        ("FROM:<a@b> A=b=c", Fault.PARAMETER),
        ("FROM:<a@b> =x", Fault.PARAMETER),
    ],
)
def test_parse_path_of_mail(argument: str, path: Path | Fault) -> None:
    assert parse_path(argument, "FROM") == path


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("TO:<Postmaster>", Path(address="Postmaster")),
        (
            "TO:<a@b> NOTIFY=SUCCESS ORCPT=rfc822;a+2Bb@c",
            Path(address="a@b", parameters=("NOTIFY=SUCCESS", "ORCPT=rfc822;a+2Bb@c")),
        ),
        ("TO:<>", Fault.ADDRESS),
        ("TO:<someone>", Fault.ADDRESS),
    ],
)
def test_parse_path_of_rcpt(argument: str, path: Path | Fault) -> None:
    assert parse_path(argument, "TO") == path


@pytest.mark.parametrize(
    ("address", "is_taken"),
    [
        ("u@ours.example", True),
        ("U@OURS.EXAMPLE", True),
        ('"quoted local"@ours.example', True),
        ("u+tag@ours.example", True),
        ("u@a.sub.example", True),
        ("u@b.a.sub.example", True),
        ("u@bücher.example", True),
        ("u@BÜCHER.example", True),
        ("u@xn--bcher-kva.example", True),
        ("postmaster", True),
        ("PostMaster", True),
        ("u@sub.example", False),
        ("u@other.example", False),
        ("u@notours.example", False),
        ("u@ours.example.evil.example", False),
        ("u@evil.ours.example", False),
        ("u%other.example@ours.example", False),
        ("other.example!u@ours.example", False),
        ('"u@other.example"@ours.example', False),
        ('"u%other.example"@ours.example', False),
        ("u@[127.0.0.1]", False),
        ("u@[IPv6:::1]", False),
        ("u@[ours.example]", False),
        ("u@localhost", False),
        ("u@127.0.0.1", False),
        ("u@example", False),
        ("u@", False),
        ("u", False),
        ("", False),
        ("postmaster@other.example", False),
        ("u@\u2024ours.example", False),
        ("u@" + "ü" * 300 + ".example", False),
        ("u@ours.example\0.evil.example", False),
        ("u@ours-example", False),
        ("u@xours.example", False),
        ("u@.ours.example", False),
        ("u@ours..example", False),
        ("u@sub.example.ours", False),
        ("u@asub.example", False),
        ("u@ours.example@other.example", False),
        ("u@other.example@ours.example", False),
    ],
)
def test_a11_relay_rule(address: str, is_taken: object) -> None:
    assert may_relay(address, OURS) is is_taken


@given(text=st.text(max_size=60))
def test_parse_path_never_lets_through_what_could_end_a_line(text: str) -> None:
    path = parse_path(f"FROM:<{text}", "FROM")

    if isinstance(path, Path):
        words = " ".join((path.address, *path.parameters))
        assert all(c not in words for c in "\r\n\0<>")


def test_canonical_domain_of_the_impossible_is_empty() -> None:
    assert not canonical_domain("ü" * 200)
