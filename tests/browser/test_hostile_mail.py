"""Hostile mail and SMS on every page: no script runs, and no request leaves (threats.md, D7 and D10)."""

from __future__ import annotations

import contextlib
import os
import re
import smtplib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Page

from filterd.clock import SystemClock
from filterd.demo.keys import DemoKeys
from tests.browser.site import ANN, NUMBER, Site, a_site, tab
from tests.hostile.xss import HostileMail, messages

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(1800)]

COUNT = int(os.environ.get("XSS_MESSAGES", "100"))
SEED = 7


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon that holds everything, and hostile messages in it, half of them as SMS."""
    with a_site(tmp_path_factory.mktemp("hostile"), "[policy]\nquarantine_at = 0.0\n") as site:
        keys = DemoKeys.generate()
        for message in messages(COUNT, SEED):
            _send_mail(site, message)
            _send_text(site, keys, message)
        yield site


def _send_mail(site: Site, message: HostileMail) -> None:
    """As the sender it has, or where no command can say that, as another."""
    raw = re.sub(rb"\r\n|\r|\n", b"\r\n", message.raw)
    try:
        site.send(raw, (ANN,), message.sender)
    except (smtplib.SMTPException, UnicodeEncodeError, ValueError):
        site.send(raw, (ANN,), f"eve{message.number}@spam.example")


def _send_text(site: Site, keys: DemoKeys, message: HostileMail) -> None:
    url, headers, body = keys.sign(
        "generic",
        site.origin,
        f"xss{message.number}",
        sender=message.sms_sender,
        recipient=NUMBER,
        text=message.sms_text,
        clock=SystemClock(),
    )
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers, method="POST"), timeout=30)


def test_d7_no_script_of_a_message_runs_and_no_request_leaves(hostile: Site, browser: Browser) -> None:
    with tab(browser) as context:
        root = hostile.sign_in(context, "root")
        page, seen = root.page, 0
        for path in ("/quarantine", "/history"):
            ids = _links(page, hostile, path)
            assert len(ids) >= COUNT
            for id in ids:
                page.goto(f"{hostile.origin}{path}/{id}?preview")
                _check(page)
                seen += 1
        for path in ("/", "/campaigns", "/quarantine?q=%3Cscript%3Ealert(1)%3C/script%3E"):
            page.goto(hostile.origin + path)
            _check(page)
        assert not root.faults
        assert seen >= 2 * COUNT


def test_d10_whatever_follows_links_changes_nothing(hostile: Site, browser: Browser) -> None:
    """A scanner that opens every link and every form's address by GET, signed in."""
    before = hostile.call("verdicts", "--json", "--limit", "3")
    delivered = hostile.count_delivered()
    with tab(browser) as context:
        root = hostile.sign_in(context, "root")
        page, known = root.page, set[str]()
        waiting = ["/", "/quarantine", "/history", "/campaigns", "/rules", "/account"]
        deadline = time.monotonic() + 60
        while waiting and len(known) < 60 and time.monotonic() < deadline:
            path = waiting.pop(0)
            if path in known:
                continue
            known.add(path)
            with contextlib.suppress(Error):
                # A download is no page.
                page.goto(hostile.origin + path)
            found = page.evaluate(
                "[...document.querySelectorAll('a[href], form[action]')].map(e => e.getAttribute('href')"
                " || e.getAttribute('action')).filter(h => h.startsWith('/'))"
            )
            waiting += [link for link in dict.fromkeys(found) if link not in known]
        held = len(_links(page, hostile, "/quarantine"))
    assert held >= COUNT
    assert hostile.count_delivered() == delivered
    assert hostile.call("verdicts", "--json", "--limit", "3") == before
    assert not hostile.call("rules", "list").splitlines()[1:]


def _links(page: Page, site: Site, path: str) -> list[str]:
    """Ids of the messages of a list, all its pages."""
    ids: list[str] = []
    page.goto(site.origin + path)
    while True:
        _check(page)
        ids += re.findall(rf'href="{path}/([0-9a-f]{{32}})"', page.content())
        older = page.locator("a[rel=next]")
        if not older.count():
            return ids
        older.click()
        page.wait_for_load_state()


def _check(page: Page) -> None:
    """Nothing has run in the page or a frame of it."""
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    for frame in page.frames:
        try:
            is_clean = frame.evaluate("window.__pwned === undefined")
        except Error:
            # It went away meanwhile, or is sandboxed against us, too.
            continue
        assert is_clean, page.url
