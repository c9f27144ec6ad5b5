"""The page at / says where things are, and loads nothing from anywhere."""

from __future__ import annotations

import re

from starlette.applications import Starlette
from starlette.testclient import TestClient

from filterd.web.home import PAGE, home_routes


def test_home_when_fetched_is_a_page_with_a_strict_policy() -> None:
    with TestClient(Starlette(routes=[*home_routes()])) as client:
        answer = client.get("/")

    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_home_links_stay_here_and_nothing_is_loaded() -> None:
    assert not re.search(r"<(script|img|link|iframe)\b", PAGE)
    assert all(link.startswith("/") for link in re.findall(r'href="([^"]*)"', PAGE))
