"""The attacks filterd is built against: what each is, what filterd does, and the tests that show it.

A test names the rows it proves at the start of its name: ``test_a1_...``, ``test_b2_b3_...``; a state machine is
``TestA7...``. ``docs/threats.md`` is generated from here, and a row without a test turns the suite red.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]

SMTP = {
    "A1": (
        "SMTP smuggling: `LF.LF`, `CR.CR`, `CRLF NUL . CRLF` and their kin",
        "only CRLF.CRLF ends a message; a CR or LF that stands alone is 550 5.5.2 after the real end",
    ),
    "A2": (
        "smuggling through us to a next hop that trusts us",
        "what we send has no CR or LF that stands alone, dots are stuffed, one end mark",
    ),
    "A3": ("a sending library that leaves octets as they are", "our own emitter, equal to two other clients'"),
    "A4": ("commands injected in front of STARTTLS", "554 and closed; the session under TLS begins anew"),
    "A5": (
        "replies injected in front of STARTTLS, or STARTTLS stripped, on the way to the next hop",
        "451; TLS that is required is never given up",
    ),
    "A6": ("CR, LF, NUL or other controls in command arguments", "501; they reach no next hop and no log line"),
    "A7": (
        "commands out of order: RCPT after a refused DATA, MAIL twice, EHLO within a transaction",
        "503; no reply leaves anything of one message for the next",
    ),
    "A8": ("talking ahead of replies, HTTP on the SMTP port", "554 or 521, closed"),
    "A9": (
        "endless commands, messages that drip, clients that read no reply",
        "500 or 421, closed in time; memory stays flat",
    ),
    "A10": (
        "floods of connections, idle sessions, recipients, EHLO and NOOP",
        "421 or 452 at fixed limits, which no command moves",
    ),
    "A11": (
        "relaying by `%`, `!`, source routes, quoted `@`, literals, odd domains",
        "only configured domains and networks relay",
    ),
    "A12": ("forged XCLIENT, XFORWARD, PROXY", "refused unless the peer is listed"),
    "A13": ("AUTH by brute force, without TLS, with huge arguments", "AUTH is neither offered nor taken"),
    "A14": ("mail loops", "554 5.4.6 beyond `smtp.max_hops`"),
    "A15": ("bounces, reports and mail to postmaster taken for spam's tricks", "the null sender passes like any other"),
    "A16": (
        "the client gone after the final dot: QUIT, half-close, reset",
        "the message is finished and recorded all the same",
    ),
}
CONTENT = {
    "B1": (
        "faults of Python's e-mail library: endless loops, quadratic time, injection when written again",
        "mail is only read, under caps, by functions without those faults; nothing is generated from what was parsed",
    ),
    "B2": (
        "nesting of parts, messages, comments, brackets",
        "unscannable beyond `scan.max_depth`; kept, never passed as ham",
    ),
    "B3": (
        "floods of parts, headers, parameters, addresses; one huge header; long boundaries",
        "caps before parsing; linear time, two seconds at most",
    ),
    "B4": (
        "expansion: transfer encodings, archives, compressed requests",
        "caps on decoded octets; archives are named, never unpacked; a request inflates to one message at most",
    ),
    "B5": (
        "HTML bombs: tags, attributes, nesting, adoption agency, comments, style sheets, entities",
        "libxml2 behind a count of tags and attributes; text behind too deep nesting is still read",
    ),
    "B6": (
        "Unicode bombs, invisible characters, overrides, charsets that are no charset",
        "runs are cut before they are sorted; only charsets on a list are decoded",
    ),
    "B7": (
        "regular expressions that take exponential or quadratic time",
        "every expression of the product takes time in proportion to its input",
    ),
    "B8": (
        "messages that two readers read differently",
        "the ambiguity is a signal that the model and the log see; HTML and plain text are both read",
    ),
    "B9": (
        "forged `X-Spam-*`, `X-Rspamd-*`, `X-Filterd-*`, `Authentication-Results`",
        "removed under every reading, in every path, also unscanned",
    ),
    "B10": (
        "a first line that takes our header in; no header; no end",
        "a fence keeps our block apart; every other octet as it came",
    ),
    "B11": (
        "injection into our headers, log, database and terminal output",
        "values of fixed grammars, JSON, controls escaped",
    ),
    "B12": (
        "evasion: look-alikes, invisible characters, spacing, good words, hidden text",
        "folded or counted before the model reads; what is left is measured in [evaluation.md](evaluation.md)",
    ),
    "B13": ("probing the score", "a refusal says nothing of it, and is the same for every message"),
    "B14": (
        "an allow-listed sender forged, with `Authentication-Results` that say it is not",
        "one trusted field counts, the topmost above all foreign trace lines; `policy.allow_needs_auth` asks for it",
    ),
    "B15": (
        "DKIM signatures of half a body or of one author of two, many, slow to read; keys huge, slow, never told",
        "five are verified, in linear time, with `dkim.verify`; RSA of 1,024 to 4,096 bits; DNS has two seconds",
    ),
}
HTTP = {
    "D1": (
        "webhook signatures and secrets: missing, wrong, of another provider or key, twice, body encoded anew",
        "403 before anything is parsed; compared over the octets received",
    ),
    "D2": ("a Host header or path that changes the signed URL", "the configured URL is what counts"),
    "D3": ("replay", "signed times at most `sms.clock_skew_seconds` off; a provider's id is judged once"),
    "D4": ("timing of the comparison of signatures", "compared in constant time"),
    "D5": (
        "webhook bodies: huge, chunked, compressed, dripping, deep, with thousands of fields",
        "`sms.max_body_bytes` counted while it streams, ten seconds, no content encodings",
    ),
    "D6": (
        "making filterd call an address: by links, media, redirects, proxies",
        "only the configured URL is called, and for SNS the host of a configured topic; redirects are not followed",
    ),
    "D7": (
        "scripts and addresses in a message, in any field that people are shown",
        "text first; HTML is written anew from a list of elements without one that loads or acts",
    ),
    "D9": (
        "asking for a message of others, guessing ids or who else received one",
        "whose messages one may see is part of every query; what is out of reach is answered like what is not there",
    ),
    "D10": (
        "links of digests: followed by programs, pressed twice, at once, late, from other sites, made up, stolen",
        "a GET changes nothing; used once, within the account's reach then; stored as SHA-256; in no log and Referer",
    ),
    "D13": (
        "metrics that grow, or say who wrote to whom",
        "labels of closed lists only, at most 500 series; on a listener of their own",
    ),
    "D14": ("an API that reads files by name", "no field, query or path is ever opened as a file"),
    "D15": (
        "secrets and personal data in logs, replies, metrics",
        "addresses as domain and keyed hash, no text at all",
    ),
}
REPORTS = {
    "C1": (
        "poisoned reports: wanted mail called spam, whatever comes (dictionary) or by many what all get (focused)",
        "a label is for its recipient; for others trusted ones agree, more where the model is; caps for each label",
    ),
    "C2": (
        "reports by forged senders, for others, or of a message that the spammer named instead of his own",
        (
            "only who has logged in, or is listed or vouched for by the client; attached messages are read one level "
            "deep; an id that comes by spamd or rspamd stands only for the text it was given to"
        ),
    ),
}
SECTIONS = {"SMTP": SMTP, "Messages": CONTENT, "Reports": REPORTS, "Webhooks, metrics, logs": HTTP}

_TEST = re.compile(r"(?:def test|^Test)_?((?:[abcd]\d{1,2}_)+|[ABCD]\d{1,2}(?=[A-Z]))", re.MULTILINE)
_ID = re.compile(r"[abcd]\d{1,2}", re.IGNORECASE)


def rows() -> dict[str, tuple[str, str]]:
    """Every row by its id: the attack, and what filterd does."""
    return {id: row for section in SECTIONS.values() for id, row in section.items()}


def proofs() -> dict[str, list[str]]:
    """Row -> the test files that prove it, as paths below ``tests``, sorted."""
    found: dict[str, list[str]] = {id: [] for id in rows()}
    for path in sorted(TESTS.rglob("test_*.py")):
        named = _TEST.findall(path.read_text(encoding="utf-8"))
        for id in sorted({id.upper() for ids in named for id in _ID.findall(ids)}):
            found.setdefault(id, []).append(path.relative_to(TESTS).as_posix())
    return found


def table() -> str:
    """The tables of ``docs/threats.md``."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    proved = proofs()
    for title, section in SECTIONS.items():
        yield from (f"## {title}", "", "| id | attack | what filterd does | tests |", "|---|---|---|---|")
        for id, (attack, behaviour) in section.items():
            tests = ", ".join(f"[{path.removesuffix('.py')}](../tests/{path})" for path in proved[id])
            yield f"| {id} | {attack} | {behaviour} | {tests} |"
        yield ""
