"""Debian's Chromium, and one daemon for all tests of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.site import Site, a_site, chromium, fill


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One process for all; every test has a context of its own."""
    program = chromium()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: run tests/servers/fetch.sh")
        pytest.skip("Chromium is missing: run tests/servers/fetch.sh")
    with sync_playwright() as playwright:
        # Its own sandbox needs privileges that a container has not; it opens pages of this machine only.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon with the mail of the demo."""
    folder: Path = tmp_path_factory.mktemp("site")
    with a_site(folder) as site:
        fill(site)
        yield site
