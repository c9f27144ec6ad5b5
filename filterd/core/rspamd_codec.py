"""rspamd's HTTP interface as values: what a client's headers say, and the JSON it reads.

Source: rspamd's protocol as documented for /checkv2, and src/libserver/protocol.c of rspamd 3. Headers that name files
(File, Path, Shm) are not read; settings, flags and encryption are not taken over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from filterd.core.advice import ADD_HEADER_SCORE, REJECT_SCORE, Advice, action_of, name_of
from filterd.core.envelope import Peer
from filterd.core.headers import forged_names, subject_of
from filterd.core.spamd_codec import word
from filterd.core.verdict import Action

MAX_RECIPIENTS = 1_000
_ADDRESSES = re.compile(r"[,\s]+")
_MESSAGE_ID = re.compile(rb"(?:\A|[\r\n])message-id[ \t]*:\s*<?([!-;=?-~]{1,995})", re.IGNORECASE)
_LOOKED_AT_BYTES = 65_536
_REFUSED = {
    "reject": "Message refused by content policy",
    "soft reject": "Temporary error, try again later",
}
"""What a client may tell a sender; the same words as in our own replies."""


def recipients_of(values: Iterable[str]) -> tuple[str, ...]:
    """The addresses in Rcpt headers, which may hold several each; at most 1,000, each once."""
    found = dict.fromkeys(word(part) for value in values for part in _ADDRESSES.split(value) if part.strip("<> "))
    return tuple(found)[:MAX_RECIPIENTS]


def peer_of(headers: Mapping[str, str]) -> Peer:
    """The client of the client, as the headers tell; names in lower case."""
    return Peer(
        address=word(headers.get("ip", "")),
        name=word(headers.get("hostname", "")),
        helo=word(headers.get("helo", "")),
        login=word(headers.get("user", "")),
        protocol="rspamd",
    )


def answer(advice: Advice, raw: bytes, quarantine_as: str) -> dict[str, Any]:
    """The reply to /checkv2."""
    action = action_of(advice, quarantine_as)
    reason, *signals = advice.names
    symbols = {name: _symbol(name, 0.0) for name in signals}
    symbols[reason] = _symbol(reason, advice.rspamd_score)
    symbols["FILTERD_ID"] = _symbol("FILTERD_ID", 0.0, advice.id)
    found: dict[str, Any] = {
        "is_skipped": False,
        "score": advice.rspamd_score,
        "required_score": REJECT_SCORE,
        "action": action,
        "thresholds": {"reject": REJECT_SCORE, "add header": ADD_HEADER_SCORE},
        "symbols": symbols,
        "messages": {"smtp_message": _REFUSED[action]} if action in _REFUSED else {},
        "message-id": _message_id(raw),
        "milter": _milter(advice, raw),
    }
    if action == "rewrite subject":
        found["subject"] = f"{advice.decision.subject_tag} {subject_of(raw)}".strip()
    return found


def deferred() -> dict[str, Any]:
    """The reply to /checkv2 while mail is deferred."""
    return {
        "is_skipped": True,
        "score": 0.0,
        "required_score": REJECT_SCORE,
        "action": "soft reject",
        "thresholds": {"reject": REJECT_SCORE, "add header": ADD_HEADER_SCORE},
        "symbols": {},
        "messages": {"smtp_message": _REFUSED["soft reject"]},
        "message-id": "undef",
    }


def stat(version: str, counts: Mapping[Action, int], quarantine_as: str) -> dict[str, Any]:
    """The reply to /stat: what rspamd counts and we do, the rest as zero, because ``rspamc`` asks for it."""
    actions: dict[str, int] = {}
    for action, count in counts.items():
        name = name_of(action, quarantine_as)
        actions[name] = actions.get(name, 0) + count
    scanned, ham = sum(counts.values()), counts.get(Action.ACCEPT, 0)
    return {
        "version": version,
        "read_only": False,
        "scanned": scanned,
        "learned": 0,
        "actions": actions,
        "spam_count": scanned - ham,
        "ham_count": ham,
        "connections": 0,
        "control_connections": 0,
        "statfiles": [],
        "fuzzy_hashes": {},
    }


def failure(text: str) -> dict[str, str]:
    """The reply that there is none. Haraka takes it for one that says "no action" if there is anything else in it."""
    return {"error": text}


def _symbol(name: str, score: float, *options: str) -> dict[str, Any]:
    return {"name": name, "score": score, "metric_score": score, "options": list(options)}


def _message_id(raw: bytes) -> str:
    found = _MESSAGE_ID.search(raw, 0, _LOOKED_AT_BYTES)
    return found[1].decode("ascii") if found else "undef"


def _milter(advice: Advice, raw: bytes) -> dict[str, Any]:
    """Our header lines for the client to write, and what it must remove: all of those names, whoever wrote them."""
    ours = [line.replace("\r\n\t", " ").partition(": ") for line in advice.lines]
    return {
        "add_headers": {name: {"value": value, "order": 0} for name, _, value in ours},
        "remove_headers": dict.fromkeys((*(name for name, _, _ in ours), *forged_names(raw)), 0),
    }
