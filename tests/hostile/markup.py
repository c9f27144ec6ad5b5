"""What in a piece of HTML is not on the list of what may be shown, by two parsers that read it differently."""

from __future__ import annotations

from html.parser import HTMLParser

from lxml import etree

from filterd.core.safe_html import ATTRIBUTES, ELEMENTS

ALLOWED = frozenset(ELEMENTS.values())
_FRAME = frozenset({"html", "body"})
"""What libxml2 puts around a piece."""


def strangers(written: str) -> list[str]:
    """Elements, attributes, comments and other constructs that do not belong; empty where the piece is harmless."""
    reader = _Reader()
    reader.feed(written)
    reader.close()
    return [*reader.found, *_by_libxml2(written)]


class _Reader(HTMLParser):
    """The standard library's: a tokenizer without a tree, that sees every tag as such."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            self.found.append(f"<{tag}>")
        self.found += [f"{tag} {name}" for name, _ in attrs if name not in ATTRIBUTES]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ALLOWED:
            self.found.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.found.append(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        self.found.append(f"<![{data}]>")


def _by_libxml2(written: str) -> list[str]:
    parser = etree.HTMLParser(recover=True, encoding="utf-8", no_network=True)
    if not written.strip():
        return []
    root = etree.fromstring(f"<body>{written}</body>".encode("utf-8", "replace"), parser)
    found = []
    for node in root.iter():
        if not isinstance(node.tag, str):
            found.append(str(node))
        elif node.tag not in ALLOWED | _FRAME:
            found.append(f"<{node.tag}>")
        else:
            found += [f"{node.tag} {name}" for name in map(str, node.attrib) if name not in ATTRIBUTES]
    return found
