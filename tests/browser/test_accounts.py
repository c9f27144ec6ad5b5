"""The pages of accounts, tokens and digests in a real browser: they do what they say, and for everybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.site import PATIENCE_MS, a_site

DIGEST = '[web.digest]\nsender = "filter@inbox.example"\n'


def violations(page: Page) -> list[str]:
    """Accessibility rules that the page breaks, each with the first element that does."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:120]}" for rule in found]


@pytest.mark.real
@pytest.mark.slow
def test_administrator_makes_an_account_whose_owner_signs_in_and_sets_their_digest(
    browser: Browser, tmp_path: Path
) -> None:
    with a_site(tmp_path, DIGEST) as site, browser.new_context() as office, browser.new_context() as home:
        watched = site.sign_in(office, "root")
        page = watched.page
        page.goto(f"{site.origin}/accounts")
        page.fill("#name", "dora@inbox.example")
        page.get_by_role("button", name="Add an account").click()
        site.passwords["dora@inbox.example"] = page.locator(".notice code").inner_text()
        page.fill("#name", "a b")
        page.get_by_role("button", name="Add an account").click()
        page.wait_for_selector("#name-wrong")
        assert not violations(page)
        for path in ("/accounts", "/accounts/edit?name=mod", "/accounts/tokens"):
            page.goto(f"{site.origin}{path}")
            assert not violations(page), path
        assert not watched.faults

        own = site.sign_in(home, "dora@inbox.example")
        own.page.set_default_timeout(PATIENCE_MS)
        own.page.goto(f"{site.origin}/account")
        own.page.select_option("#rhythm", "weekly")
        own.page.fill("#at", "09:30")
        own.page.fill("#zone", "Europe/Berlin")
        own.page.locator("form[action='/account/digest'] button").click()
        own.page.wait_for_selector(".notice")
        assert own.page.input_value("#at") == "09:30"
        assert not violations(own.page)
        assert not own.faults
