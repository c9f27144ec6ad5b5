"""Overview and models in a real browser: accessible, within the width of a phone, in light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from filterd.core.envelope import Channel
from filterd.inference.registry import packaged_models, read_spec
from tests.browser.site import Site, tab

pytestmark = [pytest.mark.real, pytest.mark.slow]

PATHS = ("/", "/models", f"/models/email/{read_spec(packaged_models() / Channel.EMAIL.value).id}")
NARROW = {"width": 360, "height": 740}


@pytest.mark.parametrize("look", [{}, {"is_dark": True}, {"is_phone": True}], ids=["light", "dark", "phone"])
def test_pages_break_no_rule_of_accessibility_and_need_no_scrolling_sideways(
    site: Site, browser: Browser, look: dict[str, Any]
) -> None:
    with tab(browser, **look) as context:
        watched = site.sign_in(context, "root")
        page = watched.page
        if look.get("is_phone"):
            page.set_viewport_size(NARROW)  # type: ignore[arg-type]  # a dictionary of that form
        for path in PATHS:
            page.goto(site.origin + path)
            root = "document.documentElement"

            assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0, path
            found = Axe().run(page).response["violations"]
            assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found] == [], path
        assert not watched.faults


def test_pages_work_without_scripts(site: Site, browser: Browser) -> None:
    with tab(browser, has_scripts=False) as context:
        watched = site.sign_in(context, "root")
        watched.page.goto(f"{site.origin}/")
        watched.page.click('button[value="spam"] >> nth=0')

        assert watched.page.url.startswith(f"{site.origin}/?said=spam")
        assert watched.page.locator("[role=status]").count() == 1
        assert not watched.faults
