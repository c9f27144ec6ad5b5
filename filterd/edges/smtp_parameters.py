"""Whether the arguments of a command can be taken, judged by what the session was offered."""

from __future__ import annotations

from collections.abc import Collection

from filterd.core.smtp_address import Fault, Path, is_ascii_only, parameter_name
from filterd.core.verdict import Reply
from filterd.edges import smtp_replies as say

_DSN_OF_MAIL = frozenset({"RET", "ENVID"})
_DSN_OF_RCPT = frozenset({"NOTIFY", "ORCPT"})


def decoded(octets: bytes) -> str | None:
    """The argument of a command as text; None for control characters and what is not UTF-8."""
    try:
        text = octets.decode("utf-8").strip(" ")
    except UnicodeDecodeError:
        return None
    if text.isascii() and text.isprintable():
        return text
    return None if any(c < " " or "\x7f" <= c < "\xa0" for c in text) else text


def is_host(text: str) -> bool:
    """Whether ``text`` can be the argument of EHLO; clients say all sorts of things."""
    return 0 < len(text) <= 255 and text.isascii() and " " not in text


def fault(path: Path | Fault) -> Reply | None:
    """What is wrong with the syntax."""
    if isinstance(path, Path):
        return None
    return {Fault.SYNTAX: say.BAD_SYNTAX, Fault.ADDRESS: say.BAD_ADDRESS, Fault.PARAMETER: say.BAD_PARAMETER}[path]


def mail_refused(path: Path, keywords: Collection[str], max_bytes: int) -> Reply | None:
    """What is wrong with the parameters of MAIL."""
    refusal = _repeated(path)
    for parameter in path.parameters:
        refusal = refusal or _mail_parameter(parameter, keywords, max_bytes)
    if refusal is None and not is_utf8(path.parameters) and not is_ascii_only(path):
        return say.NEEDS_UTF8
    return refusal


def rcpt_refused(path: Path, keywords: Collection[str], *, utf8: bool) -> Reply | None:
    """What is wrong with the parameters of RCPT; ``utf8``: MAIL had SMTPUTF8."""
    refusal = _repeated(path)
    for parameter in path.parameters:
        is_known = parameter_name(parameter) in _DSN_OF_RCPT and "DSN" in keywords and "=" in parameter
        refusal = refusal or (None if is_known else say.BAD_PARAMETER)
    if refusal is None and not utf8 and not is_ascii_only(path):
        return say.NEEDS_UTF8
    return refusal


def is_utf8(parameters: Collection[str]) -> bool:
    """Whether the parameters of MAIL say SMTPUTF8."""
    return any(parameter_name(parameter) == "SMTPUTF8" for parameter in parameters)


def declared_size(path: Path) -> int:
    """The SIZE of MAIL, 0 where it says none."""
    return next((int(p.partition("=")[2]) for p in path.parameters if parameter_name(p) == "SIZE"), 0)


def _repeated(path: Path) -> Reply | None:
    names = [parameter_name(parameter) for parameter in path.parameters]
    return say.BAD_SYNTAX if len(set(names)) < len(names) else None


def _mail_parameter(parameter: str, keywords: Collection[str], max_bytes: int) -> Reply | None:
    name, value = parameter_name(parameter), parameter.partition("=")[2].upper()
    if name == "SIZE" and "SIZE" in keywords:
        if not (value.isascii() and value.isdigit() and len(value) <= 20):
            return say.BAD_SYNTAX
        return say.TOO_LARGE if int(value) > max_bytes else None
    is_known = (
        (name == "BODY" and value in ("7BIT", "8BITMIME") and "8BITMIME" in keywords)
        or (name == "SMTPUTF8" and not value and "SMTPUTF8" in keywords)
        or (name in _DSN_OF_MAIL and bool(value) and "DSN" in keywords)
    )
    return None if is_known else say.BAD_PARAMETER
