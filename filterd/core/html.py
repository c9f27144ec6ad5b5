"""What a reader of an HTML part sees, and what is there but hidden from him.

libxml2 drops text below its depth limit without a word, so a linear count of tags comes first: text behind too
deep nesting is read by stripping tags instead (signal ``html_deep``), and a document past the hard caps is
unscannable, never clean. Inline CSS only: style sheets are not evaluated.
"""

from __future__ import annotations

import html as entities
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

from lxml import etree
from lxml.etree import _Element

from filterd.errors import Unscannable

MAX_TAGS = 200_000
"""Tags past which a document is unscannable."""
MAX_ATTRIBUTES = 10_000
"""Attributes of one tag past which it is; libxml2 checks each against all others."""
_RESOURCE_LIMIT = 114
"""libxml2's XML_ERR_RESOURCE_LIMIT: nesting deeper than 256 was dropped."""
_MAX_LINKS = 1_000
_MAX_ALTS = 50
_MAX_STYLED = 1_000
_MAX_ANCESTORS = 16
_MIN_CONTRAST = 24
"""Largest distance of text from its background, per RGB channel, that counts as hidden."""
_WHITE = (255, 255, 255)
_CUT = "CUT"
"""The name of elements that are about to be taken out: in capitals, which no name of a parsed document has."""

_LONG_TAG = re.compile(r"<[A-Za-z][^>]{20000}[^>]*")
_ANY_TAG = re.compile(r"<[^<>]*>?")
_UNREAD = re.compile(r"<(script|style)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_SPLIT_WORD = re.compile(r"<(?<=[A-Za-z]<)(?:!--[^>]{0,200}--|[a-z]{6,20})>(?=[A-Za-z])")
_BLOCK = re.compile(
    r"<(?=/?(?:p|div|br|hr|t[drh]|table|tbody|center|li|ul|ol|d[ltd]|h[1-6]|blockquote|pre|section|article|header"
    r"|footer|form|option|title|body)\b)",
    re.IGNORECASE,
)
_PROPERTY = re.compile(r"([a-z-]{3,30})\s*:\s*([^;]{0,80})")
_NUMBER = re.compile(r"(\d{0,6}(?:\.\d{0,6})?)\s*(px|pt|em|rem|%|)")
_FAR = re.compile(r"-\d{4,6}(?:\.\d{0,6})?(?:px|pt|\s|$)")
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})")
_COLOURS = {"white": _WHITE, "black": (0, 0, 0), "ivory": (255, 255, 240), "snow": (255, 250, 250)}

