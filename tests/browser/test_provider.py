"""Signing in at an OpenID provider in a real browser, which minds the headers of our pages."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.site import PATIENCE_MS, a_site
from tests.filterd.provider_mock import CLIENT_ID, real_provider

SETTINGS = '[web.oidc]\nissuer = "{issuer}"\nclient_id = "{client}"\nclient_secret = "x"\nname = "Example"\n'


@pytest.mark.real
@pytest.mark.slow
def test_browser_goes_to_the_provider_and_comes_back_signed_in(browser: Browser, tmp_path: Path) -> None:
    with (
        real_provider(dora={"email": "dora@inbox.example", "email_verified": True}) as issuer,
        a_site(tmp_path, SETTINGS.format(issuer=issuer, client=CLIENT_ID)) as site,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{site.origin}/account")
        page.get_by_role("button", name="Sign in with Example").click()
        page.wait_for_url(f"{issuer}/**")
        page.locator("[name=sub][value=dora], button:has-text('dora')").first.click()
        page.wait_for_url(f"{site.origin}/account")

        assert page.get_by_text("dora@inbox.example").count()
        cookies = {cookie["name"]: cookie for cookie in context.cookies(site.origin)}
        assert cookies.keys() == {"filterd", "zone"}
        assert cookies["filterd"]["expires"] > time.time()
