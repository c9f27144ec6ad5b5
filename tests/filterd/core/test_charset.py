import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.charset import codec_of, decode


@pytest.mark.parametrize(
    ("data", "label", "text", "is_true"),
    [
        (b"plain", "us-ascii", "plain", True),
        (b"plain", "", "plain", True),
        ("gr\u00fc\u00dfe".encode(), "utf-8", "gr\u00fc\u00dfe", True),
        ("gr\u00fc\u00dfe".encode("cp1252"), "ISO_8859-1", "gr\u00fc\u00dfe", True),
        ("gr\u00fc\u00dfe".encode(), "us-ascii", "gr\u00fc\u00dfe", False),
        ("gr\u00fc\u00dfe".encode(), "", "gr\u00fc\u00dfe", True),
        (
            "\u043f\u0440\u0438\u0432\u0435\u0442".encode("koi8-r"),
            '"KOI8-R"',
            "\u043f\u0440\u0438\u0432\u0435\u0442",
            True,
        ),
        ("\u65e5\u672c".encode("iso2022_jp"), "iso-2022-jp", "\u65e5\u672c", True),
        ("\u4e2d\u6587".encode("gbk"), "gb2312", "\u4e2d\u6587", True),
        ("hi".encode("utf-16"), "utf-16", "hi", True),
        ("caf\u00e9".encode()[:-1], "utf-8", "caf", True),
        (b"+ADw-script+AD4-", "utf-7", "+ADw-script+AD4-", False),
        (b"abc", "zlib", "abc", False),
        (b"616263", "hex", "616263", False),
        (b"abc", "idna", "abc", False),
    ],
)
def test_decode_when_labelled_reads_it(data: bytes, label: str, text: str, *, is_true: bool) -> None:
    assert decode(data, label) == (text, is_true)


@pytest.mark.parametrize(
    "label", ["zlib", "hex", "base64", "rot13", "idna", "punycode", "utf-7", "unicode_escape", "x" * 99, "a\0b", "../x"]
)
def test_b6_codec_of_when_not_a_charset_refuses(label: str) -> None:
    assert codec_of(label) is None


LABELS = st.one_of(st.text(max_size=20), st.sampled_from(["utf-16", "iso-2022-kr", "hz", "big5", "utf-8"]))


@given(data=st.binary(max_size=200), label=LABELS)
def test_b6_decode_whatever_comes_gives_text(data: bytes, label: str) -> None:
    text, _ = decode(data, label)

    text.encode("utf-8")


def test_decode_when_nothing_is_declared_guesses() -> None:
    words = (
        "\u0441\u044a\u0435\u0448\u044c \u0435\u0449\u0435 \u044d\u0442\u0438\u0445"
        " \u0431\u0443\u043b\u043e\u043a \u0434\u0430 \u0432\u044b\u043f\u0435\u0439 \u0436\u0435 \u0447\u0430\u044e "
    )

    assert decode((words * 5).encode("cp1251"), "")[0] == words * 5
