"""HTML for a message that was written as text: layouts as shops, programs and people send them.

What is drawn comes from the message's id and from whether it has links, never from its label: preheaders, pictures,
counting pixels, links through a counting host and legal footers stand in ham and spam alike, so that none of them
can tell the two apart.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from html import escape

_URL = re.compile(r"https?://[^\s<>\"')\]]+")
_LABELLED = re.compile(r"^(.{2,60}?):?\s+(https?://\S+)$")
_COUNTERS = ("click.mailbarge.net", "lnk.postern.io", "t.dispatchly.com", "url4411.{}", "links.{}", "email.{}")
_BUTTONS = ("Open", "View", "Continue", "See details", "More", "Read on", "Go")
_FONTS = ("Arial,Helvetica,sans-serif", "'Segoe UI',Tahoma,sans-serif", "Georgia,serif", "Verdana,sans-serif")
_GROUNDS = ("#f4f4f4", "#ffffff", "#eef1f5", "#fafafa", "#f6f3ee")
_ACCENTS = ("#1a73e8", "#0b7a4b", "#c0392b", "#333333", "#6a3fb5", "#e07b00")
_VIEW = ("View this email in your browser", "View online", "Trouble reading this? Open the web version")
_LEAVE = ("Unsubscribe", "Manage preferences", "Update your settings", "Leave this list")
_SOCIAL = ("Facebook", "Instagram", "LinkedIn", "YouTube", "X")


def page(text: str, *, subject: str, brand: str, domain: str, lang: str, rng: random.Random) -> str:
    """An HTML document that shows ``text``."""
    parts = list(_blocks(text))
    if not _URL.search(text) and rng.random() < 0.6:
        return _as_written_by_hand(parts, rng)
    return _designed(parts, subject, brand, domain, lang, rng)


def _blocks(text: str) -> Iterator[list[str]]:
    for block in re.split(r"\n{2,}", text.strip()):
        lines = [line.rstrip() for line in block.split("\n") if line.strip()]
        if lines:
            yield lines


def _as_written_by_hand(parts: list[list[str]], rng: random.Random) -> str:
    """What a mail program makes of typed text."""
    tag = rng.choice(("div", "p"))
    style = rng.choice(("", f' style="font-family:{rng.choice(_FONTS)}"', ' dir="ltr"', ' class="MsoNormal"'))
    lines = "\n".join(f"<{tag}{style}>{'<br>'.join(map(_linked, lines))}</{tag}>" for lines in parts)
    head = rng.choice(("", '<head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head>'))
    return f"<html>{head}<body>{lines}</body></html>"


def _linked(line: str) -> str:
    out, end = [], 0
    for match in _URL.finditer(line):
        out.append(escape(line[end : match.start()]))
        out.append(f'<a href="{escape(match[0])}">{escape(match[0])}</a>')
        end = match.end()
    return "".join([*out, escape(line[end:])])


def _designed(parts: list[list[str]], subject: str, brand: str, domain: str, lang: str, rng: random.Random) -> str:
    """What a sending service makes of a template."""
    font, accent = rng.choice(_FONTS), rng.choice(_ACCENTS)
    counter = rng.choice(_COUNTERS).format(domain) if rng.random() < 0.45 else ""
    cell = f'style="padding:0 {rng.choice((16, 24, 32))}px 16px;font:15px/22px {font};color:#222"'
    rows = [f"<tr><td {cell}>{_block(lines, accent, counter, rng)}</td></tr>" for lines in parts]
    if rng.random() < 0.5:
        logo = f'<img src="https://img.{domain}/logo.png" alt="{escape(brand)}" width="120">'
        rows.insert(0, f"<tr><td style='padding:24px'>{logo}</td></tr>")
    if rng.random() < 0.3:
        hero = f'<img src="https://img.{domain}/{rng.getrandbits(24):x}.jpg" alt="" width="600">'
        rows.insert(min(1, len(rows)), f"<tr><td>{hero}</td></tr>")
    if rng.random() < 0.25:
        rows.insert(0, f"<tr><td>{_anchor(f'https://{domain}/view', rng.choice(_VIEW), counter, rng)}</td></tr>")
    rows += _footer(brand, domain, counter, rng)
    sheet = "<style>@media(max-width:600px){.w{width:100%!important}}a{color:inherit}</style>"
    head = f'<head><meta charset="utf-8"><title>{escape(subject)}</title>{sheet if rng.random() < 0.6 else ""}</head>'
    table = f'<table role="presentation" class="w" width="600" align="center" bgcolor="#ffffff">{"".join(rows)}</table>'
    if rng.random() < 0.4:
        table = f'<table width="100%"><tr><td align="center">{table}</td></tr></table>'
    pixel = f'<img src="https://{counter or domain}/o/{rng.getrandbits(64):x}.gif" width="1" height="1" alt="">'
    return (
        f'<!DOCTYPE html><html lang="{lang}">{head}<body style="margin:0;background:{rng.choice(_GROUNDS)}">'
        f"{_preheader(parts, rng)}{table}{pixel if rng.random() < 0.5 else ''}</body></html>"
    )


def _preheader(parts: list[list[str]], rng: random.Random) -> str:
    """The line that a list of messages shows; hidden in the message itself."""
    if rng.random() >= 0.35 or not parts:
        return ""
    words = escape(_URL.sub("", " ".join(parts[min(1, len(parts) - 1)]))[:90])
    filler = "&#847;&zwnj;&nbsp;" * rng.choice((0, 20, 60))
    return f'<div style="display:none;max-height:0;overflow:hidden;font-size:1px">{words}{filler}</div>'


def _block(lines: list[str], accent: str, counter: str, rng: random.Random) -> str:
    if all(line.lstrip().startswith(("- ", "* ", "• ")) for line in lines):
        return f"<ul>{''.join(f'<li>{_inline(line.lstrip()[2:], counter, rng)}</li>' for line in lines)}</ul>"
    if all(line.startswith("|") for line in lines):
        cells = "".join(
            f"<tr>{''.join(f'<td>{escape(cell.strip())}</td>' for cell in line.strip('|').split('|'))}</tr>"
            for line in lines
        )
        return f"<table>{cells}</table>"
    if len(lines) == 1:
        labelled = _LABELLED.match(lines[0])
        only = _URL.fullmatch(lines[0])
        if labelled or only:
            words = labelled[1] if labelled else rng.choice(_BUTTONS)
            style = f"background:{accent};color:#fff;padding:12px 24px;text-decoration:none;display:inline-block"
            return _anchor(labelled[2] if labelled else lines[0], words, counter, rng, style)
        if len(lines[0]) < 50 and rng.random() < 0.3:
            return f"<h2>{escape(lines[0])}</h2>"
    return f"<p>{'<br>'.join(_inline(line, counter, rng) for line in lines)}</p>"


def _inline(line: str, counter: str, rng: random.Random) -> str:
    labelled = _LABELLED.match(line)
    if labelled and rng.random() < 0.7:
        return _anchor(labelled[2], labelled[1], counter, rng)
    return _linked(line)


def _anchor(url: str, words: str, counter: str, rng: random.Random, style: str = "") -> str:
    target = f"https://{counter}/ls/click?upn={rng.getrandbits(160):x}" if counter else url
    look = f' style="{style}"' if style else ""
    return f'<a href="{escape(target)}"{look}>{escape(words)}</a>'


def _footer(brand: str, domain: str, counter: str, rng: random.Random) -> Iterator[str]:
    small = 'style="padding:16px 24px;font:12px/18px Arial,sans-serif;color:#777"'
    if rng.random() < 0.2:
        icons = " ".join(_anchor(f"https://{domain}/{name.lower()}", name, counter, rng) for name in _SOCIAL[:4])
        yield f"<tr><td {small}>{icons}</td></tr>"
    if rng.random() < 0.35:
        leave = _anchor(f"https://{domain}/u/{rng.getrandbits(40):x}", rng.choice(_LEAVE), counter, rng)
        yield f"<tr><td {small}>© {rng.choice((2025, 2026))} {escape(brand)} · {leave}</td></tr>"
