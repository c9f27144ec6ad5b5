"""What people do on the pages, in a real browser: each flow as somebody who may, and as somebody who may not."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.site import ANN, BOB, Site, Watched, tab

pytestmark = [pytest.mark.real, pytest.mark.slow]

SPAM = (
    "CONGRATULATIONS!!! You have WON the sum of $1,000,000.00 in our lottery promotion!!! To claim your prize money "
    "send your full name, bank account number and a processing fee of $250 by Western Union TODAY. Act now, this offer "
    "expires in 24 hours!!!"
)
PILLS = (
    "Buy V1agra, C1alis and Xanax online! Lowest prices guaranteed, no prescription needed. 80% discount for new "
    "customers, discreet worldwide shipping, 100% satisfaction or money back. Order now!"
)


def hold(
    site: Site,
    subject: str,
    recipients: tuple[str, ...] = (ANN,),
    sender: str = "eve@spam.example",
    text: str = SPAM,
) -> None:
    """One spam that is held, under a subject of its own."""
    body = f"From: {sender}\r\nTo: {recipients[0]}\r\nSubject: {subject}\r\n\r\n{text} {subject}\r\n"
    site.send(body.encode(), recipients, sender)


def open_quarantine(watched: Watched, site: Site, subject: str) -> Page:
    """The quarantine with that message in it."""
    page = watched.page
    for _ in range(50):
        page.goto(f"{site.origin}/quarantine")
        if page.get_by_text(subject).count():
            return page
        time.sleep(0.1)
    raise AssertionError(f"{subject} is not in the quarantine")


def test_user_releases_a_message_once_and_only_their_own_copy(site: Site, browser: Browser) -> None:
    hold(site, "shared one", (ANN, BOB))
    before = site.count_delivered()
    with tab(browser) as context:
        ann = site.sign_in(context, ANN)
        page = open_quarantine(ann, site, "shared one")
        page.get_by_role("link", name="shared one").click()
        expect(page.locator("h1")).to_have_text("shared one")
        page.get_by_role("button", name="Release", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("1 message released")
        expect(page.get_by_text("shared one")).to_have_count(0)
        assert not ann.faults
    assert site.count_delivered() == before + 1
    with tab(browser) as context:
        bob = site.sign_in(context, BOB)
        open_quarantine(bob, site, "shared one")


def test_keys_mark_and_delete_and_the_button_undoes_it(site: Site, browser: Browser) -> None:
    hold(site, "by keys")
    with tab(browser) as context:
        ann = site.sign_in(context, ANN)
        page = open_quarantine(ann, site, "by keys")
        page.keyboard.press("j")
        expect(page.get_by_role("link", name="by keys")).to_be_focused()
        page.keyboard.press("x")
        expect(page.locator("[data-count]")).to_have_text("1")
        page.keyboard.press("d")
        expect(page.get_by_role("status")).to_contain_text("1 message deleted")
        expect(page.get_by_text("by keys")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("status")).to_contain_text("Undone")
        expect(page.get_by_role("link", name="by keys")).to_have_count(1)
        assert not ann.faults


def test_list_follows_the_search_as_one_types(site: Site, browser: Browser) -> None:
    hold(site, "needle in hay")
    with tab(browser) as context:
        ann = site.sign_in(context, ANN)
        page = open_quarantine(ann, site, "needle in hay")
        page.locator("#q").press_sequentially("needle")
        expect(page.locator("[data-row]")).to_have_count(1)
        assert "q=needle" in page.url
        assert not ann.faults


def test_pages_work_without_scripts(site: Site, browser: Browser) -> None:
    # Another text: what is taught here must not let the others through.
    hold(site, "without scripts", text=PILLS)
    with tab(browser, has_scripts=False) as context:
        ann = site.sign_in(context, ANN)
        page = open_quarantine(ann, site, "without scripts")
        page.fill("#q", "without")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("[data-row]")).to_have_count(1)
        page.locator("[data-row] input").check()
        page.get_by_role("button", name="Release and teach").click()
        expect(page.get_by_role("status")).to_contain_text("near copies pass")


def test_times_are_those_of_the_reader_s_clock_from_the_first_page_on(site: Site, browser: Browser) -> None:
    with tab(browser, zone="Asia/Tokyo") as context:
        page = site.sign_in(context, ANN).page
        expect(page.locator("footer")).to_have_text("Times: Asia/Tokyo")
        page.goto(f"{site.origin}/quarantine")
        shown = page.locator("time").first
        told = datetime.fromisoformat(shown.get_attribute("datetime") or "")
        expect(shown).to_have_text(f"{told.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%d %H:%M}")


def test_allowed_sender_passes_within_two_seconds_and_undone_is_held_again(site: Site, browser: Browser) -> None:
    sender = "friend@shop.example"
    hold(site, "first of friend", (ANN,), sender)
    with tab(browser) as context:
        ann = site.sign_in(context, ANN)
        page = open_quarantine(ann, site, "first of friend")
        page.get_by_role("link", name="first of friend").click()
        page.get_by_role("button", name="Allow sender").click()
        expect(page.get_by_role("status")).to_contain_text("Sender allowed")
        time.sleep(2)
        before = site.count_delivered()
        hold(site, "second of friend", (ANN,), sender)
        assert site.count_delivered() == before + 1
        page.goto(f"{site.origin}/rules")
        page.get_by_role("button", name=f"Remove {sender}").click()
        time.sleep(2)
        hold(site, "third of friend", (ANN,), sender)
        open_quarantine(ann, site, "third of friend")
        assert not ann.faults


def test_slider_shows_what_it_would_have_done_before_it_is_saved(site: Site, browser: Browser) -> None:
    with tab(browser) as context:
        ann = site.sign_in(context, ANN)
        page = ann.page
        page.goto(f"{site.origin}/rules?scope={ANN}")
        slider = page.locator("#at")
        slider.focus()
        page.keyboard.press("End")
        expect(page.locator("#outlook")).to_contain_text("Holds nothing")
        page.keyboard.press("Home")
        expect(page.locator("#outlook")).to_contain_text("Holds from 30.0 %")
        assert not site.call("rules", "list").count("thresholds")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status")).to_contain_text("holds within two seconds")
        page.get_by_role("button", name="Back to what the house has set").click()
        expect(page.get_by_role("status")).to_contain_text("Taken back")
        assert not ann.faults


def test_reported_spam_shows_as_the_reason_of_the_next_copy(site: Site, browser: Browser) -> None:
    text = "Minutes of the garden club: tulips are planted on Friday, bring gloves and the long ladder please"
    raw = f"From: club@garden.example\r\nTo: {ANN}\r\nSubject: tulips\r\n\r\n{text}\r\n".encode()
    site.send(raw, (ANN,), "club@garden.example")
    with tab(browser) as context:
        ann = site.sign_in(context, ANN)
        page = ann.page
        for _ in range(50):
            page.goto(f"{site.origin}/history?sender=club%40garden.example")
            if page.locator("[data-row]").count():
                break
            time.sleep(0.1)
        page.locator("[data-row] input").first.check()
        page.get_by_role("button", name="Report spam").click()
        expect(page.get_by_role("status")).to_contain_text("1 message reported")
        time.sleep(2)
        site.send(raw.replace(b"Friday", b"Sunday"), (ANN,), "club@garden.example")
        page = open_quarantine(ann, site, "tulips")
        page.get_by_role("link", name="tulips").click()
        expect(page.locator("section", has_text="Why")).to_contain_text("People reported a near copy")
        expect(page.get_by_text("Called spam on")).to_have_count(1)
        assert not ann.faults


@pytest.mark.parametrize(
    ("name", "path", "is_shown"),
    [
        ("root", "/campaigns", True),
        ("mod", "/campaigns", True),
        ("audit", "/campaigns", True),
        (ANN, "/campaigns", False),
        ("audit", "/rules", False),
        ("mod", "/rules", True),
    ],
)
def test_pages_are_for_their_roles(site: Site, browser: Browser, name: str, path: str, *, is_shown: bool) -> None:
    with tab(browser) as context:
        watched = site.sign_in(context, name)
        answer = watched.page.goto(site.origin + path)

        assert answer is not None
        assert answer.status == (200 if is_shown else 403)
        assert watched.page.locator(f'nav a[href="{path}"]').count() == is_shown


def test_auditor_sees_every_message_and_no_body_and_no_button(site: Site, browser: Browser) -> None:
    hold(site, "audited one", (BOB,))
    with tab(browser) as context:
        audit = site.sign_in(context, "audit")
        page = open_quarantine(audit, site, "audited one")
        expect(page.get_by_role("button", name="Release")).to_have_count(0)
        page.get_by_role("link", name="audited one").click()
        expect(page.get_by_text("Your role does not include reading messages")).to_have_count(1)
        expect(page.get_by_text(SPAM[:20])).to_have_count(0)


def test_moderator_sees_their_domain_and_no_other(site: Site, browser: Browser) -> None:
    hold(site, "for inbox", (ANN,))
    hold(site, "for other", (BOB,))
    with tab(browser) as context:
        mod = site.sign_in(context, "mod")
        page = open_quarantine(mod, site, "for inbox")
        expect(page.get_by_text("for other")).to_have_count(0)


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("is_phone", [False, True], ids=["desktop", "phone"])
def test_no_page_has_an_accessibility_fault(site: Site, browser: Browser, *, is_phone: bool, is_dark: bool) -> None:
    many = tuple(f"{n}.{'long' * 10}@inbox.example" for n in range(60))
    hold(site, "W" * 180, many, f"{'l' * 60}@{'label.' * 20}example", f"{'x' * 300} {SPAM}")
    with tab(browser, is_phone=is_phone, is_dark=is_dark) as context:
        root = site.sign_in(context, "root")
        page = root.page
        page.goto(f"{site.origin}/quarantine")
        message = page.locator("a.subject").first.get_attribute("href")
        page.goto(f"{site.origin}/history")
        verdict = page.locator("a.subject").first.get_attribute("href")
        for path in ("/", "/quarantine", message, "/history", verdict, "/campaigns", "/rules", "/account", "/nothing"):
            page.goto(f"{site.origin}{path}")
            page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            found = Axe().run(page)
            assert not found.violations_count, f"{path}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} is too wide"
        assert not root.faults
