"""What the configuration of another filter says in our words: senders to allow and block, and hints about thresholds.

Reads the configuration of SpamAssassin (Mail::SpamAssassin::Conf, Mail::SpamAssassin::Plugin::WLBLEval) and of
bogofilter. What has no equal here is named, with why, and not taken for something near it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from filterd.core.overlay import ListEntry, ListKind

_ALLOW = frozenset({"welcomelist_from", "whitelist_from"})
_DENY = frozenset({"blocklist_from", "blacklist_from"})
_UNSAID = {
    "rcvd": "allows only what comes from a certain host; filterd would allow it from anywhere",
    "auth": "allows only what SPF or DKIM confirm; filterd would allow it from anywhere",
    "spf": "allows only what SPF confirms; filterd would allow it from anywhere",
    "dkim": "allows only what DKIM confirms; filterd would allow it from anywhere",
    "to": "a recipient whose mail is not filtered: filterd rules threshold --for ADDRESS --no-filter",
}
_CONDITIONAL = re.compile(
    r"(?:def_)?(?:welcomelist|whitelist)_(?:from_)?(rcvd|auth|spf|dkim|to)\b|(?:more|all)_spam_(to)\b"
)
_REVOKING = re.compile(r"un(?:welcomelist|whitelist|blocklist|blacklist)_")
_ADDRESS = re.compile(r"[^\s@*?]+@[^\s@*?]+")
_DOMAIN = re.compile(r"\*@([^\s@*?]+\.[^\s@*?]+)")
_SPAMASSASSIN_SCORE = 5.0
_BOGOFILTER_CUTOFF = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A line that cannot be taken over."""

    line: int
    """From 1."""
    text: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRules:
    """What a configuration says."""

    entries: tuple[ListEntry, ...] = ()
    """In the order of the lines, each once; of two that contradict each other the later one."""
    skipped: tuple[Skipped, ...] = ()
    hints: tuple[str, ...] = ()
    """For a person to act on."""


def read_spamassassin(text: str, scope: str = "") -> ForeignRules:
    """What ``local.cf`` or ``user_prefs`` say for ``scope``. Raises ValueError for a scope that is none."""
    entries: dict[str, ListEntry] = {}
    skipped: list[Skipped] = []
    hints: list[str] = []
    for number, key, words in _lines(text):
        conditional = _CONDITIONAL.match(key)
        if key in _ALLOW | _DENY:
            kind = ListKind.ALLOW if key in _ALLOW else ListKind.DENY
            for word in words:
                entry = _entry(word)
                if entry is None:
                    skipped.append(Skipped(line=number, text=f"{key} {word}", why="a pattern that no entry can say"))
                    continue
                found = ListEntry.of(scope, kind, entry)
                entries.pop(found.entry, None)
                entries[found.entry] = found
        elif conditional:
            why = _UNSAID[conditional[1] or conditional[2]]
            skipped.append(Skipped(line=number, text=" ".join([key, *words]), why=why))
        elif _REVOKING.match(key):
            skipped.append(Skipped(line=number, text=" ".join([key, *words]), why="revoke the entry it means by hand"))
        elif key in ("required_score", "required_hits"):
            hints += _score_hint(words)
        elif key == "rewrite_header" and words[:1] and words[0].lower() == "subject":
            hints.append(f"rewrite_header: policy.subject_tag = {' '.join(words[1:])!r}")
    return ForeignRules(entries=tuple(entries.values()), skipped=tuple(skipped), hints=tuple(hints))


def read_bogofilter(text: str) -> ForeignRules:
    """What ``bogofilter.cf`` says: hints only, it has no lists."""
    said = {key: words[0] for _, key, words in _assignments(text) if words}
    hints = []
    for key, ours in (("spam_cutoff", "policy.tag_at"), ("ham_cutoff", "")):
        value = _number(said.get(key, ""))
        if value is None:
            continue
        if not ours:
            if value > 0:
                hints.append(
                    f"ham_cutoff {value:g}: filterd has no state between ham and spam; look at `filterd questions`"
                )
            continue
        point = "normal" if value == _BOGOFILTER_CUTOFF else "strict" if value < _BOGOFILTER_CUTOFF else "lenient"
        hints.append(
            f'spam_cutoff {value:g}: a number of bogofilter\'s own scale; what comes near is {ours} = "{point}"'
        )
    return ForeignRules(hints=tuple(hints))


def _lines(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Number, keyword and words of each line that says something."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            yield number, words[0].lower(), words[1:]


def _assignments(text: str) -> Iterator[tuple[int, str, list[str]]]:
    return _lines(text.replace("=", " "))


def _entry(pattern: str) -> str | None:
    """The sender that a glob pattern names; None for one that names others too.

    ``*@example.com`` becomes the domain, which covers what is below it: a little more than the pattern says.
    """
    domain = _DOMAIN.fullmatch(pattern)
    if domain:
        return domain[1]
    return pattern if _ADDRESS.fullmatch(pattern) else None


def _score_hint(words: list[str]) -> list[str]:
    value = _number(words[0]) if words else None
    if value is None:
        return []
    point = "normal" if value == _SPAMASSASSIN_SCORE else "strict" if value < _SPAMASSASSIN_SCORE else "lenient"
    return [
        f'required_score {value:g}: a number of SpamAssassin\'s own scale; what comes near is policy.tag_at = "{point}"'
    ]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
