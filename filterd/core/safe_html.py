"""HTML from strangers as HTML that only shows text.

Nothing of the source is passed on: the tree that libxml2 makes of it is walked, and elements of a list are written
anew with their text, so that what one parser hides from another cannot come back. There is no element whose content is
not read as markup, no attribute that names an address, a style or a script, and no second vocabulary (SVG, MathML).
Links are text that says where it leads; images are their alternative text.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from types import MappingProxyType

from lxml.etree import _Element

from filterd.core.html import measure, parse_page, strip_tags
from filterd.core.shown import shown_line, shown_text

MAX_CHARS = 1_048_576
"""Characters written; the rest is left out."""
MAX_DEPTH = 100
"""Elements within each other; those further in are written as their text."""

_SAME = """
abbr address b big blockquote br caption center cite code dd del dfn div dl dt em figcaption figure h1 h2 h3 h4 h5 h6
hr i ins kbd li ol p pre q s samp small span strong sub sup table tbody td tfoot th thead tr tt u ul var wbr
"""
_BLOCKS = ("article", "aside", "body", "details", "fieldset", "footer", "form", "header", "main", "nav", "section")
ELEMENTS = MappingProxyType(
    {name: name for name in _SAME.split()}
    | dict.fromkeys((*_BLOCKS, "summary"), "div")
    | dict.fromkeys(("a", "font", "label", "mark"), "span")
    | {"strike": "s"}
)
"""Element of the source -> element that is written. Of any other, only the content is."""
ATTRIBUTES = frozenset({"class", "title", "dir", "colspan", "rowspan"})
VOID = frozenset({"br", "hr", "wbr"})
_GONE_NAMES = """
applet audio base basefont bgsound canvas command datalist embed frame frameset head iframe input keygen link map
math meta noembed noframes object param portal script select source style svg template textarea title track video
xml xmp
"""
_GONE = frozenset(_GONE_NAMES.split())
"""Elements that leave nothing behind, not even their content."""
_IMAGES = frozenset({"img", "image"})
_MAX_TITLE_CHARS = 2_000
_MAX_ALT_CHARS = 300
_MAX_SPAN = 100
_CELLS = frozenset({"td", "th"})
_DIRECTIONS = frozenset({"ltr", "rtl", "auto"})
_LONGEST_ESCAPE = len("&amp;")


def safe_html(text: str, max_chars: int) -> str:
    """The first ``max_chars`` characters of ``text`` as HTML of ``ELEMENTS`` and ``ATTRIBUTES``: ``MAX_CHARS``, or so.

    Raises Unscannable past the caps of ``core.html``.
    """
    text = text[:max_chars]
    measure(text)
    root, _ = parse_page(text)
    writer = _Writer()
    if root is None:
        writer.add_text(strip_tags(text))
    else:
        writer.add(root)
    return "".join(writer.pieces)


class _Writer:
    """What has been written so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._left = MAX_CHARS

    def add(self, root: _Element) -> None:
        """Write an element and what is in it; without recursion, in the order of the document."""
        pending: list[_Element | _End | str] = [root]
        depth = 0
        while pending:
            item = pending.pop()
            if isinstance(item, _End):
                # Whatever the cap: what was begun is ended.
                self.pieces.append(f"</{item.name}>")
                depth -= 1
            elif self._left <= 0:
                continue
            elif isinstance(item, str):
                self.add_text(item)
            else:
                depth += self._begin(item, pending, depth)

    def add_text(self, text: str) -> None:
        """Write text as such."""
        shown = _escaped(text[: self._left])
        self._put(shown if len(shown) <= self._left else _escaped(text[: self._left // _LONGEST_ESCAPE]))

    def _put(self, piece: str) -> None:
        self.pieces.append(piece)
        self._left -= len(piece)

    def _begin(self, node: _Element, pending: list[_Element | _End | str], depth: int) -> int:
        """Write the start of an element and have the rest written next; how many elements were opened."""
        if node.tail and node.getparent() is not None:
            pending.append(node.tail)
        name = node.tag if isinstance(node.tag, str) else "xml"
        if name in _IMAGES:
            self._put(f'<span class="image">{_escaped(shown_line(node.get("alt") or "", _MAX_ALT_CHARS))}</span>')
            return 0
        if name in _GONE:
            return 0
        written = ELEMENTS.get(name) if depth < MAX_DEPTH else None
        if written:
            self._put(f"<{written}{_attributes(node, name)}>")
        is_open = written is not None and written not in VOID
        if written and is_open:
            pending.append(_End(written))
            self._left -= len(f"</{written}>")
        pending.extend(reversed(node))
        if node.text:
            pending.append(node.text)
        return int(is_open)


@dataclass(frozen=True, slots=True)
class _End:
    """The end of an element that was begun."""

    name: str


def _attributes(node: _Element, name: str) -> str:
    found = {}
    if name == "a" and node.get("href"):
        found = {"class": "link", "title": shown_line(node.get("href", ""), _MAX_TITLE_CHARS)}
    if (direction := node.get("dir", "").lower()) in _DIRECTIONS:
        found["dir"] = direction
    if name in _CELLS:
        found |= {span: str(wide) for span in ("colspan", "rowspan") if (wide := _span(node.get(span, ""))) > 1}
    return "".join(f' {attribute}="{escape(value)}"' for attribute, value in found.items())


def _span(value: str) -> int:
    digits = value.strip()
    return min(int(digits), _MAX_SPAN) if digits.isascii() and digits.isdigit() and len(digits) < 5 else 1


def _escaped(text: str) -> str:
    return escape(shown_text(text), quote=False)
