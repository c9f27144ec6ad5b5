"""What fuzzing begins with, and words it may put in: small, composed here, nothing of other people's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.bundle import PROBES_FILE, SPEC_FILE, Calibration, Hashing
from filterd.core.envelope import Channel
from filterd.edges.webhooks.providers import PROVIDERS
from tests.bench.milter import mail
from tests.hostile.shapes import SHAPES, make

MOST_BYTES = 4_096
SMS = Path(__file__).parents[1] / "data" / "sms"
WORDS: dict[str, tuple[str, ...]] = {
    "mail": (
        *(
            "Content-Type: ",
            "multipart/mixed; boundary=",
            "text/html",
            "charset=",
            "base64",
            "quoted-printable",
            "=?utf-8?b?",
        ),
        *(
            "message/rfc822",
            "\r\n\r\n",
            "--b",
            "<p style=",
            "display:none",
            "<!--",
            "&#x",
            "http://",
            "filename*0*=",
            "<form>",
        ),
    ),
    "report": (
        *(
            "X-Filterd-Id: ",
            "0" * 32,
            "message/rfc822",
            "message/feedback-report",
            "text/rfc822-headers",
            "message/global",
        ),
        *(
            "multipart/digest; boundary=",
            "--b",
            "Feedback-Type: abuse",
            "Resent-To: ",
            "From: ",
            "Subject: ",
            "> ",
            ".eml",
        ),
    ),
    "splice": (
        "X-Spam-Flag: ",
        "Authentication-Results:",
        "X-Filterd-",
        "\r\n ",
        "\r\n\r\n",
        "From ",
        "Subject:",
        "\r",
        "\n",
    ),
    "milter": ("\0\0\0\1E", "\0\0\0\x11LX-Spam-Flag\0 NO\0", "{auth_authen}", "Subject\0", "\r", "\n\t", "4\0\x19"),
    "auth_results": (
        *("Authentication-Results:", "mx.example.net", "dmarc=pass", "header.from=", "Received: by ", "\r\n\t", "i=1;"),
        *("ARC-Authentication-Results:", "arc=pass", "(", ")", '"', "\\", ";", "dkim=pass header.d="),
    ),
    "dkim": (
        *(
            "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s; h=from; bh=",
            "; b=",
            "\r\n\t",
            "l=",
            "x=",
            "c=relaxed/",
        ),
        *("ed25519-sha256", "From:", "i=@", "\0\0v=DKIM1; p=", "k=ed25519", "t=s:y", "h=sha256", "q=dns/txt"),
    ),
    "smtp_data": ("\r\n.\r\n", "\r\n.", "\n.\n", "\r.\r", "\0.", ".."),
    "smtp_reply": ("250-", "250 ", "\r\n", "5.7.1 ", "SIZE ", "354 ", "\n"),
    "webhook": (
        '{"data":',
        '"payload"',
        "Body=",
        "&From=",
        "%00",
        '"concat-part":',
        "MessageSid=",
        "\\ud800",
        "parts",
        "token=",
        '"results":',
        '"Message":',
    ),
    "asked": (
        "SPAMC/1.5",
        "RSPAMC/1.3",
        "Content-length: ",
        "Rcpt: <",
        "\r\n",
        "\n\n",
        "X-Spam-",
        "Return-Path:",
        "From ",
    ),
    "bundle": ('"format": 1', '"hashing"', '"points"', "\x08\x07", "\x3a", '"side"', "ai.onnx", "Gather"),
}


_SIGNED = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple; d=example.org; s=s; h=from;\r\n"
    b" bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=AAAA\r\nFrom: a@example.org\r\n\r\n\0\0"
    b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
)
WRITTEN = {
    "mail": (
        b"h<p style=color:#fff>x<a href=http://a.example>b</a>",
        b"nfr33 v1agra \xd0\xb0 1 2 3",
        b"sWin $100 now",
    ),
    "milter": (b"\x07" + mail(),),
    "auth_results": (
        b"Authentication-Results: mx.example.net; dmarc=pass (p=none) header.from=example.org\r\n\r\n",
        b'ARC-Authentication-Results: i=1; mx.example.net; spf=pass reason="a; b" smtp.helo=x\r\n\r\n',
    ),
    "dkim": (_SIGNED,),
    "smtp_data": tuple(b"\0\0\0\0" + line for line in (b"Subject: x\r\n\r\nhi", b"a\n.\nb", b"\r\n..x\r\n\0.\r\n")),
    "smtp_reply": (b"\x05250-a\r\n250 SIZE 100\r\n", b"\0" + b"550 5.7.1 no\r\n", b"\x03421 x\r\n220 y\r\n"),
    "asked": (
        b"\0CHECK RSPAMC/1.3\r\nContent-length: 3\r\nRcpt: <a@x>\r\nUser: b",
        b"\0TELL SPAMC/1.5\r\nMessage-class: spam\r\nSet: local",
        *(
            bytes((kind,)) + message
            for kind in b"\1\2"
            for message in (
                b"From x\nReturn-Path: <a@x>\nX-Spam-Flag: NO\nSubject: a\n b\n\nhi\n",
                b"Message-ID: <1@x>\r\nX-Filterd-Id: 1\r\nSubject: a\r\n b\r\n\r\nhi\r\n",
            )
        ),
    ),
}


def seeds(target: str) -> Iterator[bytes]:
    """Inputs of ``target`` to begin with."""
    yield from WRITTEN.get(target, ())
    if target in ("mail", "report", "splice"):
        for shape in SHAPES:
            raw = make(f"{shape}#0").raw[:MOST_BYTES]
            yield raw if target == "mail" else b"\0" + raw
    elif target == "webhook":
        for path in SMS.iterdir():
            yield from (
                bytes((provider, 0 if path.suffix == ".json" else 1)) + path.read_bytes()
                for provider in range(len(PROVIDERS))
            )
    elif target == "bundle":
        yield from _bundles()


def _bundles() -> Iterator[bytes]:
    from tests.filterd.tiny_bundle import a_spec, graph_bytes  # noqa: PLC0415  # loads onnx, for this target only

    small = Hashing(
        normalizer=1, seed=0, max_tokens=4, grams=2, token_buckets=16, max_wide=4, wide_buckets=16, side=("a",)
    )
    yield b"g" + graph_bytes(small, weights={})
    yield b"j" + a_spec(Channel.SMS, b"", calibration=Calibration(scale=2.0)).to_json().encode()
    yield b'p{"raw": "x", "logit": 1.5}\n{"raw": "y", "logit": -2}\n'
    yield f"j{SPEC_FILE}{PROBES_FILE}".encode()
