"""``python -m tests.browser.pictures FOLDER`` (``make pictures``): six pages at two widths, for the documents."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.site import Site, a_site, chromium, fill, tab

PAGES = ("overview", "quarantine", "message", "history", "settings", "models")


def take(site: Site, browser: Browser, folder: Path) -> list[Path]:
    """Write the pictures as an administrator sees them: a desktop in light, a phone in dark."""
    taken = []
    for size in ("desktop", "phone"):
        with tab(browser, is_phone=size == "phone", is_dark=size == "phone") as context:
            page = site.sign_in(context, "root").page
            page.goto(f"{site.origin}/quarantine")
            message = page.locator("a.subject").first.get_attribute("href")
            paths = {"overview": "/", "message": message, "settings": "/rules"}
            for name in PAGES:
                page.goto(site.origin + str(paths.get(name, f"/{name}")))
                path = folder / f"{name}-{size}.jpg"
                page.screenshot(path=path, type="jpeg", quality=70)
                taken.append(path)
    return taken


def main(folder: Path) -> int:
    """Write them all; 0."""
    folder.mkdir(parents=True, exist_ok=True)
    program = chromium()
    assert program is not None, "Chromium is missing: run tests/servers/fetch.sh"
    with tempfile.TemporaryDirectory() as state, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with a_site(Path(state)) as site:
            fill(site)
            for path in take(site, browser, folder):
                sys.stdout.write(f"{path.name} {path.stat().st_size}\n")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
