"""More of what people do on the pages, in a real browser: who may does it, and who may not is not offered it."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.site import ANN, BOB, Site, tab
from tests.browser.test_flows import PILLS, SPAM, hold, open_quarantine

pytestmark = [pytest.mark.real, pytest.mark.slow]

HAM = "Hello Ann, the minutes of Thursday's meeting are on the shared drive. Please look at item four before Monday."


def test_blocked_sender_s_message_is_deleted_and_the_next_one_held_whatever_it_says(
    site: Site, browser: Browser
) -> None:
    sender = "pest@letters.example"
    hold(site, "from the pest", (ANN,), sender, PILLS)
    with tab(browser) as context:
        ann = site.sign_in(context, ANN)
        page = open_quarantine(ann, site, "from the pest")
        page.get_by_role("link", name="from the pest").click()
        page.get_by_role("button", name="Block sender").click()
        expect(page.get_by_role("status")).to_contain_text("its sender blocked")
        expect(page.get_by_text("from the pest")).to_have_count(0)
        time.sleep(2)
        hold(site, "polite now", (ANN,), sender, HAM)
        open_quarantine(ann, site, "polite now")
        assert not ann.faults


def test_several_messages_are_marked_and_released_at_once(site: Site, browser: Browser) -> None:
    before = site.count_delivered()
    for number in ("eleven", "twelve", "thirteen"):
        hold(site, f"lot {number}", (BOB,), text=PILLS)
    with tab(browser) as context:
        bob = site.sign_in(context, BOB)
        for number in ("eleven", "twelve", "thirteen"):
            page = open_quarantine(bob, site, f"lot {number}")
        for number in ("eleven", "thirteen"):
            page.get_by_role("checkbox", name=f"Mark: lot {number}").check()
        page.get_by_role("button", name="Release", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("2 messages released")
        expect(page.get_by_text("lot twelve")).to_have_count(1)
        assert not bob.faults
    assert site.count_delivered() == before + 2


def _campaign(page: Page, site: Site, subject: str) -> None:
    """Wait until the campaign of that message is on the page, with all of its messages."""
    for _ in range(50):
        page.goto(f"{site.origin}/campaigns")
        if page.locator("section", has_text=subject).filter(has_text=re.compile("[3-9] held")).count():
            return
        time.sleep(0.1)
    raise AssertionError(f"no campaign of {subject}")


def test_campaign_is_deleted_by_one_click_taken_back_by_another_and_only_shown_to_the_auditor(
    site: Site, browser: Browser
) -> None:
    for letter in "abc":
        hold(site, "parcel waits", (ANN,), f"{letter}@parcels.example", SPAM)
    with tab(browser) as context:
        audit = site.sign_in(context, "audit")
        _campaign(audit.page, site, "parcel waits")
        expect(audit.page.locator("form.actions button")).to_have_count(0)
        assert not audit.faults
    with tab(browser) as context:
        mod = site.sign_in(context, "mod")
        page = mod.page
        _campaign(page, site, "parcel waits")
        # The mail of the demo may have near copies of them, too.
        page.locator("section", has_text="parcel waits").get_by_role("button", name=re.compile("^Delete [3-9]")).click()
        expect(page.get_by_role("status")).to_contain_text("messages deleted")
        expect(page.locator("section", has_text="parcel waits").get_by_role("button", name="Delete")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("status")).to_contain_text("Undone")
        open_quarantine(mod, site, "parcel waits")
        assert not mod.faults


def test_message_of_somebody_else_is_as_one_that_is_not_there_and_a_forged_button_does_nothing(
    site: Site, browser: Browser
) -> None:
    hold(site, "for Ann alone", (ANN,), text=PILLS)
    with tab(browser) as context:
        ann = site.sign_in(context, ANN)
        page = open_quarantine(ann, site, "for Ann alone")
        path = page.get_by_role("link", name="for Ann alone").get_attribute("href") or ""
        assert path.startswith("/quarantine/")
    hold(site, "for Bob alone", (BOB,), text=PILLS)
    before = site.count_delivered()
    with tab(browser) as context:
        bob = site.sign_in(context, BOB)
        answer = bob.page.goto(site.origin + path)
        assert answer is not None
        assert answer.status == 404
        page = open_quarantine(bob, site, "for Bob alone")
        # His own page, session and token, with her message's number in the place of his.
        box = page.get_by_role("checkbox", name="Mark: for Bob alone")
        box.evaluate("(box, id) => { box.value = id; }", path.removeprefix("/quarantine/"))
        box.check()
        page.get_by_role("button", name="Release", exact=True).click()
        page.wait_for_load_state()
        expect(page.get_by_role("status").filter(has_text="released")).to_have_count(0)
    assert site.count_delivered() == before
    with tab(browser) as context:
        open_quarantine(site.sign_in(context, ANN), site, "for Ann alone")


@pytest.mark.parametrize(
    ("name", "status", "is_acting"),
    [("root", 200, True), ("audit", 200, False), ("mod", 403, False), (ANN, 403, False)],
)
def test_models_are_read_by_who_looks_after_the_house_and_changed_by_the_administrator(
    site: Site, browser: Browser, name: str, status: int, *, is_acting: bool
) -> None:
    with tab(browser) as context:
        watched = site.sign_in(context, name)
        answer = watched.page.goto(f"{site.origin}/models")

        assert answer is not None
        assert answer.status == status
        rolled = watched.page.goto(f"{site.origin}/models/email/roll-back")
        assert rolled is not None
        assert (rolled.status != 403) == is_acting


def test_wrong_password_is_said_without_telling_who_exists(site: Site, browser: Browser) -> None:
    said = []
    for name in (ANN, "nobody@inbox.example"):
        with tab(browser) as context:
            page = context.new_page()
            page.goto(f"{site.origin}/sign-in")
            page.fill("#name", name)
            page.fill("#password", "not the password")
            page.click("button.primary")
            said.append(page.locator("main").inner_text().replace(name, "NAME"))
            answer = page.goto(f"{site.origin}/quarantine")
            assert answer is not None
            assert "/sign-in" in page.url

    assert said[0] == said[1]
