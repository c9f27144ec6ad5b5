"""What the model is told about an e-mail: words of its segments, facts of its headers, and numbers beside them.

Nothing that a collector or another filter wrote: headers come from the allow-list of ``core.message``, tags in
subjects and footers of mailing lists are taken out. A side feature is a ratio, a flag or log(1 + count), at most 12.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filterd.core.domains import Domains
from filterd.core.html import Link
from filterd.core.message import Message
from filterd.core.normalize import Normalizer, fold, foreign

HEAD_CHARS = 3_000
"""Characters read from the beginning of a long text."""
TAIL_CHARS = 800
"""And from its end."""
_MAX_SUBJECT_CHARS = 300
_MAX_LINKS = 100

EMAIL_SIDE = (
    *("text_chars", "text_words", "text_upper", "text_digits", "text_punctuation", "text_exclamations"),
    *("text_currency", "text_other", "text_cyrillic", "text_cjk", "text_none", "text_distinct"),
    *("uni_invisible", "uni_mixed", "uni_spaced"),
    *("subj_none", "subj_chars", "subj_upper", "subj_exclamations", "subj_reply", "subj_digits"),
    *("html_has", "html_only", "html_tags", "html_images", "html_remote", "html_image_share", "html_forms"),
    *("html_hidden", "html_hidden_share", "html_split", "html_deep", "html_alternative_overlap"),
    *("link_count", "link_domains", "link_mismatch", "link_ip", "link_idn", "link_shortener", "link_user"),
    *("link_plain_http", "link_author_share", "link_long", "link_mailto"),
    *("head_no_author", "head_name_address", "head_reply_differs", "head_id_differs", "head_no_to"),
    *("head_recipients", "head_thread", "head_priority", "head_duplicate", "head_author_digits"),
    *("att_count", "att_program", "att_archive", "att_page", "att_document", "att_image", "att_double"),
    *("mime_parts", "mime_bytes", "mime_charset"),
)
"""Names of the side features of e-mail; the part before the first underscore is the group."""

_UPPER = bytes(range(ord("A"), ord("Z") + 1))
_DIGIT = b"0123456789"
_SIGNS = bytes(c for c in range(33, 127) if not chr(c).isalnum())
_CURRENCY = "\u20ac\u00a3\u00a5\u20b9"
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_REPLY = re.compile(r"\s*(?:re|fwd?|aw|wg|sv|antw|rif|tr)(?:\[\d{1,3}\])?\s*:\s*", re.IGNORECASE)
_TAG = re.compile(r"\s*(?:\[[^\[\]]{1,60}\]|[*{(]{1,5}\s*spam\b[^*})]{0,20}[*})]{1,5})\s*:?\s*", re.IGNORECASE)
_FOOTER = re.compile(r"\n[ \t>]*[_-]{20,}\s*\n(?=[^\0]{0,300}mailing list)", re.IGNORECASE)
_SHORTENERS = frozenset(
    (
        "bit.ly",
        "tinyurl.com",
        "goo.gl",
        "t.co",
        "ow.ly",
        "is.gd",
        "buff.ly",
        "rebrand.ly",
        "cutt.ly",
        "shorturl.at",
        "tiny.cc",
        "rb.gy",
        "t.ly",
        "v.gd",
        "lnkd.in",
        "s.id",
        "bl.ink",
        "qrco.de",
        "clck.ru",
        "u.to",
        "wa.me",
        "t.me",
    )
)
_PROGRAMS = (*(".exe", ".scr", ".pif", ".com", ".bat", ".cmd", ".js", ".jse", ".vbs", ".vbe", ".wsf", ".hta"), ".lnk")
_ARCHIVES = (".zip", ".rar", ".7z", ".gz", ".tgz", ".iso", ".img", ".cab", ".ace", ".arj", ".z", ".xz", ".bz2")
_PAGES = (".html", ".htm", ".shtml", ".xhtml", ".svg", ".mht")
_DOCUMENTS = (".doc", ".docx", ".docm", ".xls", ".xlsx", ".xlsm", ".ppt", ".pptx", ".pdf", ".rtf", ".one")
_IMAGES = (".gif", ".jpg", ".jpeg", ".png", ".bmp", ".webp")
_DOUBLE = re.compile(r"\.(?:pdf|docx?|xlsx?|jpe?g|png|txt)\.[a-z0-9]{2,4}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """One message as the model is told of it, before hashing."""

    head: tuple[str, ...]
    """Words read whole: subject, author, attachments."""
    body: tuple[str, ...]
    """Words cut in the middle where they are too many."""
    tail: tuple[str, ...] = ()
    """Words read whole, after the body: links."""
    facts: tuple[str, ...] = ()
    """Facts of headers and structure, for the linear path only."""
    side: npt.NDArray[np.float32]
    """float32[S], in the order of ``EMAIL_SIDE`` or ``SMS_SIDE``."""


def extract(message: Message, normalizer: Normalizer, domains: Domains) -> Features:
    """The features of an e-mail."""
    subject, is_reply = clean_subject(message.subject)
    text = cut(_FOOTER.split(message.text, maxsplit=1)[0] if "ailing list" in message.text else message.text)
    folded = fold(text)
    body = normalizer.words(folded.text)
    subject_words = normalizer.words(fold(subject).text)
    author_domain = domains.registrable(message.author.rpartition("@")[2])[0]
    links = _Links.of(message.links[:_MAX_LINKS], author_domain, domains)
    side = {
        **text_side(text, body),
        "uni_invisible": log(folded.invisible),
        "uni_mixed": log(folded.mixed_words),
        "uni_spaced": log(folded.spaced),
        **_subject_side(subject, is_reply=is_reply),
        **_html_side(message, body, normalizer),
        **links.side,
        **_head_side(message, author_domain, domains),
        **_attachment_side(message),
        "mime_parts": log(message.part_count - 1),
        "mime_bytes": log(message.size_bytes),
        "mime_charset": float(any(s.startswith("charset_") for s in message.signals)),
    }
    name = normalizer.words(fold(message.author_name).text)[:12]
    attached = [f"<att:{_extension(a.name) or a.kind}>" for a in message.attachments[:8]]
    author = [f"<d:{author_domain}>"] if author_domain else []
    return Features(
        head=("<subj>", *subject_words[:60], "<from>", *name, *author, *attached, "<body>"),
        body=tuple(body),
        tail=links.words,
        facts=tuple(_facts(message, author_domain)),
        side=np.array([side[key] for key in EMAIL_SIDE], dtype=np.float32),
    )


def clean_subject(subject: str) -> tuple[str, bool]:
    """The subject without reply marks and tags in front, and whether it had a reply mark."""
    subject = subject[:_MAX_SUBJECT_CHARS]
    is_reply = False
    for _ in range(10):
        reply = _REPLY.match(subject)
        match = reply or _TAG.match(subject)
        if not match:
            break
        is_reply = is_reply or reply is not None
        subject = subject[match.end() :]
    return subject, is_reply


def cut(text: str) -> str:
    """The beginning and the end of a long text."""
    return text if len(text) <= HEAD_CHARS + TAIL_CHARS else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


def log(count: float) -> float:
    """The logarithm of 1 + count, at most 12."""
    return min(math.log1p(max(count, 0)), 12.0)


def text_side(text: str, words: list[str]) -> dict[str, float]:
    """The ``text_`` group."""
    data = text.encode("ascii", "ignore")
    count = max(len(text), 1)
    other = len(text) - len(data)
    strange = foreign(text) if other else ""
    return {
        "text_chars": log(len(text)),
        "text_words": log(len(words)),
        "text_upper": _share(data, _UPPER),
        "text_digits": _share(data, _DIGIT),
        "text_punctuation": _share(data, _SIGNS),
        "text_exclamations": log(data.count(b"!")),
        "text_currency": log(data.count(b"$") + sum(strange.count(c) for c in _CURRENCY)),
        "text_other": other / count,
        "text_cyrillic": len(_CYRILLIC.findall(strange)) / count,
        "text_cjk": len(_CJK.findall(strange)) / count,
        "text_none": float(not words),
        "text_distinct": len(set(words)) / max(len(words), 1),
    }


def _share(data: bytes, of: bytes) -> float:
    return (len(data) - len(data.translate(None, of))) / max(len(data), 1)


def _subject_side(subject: str, *, is_reply: bool) -> dict[str, float]:
    data = subject.encode("ascii", "ignore")
    return {
        "subj_none": float(not subject.strip()),
        "subj_chars": log(len(subject)),
        "subj_upper": _share(data, _UPPER),
        "subj_exclamations": log(data.count(b"!")),
        "subj_reply": float(is_reply),
        "subj_digits": _share(data, _DIGIT),
    }


def _html_side(message: Message, body: list[str], normalizer: Normalizer) -> dict[str, float]:
    overlap = 0.0
    if message.alternative:
        plain = set(normalizer.words(fold(message.alternative[:HEAD_CHARS]).text))
        overlap = len(plain.intersection(body)) / max(len(plain), 1)
    hidden, shown = len(message.hidden), len(message.text)
    return {
        "html_has": float(message.html_parts > 0),
        "html_only": float(message.html_parts > 0 and not message.alternative),
        "html_tags": log(message.html_tags),
        "html_images": log(message.images),
        "html_remote": log(message.remote_images),
        "html_image_share": message.images / (message.images + len(body) / 20 + 1),
        "html_forms": log(message.forms),
        "html_hidden": log(hidden),
        "html_hidden_share": hidden / max(hidden + shown, 1),
        "html_split": float("html_split_words" in message.signals),
        "html_deep": float("html_deep" in message.signals),
        "html_alternative_overlap": overlap,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    """What the links of a message say."""

    side: dict[str, float]
    words: tuple[str, ...]

    @classmethod
    def of(cls, links: tuple[Link, ...], author_domain: str, domains: Domains) -> _Links:
        found: dict[str, int] = {}
        counts = dict.fromkeys(("mismatch", "ip", "idn", "shortener", "user", "plain_http", "long", "mailto"), 0)
        for link in links:
            host = _host_of(link.href)
            if not host:
                counts["mailto"] += link.href.lower().startswith("mailto:")
                continue
            domain = domains.registrable(host)[0]
            found[domain or host[:80]] = found.get(domain or host[:80], 0) + 1
            counts["mismatch"] += _is_mismatch(link, domain, domains)
            counts["ip"] += host.replace(".", "").isdigit()
            counts["idn"] += "xn--" in host or not host.isascii()
            counts["shortener"] += domain in _SHORTENERS
            counts["user"] += "@" in link.href.partition("//")[2].partition("/")[0]
            counts["plain_http"] += link.href[:5].lower() == "http:"
            counts["long"] += len(link.href) > 200
        total = sum(found.values())
        side = {f"link_{name}": log(count) for name, count in counts.items()}
        side["link_count"] = log(total)
        side["link_domains"] = log(len(found))
        side["link_author_share"] = found.get(author_domain, 0) / total if total and author_domain else 0.0
        names = list(found)[:20]
        return cls(side=side, words=("<link>", *(f"<d:{name}>" for name in names)) if names else ())


def _host_of(href: str) -> str:
    """Host of a web link, lower case; empty for anything else."""
    scheme, mark, rest = href.partition("://")
    if not mark or scheme.strip().lower() not in ("http", "https"):
        return ""
    return re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].strip(". ").lower()


def _is_mismatch(link: Link, domain: str, domains: Domains) -> bool:
    """Whether the label shows another domain than the link goes to."""
    label = link.text.lower()
    if "." not in label or " " in label or not domain:
        return False
    shown = domains.registrable(_host_of(label) or label.partition("/")[0])[0]
    return bool(shown) and shown != domain


def _head_side(message: Message, author_domain: str, domains: Domains) -> dict[str, float]:
    reply = domains.registrable(message.domain_in("reply-to"))[0]
    own_id = domains.registrable(message.domain_in("message-id"))[0]
    to = " ".join((*message.headers.get("to", ()), *message.headers.get("cc", ())))[:20_000]
    local = message.author.partition("@")[0]
    priority = "".join(message.headers.get("x-priority", ())).strip()[:1] in ("1", "2")
    return {
        "head_no_author": float(not message.author),
        "head_name_address": float("@" in message.author_name and message.author not in message.author_name.lower()),
        "head_reply_differs": float(bool(reply and author_domain) and reply != author_domain),
        "head_id_differs": float(bool(own_id and author_domain) and own_id != author_domain),
        "head_no_to": float("@" not in to),
        "head_recipients": log(to.count("@")),
        "head_thread": float("in-reply-to" in message.headers or "references" in message.headers),
        "head_priority": float(priority or "high" in "".join(message.headers.get("importance", ())).lower()),
        "head_duplicate": float(any(s.startswith("duplicate_") for s in message.signals)),
        "head_author_digits": sum(c.isdigit() for c in local) / max(len(local), 1),
    }


def _attachment_side(message: Message) -> dict[str, float]:
    names = [a.name for a in message.attachments]
    return {
        "att_count": log(len(names)),
        "att_program": log(sum(n.endswith(_PROGRAMS) for n in names)),
        "att_archive": log(sum(n.endswith(_ARCHIVES) for n in names)),
        "att_page": log(sum(n.endswith(_PAGES) for n in names)),
        "att_document": log(sum(n.endswith(_DOCUMENTS) for n in names)),
        "att_image": log(
            sum(n.endswith(_IMAGES) or a.kind[:6] == "image/" for n, a in zip(names, message.attachments, strict=True))
        ),
        "att_double": log(sum(_DOUBLE.search(n) is not None for n in names)),
    }


def _extension(name: str) -> str:
    extension = name.rpartition(".")[2] if "." in name else ""
    return extension if extension.isalnum() and len(extension) <= 5 else ""


def _facts(message: Message, author_domain: str) -> Iterator[str]:
    yield from (f"sig:{signal}" for signal in message.signals)
    kind = "".join(message.headers.get("content-type", ()))[:300].lower()
    yield f"ct:{kind.partition(';')[0].strip()[:60]}"
    charset = re.search(r"charset=\s*\"?([\w-]{1,30})", kind)
    if charset:
        yield f"cs:{charset[1]}"
    mailer = "".join((*message.headers.get("x-mailer", ()), *message.headers.get("user-agent", ())))[:200].lower()
    words = re.findall(r"[a-z]{3,20}", mailer)[:3]
    if words:
        yield f"mailer:{' '.join(words)}"
    if author_domain:
        yield f"author:{author_domain}"
        yield f"author-suffix:{author_domain.rpartition('.')[2]}"
