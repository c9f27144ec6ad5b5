"""A bundle's card as HTML: Markdown without its raw HTML, pictures and links to anything but pages."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

_DEEPER = 2
"""Levels between a heading of the page and the same of a card in it."""


def card_html(text: str) -> Markup:
    """``text`` as HTML that can neither load nor run anything. Source: CommonMark 0.31, with tables."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(text)
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(int(token.tag[1]) + _DEEPER, 6)}"
        # The page forbids style attributes; a class says the same.
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "number"
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704  # the parser escapes all text
