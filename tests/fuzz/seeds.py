"""What fuzzing begins with, and words it may put in: small, composed here, nothing of other people's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.bundle import PROBES_FILE, SPEC_FILE, Calibration, Hashing
from filterd.core.envelope import Channel
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
    "smtp_data": ("\r\n.\r\n", "\r\n.", "\n.\n", "\r.\r", "\0.", ".."),
    "smtp_reply": ("250-", "250 ", "\r\n", "5.7.1 ", "SIZE ", "354 ", "\n"),
    "webhook": ('{"data":', '"payload"', "Body=", "&From=", "%00", '"concat-part":', "MessageSid=", "\\ud800", "parts"),
    "bundle": ('"format": 1', '"hashing"', '"points"', "\x08\x07", "\x3a", '"side"', "ai.onnx", "Gather"),
}


def seeds(target: str) -> Iterator[bytes]:
    """Inputs of ``target`` to begin with."""
    if target in ("mail", "report", "splice"):
        for shape in SHAPES:
            raw = make(f"{shape}#0").raw[:MOST_BYTES]
            yield raw if target == "mail" else b"\0" + raw
        yield from (
            b"h<p style=color:#fff>x<a href=http://a.example>b</a>",
            b"nfr33 v1agra \xd0\xb0 1 2 3",
            b"sWin $100 now",
        )
    elif target == "smtp_data":
        yield from (b"\0\0\0\0" + line for line in (b"Subject: x\r\n\r\nhi", b"a\n.\nb", b"\r\n..x\r\n\0.\r\n"))
    elif target == "smtp_reply":
        yield from (b"\x05250-a\r\n250 SIZE 100\r\n", b"\0" + b"550 5.7.1 no\r\n", b"\x03421 x\r\n220 y\r\n")
    elif target == "webhook":
        for path in SMS.iterdir():
            yield from (
                bytes((provider, 0 if path.suffix == ".json" else 1)) + path.read_bytes() for provider in range(5)
            )
    else:
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
