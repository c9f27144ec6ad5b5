"""A card becomes HTML that cannot load, run or restyle anything."""

from __future__ import annotations

import pytest

from filterd.inference.registry import packaged_models
from filterd.web.card import card_html


def test_headings_lists_and_tables_are_html() -> None:
    html = card_html("# Card\n\n- one\n\n| a | b |\n|---|---:|\n| `x` | 2 |\n")

    assert html == (
        "<h3>Card</h3>\n<ul>\n<li>one</li>\n</ul>\n"
        '<table>\n<thead>\n<tr>\n<th>a</th>\n<th class="number">b</th>\n</tr>\n</thead>\n'
        '<tbody>\n<tr>\n<td><code>x</code></td>\n<td class="number">2</td>\n</tr>\n</tbody>\n</table>\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "text <b onclick=alert(1)>bold</b>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "![x](http://evil.example/x.png)",
        '<http://a.example/"onclick=alert(1)>',
        "| a |\n|:-:|\n| b |",
    ],
)
def test_hostile_card_is_text(text: str) -> None:
    html = card_html(text).lower()

    assert not [tag for tag in ("<script", "<img", "<b ", "style=", 'href="javascript', 'href="data') if tag in html]
    assert '"onclick' not in html


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_packaged_cards_need_nothing_that_is_forbidden(channel: str) -> None:
    html = card_html((packaged_models() / channel / "card.md").read_text(encoding="utf-8"))

    assert "<table>" in html
    assert "style" not in html
