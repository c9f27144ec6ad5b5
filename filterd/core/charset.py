"""Bytes of a text part as text, whatever its charset says.

Order: what is declared, if it is a text codec of the list below; UTF-8; a guess on the first 4 KB; Latin-1.
Codecs that are not character sets (``zlib``, ``hex``, ``idna`` ...) and UTF-7, which hides markup, are refused.
Labels follow the WHATWG Encoding standard, section 4.2, where it and Python differ.
"""

from __future__ import annotations

import cchardet

_SAMPLE_BYTES = 4_096

_CODECS = {
    "ascii": "us-ascii ascii ansi-x3.4-1968 iso646-us 646 unknown-8bit x-unknown default",
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 x-unicode20utf8 utf-8-sig cp65001",
    "cp1252": "iso-8859-1 iso8859-1 latin1 latin-1 l1 cp1252 windows-1252 x-cp1252 ansi iso-8859-1-windows-3.1-latin-1",
    "iso8859-2": "iso-8859-2 iso8859-2 latin2 l2",
    "iso8859-3": "iso-8859-3 latin3",
    "iso8859-4": "iso-8859-4 latin4",
    "iso8859-5": "iso-8859-5 cyrillic",
    "iso8859-6": "iso-8859-6 arabic",
    "iso8859-7": "iso-8859-7 greek",
    "iso8859-8": "iso-8859-8 iso-8859-8-i iso-8859-8-e hebrew",
    "cp1254": "iso-8859-9 latin5 cp1254 windows-1254",
    "iso8859-10": "iso-8859-10 latin6",
    "cp874": "iso-8859-11 tis-620 windows-874 cp874",
    "iso8859-13": "iso-8859-13 latin7",
    "iso8859-14": "iso-8859-14 latin8",
    "iso8859-15": "iso-8859-15 iso8859-15 latin9 l9",
    "iso8859-16": "iso-8859-16 latin10",
    "cp1250": "cp1250 windows-1250",
    "cp1251": "cp1251 windows-1251 x-cp1251",
    "cp1253": "cp1253 windows-1253",
    "cp1255": "cp1255 windows-1255",
    "cp1256": "cp1256 windows-1256",
    "cp1257": "cp1257 windows-1257",
    "cp1258": "cp1258 windows-1258",
    "koi8-r": "koi8-r koi8 koi",
    "koi8-u": "koi8-u koi8-ru",
    "mac-roman": "macintosh mac mac-roman x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic mac-cyrillic",
    "cp437": "cp437 ibm437",
    "cp850": "cp850 ibm850",
    "cp866": "cp866 ibm866",
    "gb18030": "gb18030 gbk gb2312 gb-2312 gb2312-80 x-gbk cp936 ms936 chinese hz-gb",
    "hz": "hz-gb-2312 hz",
    "big5hkscs": "big5 big5-hkscs cn-big5 x-x-big5 cp950",
    "cp932": "shift-jis shift_jis sjis x-sjis ms932 cp932 windows-31j",
    "euc_jp": "euc-jp x-euc-jp eucjp",
    "iso2022_jp_2": "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 csiso2022jp",
    "cp949": "euc-kr cp949 ks-c-5601-1987 ks-c-5601-1989 ksc5601 korean windows-949",
    "iso2022_kr": "iso-2022-kr",
    "utf-16": "utf-16 unicode",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
}
_BY_LABEL = {label: codec for codec, labels in _CODECS.items() for label in labels.split()}
_NOT_ASCII = frozenset({"utf-16", "utf-16-le", "utf-16-be", "iso2022_jp_2", "iso2022_kr", "hz"})
"""Codecs in which octets below 0x80 are not ASCII."""
_CUT = frozenset(("unexpected end of data", "incomplete multibyte sequence", "truncated data"))
"""What Python's codecs say of a text that ends within a character."""


def codec_of(label: str) -> str | None:
    """Python's name of the codec a charset label stands for; None where it is unknown or refused."""
    return _BY_LABEL.get(label.strip(" \t\r\n\"'").lower().replace("_", "-"))


def decode(data: bytes, label: str) -> tuple[str, bool]:
    """``data`` as text, and whether ``label`` told the truth (an empty label does). Never raises."""
    codec = codec_of(label) if label else "ascii"
    if codec not in _NOT_ASCII and data.isascii():
        return data.decode("ascii"), codec is not None
    for name in dict.fromkeys((codec, "utf-8")):
        text = _strict(data, name) if name else None
        if text is not None:
            return text, name == codec or not label
    if codec and codec not in ("ascii", "utf-8"):
        return data.decode(codec, "replace"), False
    return _guess(data), not label


def _strict(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as exc:
        # A text cut in the middle of its last character is still what it says.
        is_cut = exc.start > 0 and exc.end == len(data) and exc.reason in _CUT
        return data[: exc.start].decode(codec, "replace") if is_cut else None
    except (UnicodeError, LookupError, ValueError):
        return None


def _guess(data: bytes) -> str:
    found = cchardet.detect(data[:_SAMPLE_BYTES])["encoding"]
    codec = codec_of(found) if found else None
    return data.decode(codec, "replace") if codec and codec != "ascii" else data.decode("latin-1")
