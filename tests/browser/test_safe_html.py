"""HTML that is made safe, in a browser that would run it and load from it: nothing runs, and nothing is asked for."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from filterd.core.safe_html import ATTRIBUTES, ELEMENTS, safe_html
from tests.hostile.xss_payloads import payloads

pytestmark = [pytest.mark.real, pytest.mark.slow]
ADDRESS = "https://filterd.invalid/"
_FOUND = """
() => [...document.body.querySelectorAll("*")].flatMap(
    e => [e.namespaceURI.endsWith("xhtml") ? e.localName : e.nodeName, ...e.getAttributeNames().map(n => "@" + n)])
"""
_OUTSIDE = (
    "() => [document.head.childNodes.length, window.__pwned === undefined, document.querySelectorAll('script').length]"
)


def _shown_in(browser: Browser, html: str) -> tuple[set[str], list[object], list[str]]:
    """Elements and attributes of the page, what is outside of its body, and what it asked for."""
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
    page.goto(ADDRESS)
    page.mouse.move(30, 30)
    page.wait_for_timeout(300)
    found = set(page.evaluate(_FOUND)), page.evaluate(_OUTSIDE), [url for url in asked if url != ADDRESS]
    context.close()
    return found


def test_d7_safe_html_when_a_browser_reads_it_is_what_was_written(browser: Browser) -> None:
    pieces = [safe_html(source, 524_288) for text in payloads() for source in (text, f"<table><tr><td>{text}")]
    page = "<!DOCTYPE html><html><head></head><body>" + "".join(f"<div>{piece}</div>" for piece in pieces)
    elements, outside, asked = _shown_in(browser, page)

    assert elements <= set(ELEMENTS.values()) | {f"@{name}" for name in ATTRIBUTES}
    assert outside == [0, True, 0]
    assert [url for url in asked if "favicon" not in url] == []


def test_browser_notices_what_is_not_made_safe(browser: Browser) -> None:
    """Else the test above would show nothing."""
    page = "<!DOCTYPE html><html><head></head><body>" + "".join(list(payloads())[:5])
    elements, outside, asked = _shown_in(browser, page)

    assert {"img", "@onerror"} <= elements
    assert outside[1] is False
    assert any("canary.invalid" in url for url in asked)