_STYLED = etree.XPath("//*[@style or @hidden or @color]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where a link goes and what it is labelled."""

    href: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HtmlText:
    """What one HTML part holds."""

    visible: str = ""
    hidden: str = ""
    links: tuple[Link, ...] = ()
    tags: int = 0
    images: int = 0
    remote_images: int = 0
    forms: int = 0
    signals: tuple[str, ...] = ()


def read_html(text: str, max_chars: int) -> HtmlText:
    """What a reader sees in the first ``max_chars`` characters. Raises Unscannable past the hard caps."""
    signals = []
    if len(text) > max_chars:
        text = text[:max_chars]
        signals.append("html_truncated")
    tags = measure(text)
    if _SPLIT_WORD.search(text):
        signals.append("html_split_words")
    root, is_deep = parse_page(text)
    if root is None:
        signals += ["html_deep"] if is_deep else []
        return HtmlText(visible=strip_tags(text), links=_bare_links(text), tags=tags, signals=tuple(signals))
    has_sheet = root.find(".//style") is not None
    # By name and not by XPath: of a union, libxml2 looks for every node of the one set in the whole of the other.
    for node in list(root.iter("script", "style", "noscript")):
        if node.tag != "noscript" or next(node.iterancestors("head"), None) is not None:
            node.tag = _CUT
    _cut(root)
    images = list(root.iter("img", "image"))
    links = tuple(_links(root))
    alts = " ".join((image.get("alt") or "") for image in images[:_MAX_ALTS]).strip()
    forms = sum(node.tag == "form" or node.get("type") == "password" for node in root.iter("form", "input"))
    remote = sum(1 for image in images if (image.get("src") or "").lstrip().lower().startswith("http"))
    hidden = " ".join(_take_hidden(root, has_sheet=has_sheet))
    if hidden.strip():
        signals.append("hidden_text")
    _cut(root)
    visible: str = etree.tostring(root, method="text", encoding="unicode", with_tail=False)
    return HtmlText(
        visible=f"{visible}\n{alts}" if alts else visible,
        hidden=hidden,
        links=links,
        tags=tags,
        images=len(images),
        remote_images=remote,
        forms=forms,
        signals=tuple(signals),
    )


def skim_html(text: str, max_chars: int) -> HtmlText:
    """Text and links without a tree, for parts of a message that holds more HTML than is parsed."""
    text = text[:max_chars]
    return HtmlText(visible=strip_tags(text), links=_bare_links(text), tags=measure(text), signals=("html_truncated",))


def strip_tags(text: str) -> str:
    """``text`` without markup, in linear time whatever its nesting."""
    text = _UNREAD.sub(" ", _COMMENT.sub("", text))
    return entities.unescape(_ANY_TAG.sub(" ", text))


def measure(text: str) -> int:
    """Tags in ``text``. Raises Unscannable."""
    tags = text.count("<")
    if tags > MAX_TAGS:
        raise Unscannable(f"html has more than {MAX_TAGS} tags")
    for match in _LONG_TAG.finditer(text):
        if max(len(match[0].split()), match[0].count("=")) > MAX_ATTRIBUTES:
            raise Unscannable(f"html tag has more than {MAX_ATTRIBUTES} attributes")
    return tags


def parse_page(text: str) -> tuple[_Element | None, bool]:
    """The tree with white space between blocks, and whether libxml2 gave up on its depth."""
    parser = etree.HTMLParser(
        recover=True, remove_comments=True, remove_pis=True, no_network=True, encoding="utf-8", huge_tree=False
    )
    source = _BLOCK.sub("\n<", text).replace("\0", " ")
    try:
        root = etree.fromstring(source.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None, False
    is_lost = any(entry.type == _RESOURCE_LIMIT for entry in parser.error_log)
    return (None, True) if is_lost else (root, False)


def _text(node: _Element) -> str:
    return "".join(str(text) for text in node.itertext())


def _cut(root: _Element) -> None:
    """Take the elements named ``_CUT`` out of the tree and leave what follows them, in linear time.

    Not by moving that text to its neighbour: lxml takes no control characters, which a tree that was parsed may hold.
    """
    etree.strip_elements(root, _CUT, with_tail=False)


def _links(root: _Element) -> Iterator[Link]:
    found = (node for node in root.iter("a", "area") if node.get("href") is not None)
    for node in islice(found, _MAX_LINKS):
        text = " ".join(_text(node).split())
        yield Link(href=node.get("href", "")[:2_000].strip(), text=text[:200])


def _bare_links(text: str) -> tuple[Link, ...]:
    found = re.findall(r"href\s*=\s*[\"']?([^\"'<>\s]{1,2000})", text, re.IGNORECASE)
    return tuple(Link(href=href) for href in found[:_MAX_LINKS])


def _take_hidden(root: _Element, *, has_sheet: bool) -> Iterator[str]:
    """Text of the hidden elements, which are taken out of the tree."""
    styles: dict[str, dict[str, str]] = {}
    for node in cast("list[_Element]", _STYLED(root))[:_MAX_STYLED]:  # the path selects elements only
        style = node.get("style", "").lower()
        if style not in styles:
            styles[style] = {name: value.strip() for name, value in _PROPERTY.findall(style)}
        properties = styles[style]
        if not _is_hidden(node, properties, has_sheet=has_sheet):
            continue
        text = _text(node)
        if text.strip():
            yield text
            node.tag = _CUT


def _is_hidden(node: _Element, style: dict[str, str], *, has_sheet: bool) -> bool:
    if node.get("hidden") is not None or style.get("display", "").startswith("none"):
        return True
    if style.get("visibility", "").startswith(("hidden", "collapse")) or style.get("mso-hide", "") == "all":
        return True
    if _is_tiny(style.get("font-size", ""), 1.0) or _is_tiny(style.get("opacity", ""), 0.05) or _is_off_screen(style):
        return True
    if style.get("overflow", "").startswith("hidden") and (
        _is_tiny(style.get("max-height", ""), 1.0) or _is_tiny(style.get("height", ""), 1.0)
    ):
        return True
    colour = _colour(style.get("color") or node.get("color") or "")
    if colour is None:
        return False
    ground = _ground(node, has_sheet=has_sheet)
    return ground is not None and max(abs(a - b) for a, b in zip(colour, ground, strict=True)) < _MIN_CONTRAST


def _is_off_screen(style: dict[str, str]) -> bool:
    """Whether it is moved a thousand pixels out of sight."""
    if style.get("text-indent", "").startswith("-") and _FAR.match(style["text-indent"]):
        return True
    if not style.get("position", "").startswith(("absolute", "fixed")):
        return False
    return any(_FAR.match(style.get(side, "")) for side in ("left", "top", "right", "bottom"))


def _is_tiny(value: str, limit: float) -> bool:
    match = _NUMBER.match(value)
    if not match or not match[1] or match[1] == ".":
        return False
    size = float(match[1])
    scale = {"em": 16.0, "rem": 16.0, "%": 0.16}.get(match[2], 1.0)
    return size * scale <= limit


def _ground(node: _Element, *, has_sheet: bool) -> tuple[int, int, int] | None:
    """The background ``node`` is drawn on; None where a style sheet or an image may have set it."""
    at: _Element | None = node
    for _ in range(_MAX_ANCESTORS):
        if at is None:
            break
        style = at.get("style", "").lower()
        if "background" in style:
            properties = dict(_PROPERTY.findall(style))
            return _colour(properties.get("background-color") or properties.get("background") or "")
        if at.get("background") is not None:
            return None
        if at.get("bgcolor") is not None:
            return _colour(at.get("bgcolor", ""))
        at = at.getparent()
    return None if has_sheet or at is not None else _WHITE


def _colour(text: str) -> tuple[int, int, int] | None:
    text = text.strip().lower().split(" ")[0] if not text.strip().lower().startswith("rgb") else text.strip().lower()
    if text in _COLOURS:
        return _COLOURS[text]
    match = _RGB.match(text)
    if match:
        return min(int(match[1]), 255), min(int(match[2]), 255), min(int(match[3]), 255)
    digits = text.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(c * 2 for c in digits)
    try:
        return (int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)) if len(digits) == 6 else None
    except ValueError:
        return None
