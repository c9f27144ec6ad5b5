"""The real daemon with mail in it, and people who open its pages in a real browser."""

from __future__ import annotations

import contextlib
import shutil
import smtplib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request

from filterd.clock import SystemClock
from filterd.demo.embedded import Ports, command, daemon, write_config
from filterd.demo.keys import GENERIC_SECRET
from filterd.demo.messages import MAILS, as_email
from filterd.demo.sink import MailSink, on_a_thread

PATIENCE_MS = 30_000
ANN, BOB = "ann@inbox.example", "bob@other.example"
NUMBER = "+15550199000"
PEOPLE: Mapping[str, tuple[str, ...]] = {
    "root": ("--role", "administrator"),
    "mod": ("--role", "moderator", "--domain", "inbox.example"),
    ANN: ("--address", ANN, "--address", NUMBER),
    BOB: (),
    "audit": ("--role", "auditor"),
}
"""Name of an account -> how it is made."""


@dataclass(kw_only=True)
class Watched:
    """A page, and everything it did that it must not do."""

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note scripts that run or fail, and requests that leave the origin."""
        self.page.on("request", self._request)
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.faults.append(f"script failed: {error}"))
        self.page.on("popup", lambda page: self.faults.append(f"window opened: {page.url}"))

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "about:")):
            self.faults.append(f"request left: {request.url}")

    def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@dataclass(slots=True, kw_only=True)
class Site:
    """A running daemon and its people."""

    folder: Path
    ports: Ports
    config: Path
    delivered: Path
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Where the pages are."""
        return f"http://127.0.0.1:{self.ports.http}"

    def send(self, raw: bytes, recipients: tuple[str, ...] = (ANN,), sender: str = "office@letters.example") -> None:
        """One mail."""
        with smtplib.SMTP("127.0.0.1", self.ports.smtp, local_hostname="client.example", timeout=60) as client:
            client.sendmail(sender, list(recipients), raw)

    def call(self, *arguments: str) -> str:
        """A command about this daemon."""
        return command(self.config, *arguments)

    def count_delivered(self) -> int:
        """Mails at the next hop."""
        return len(list(self.delivered.glob("*.eml")))

    def sign_in(self, context: BrowserContext, name: str) -> Watched:
        """A page of somebody who has signed in with the form."""
        watched = Watched(page=context.new_page(), origin=self.origin)
        watched.watch()
        page = watched.page
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{self.origin}/sign-in")
        page.fill("#name", name)
        page.fill("#password", self.passwords[name])
        page.click("button.primary")
        page.wait_for_url(f"{self.origin}/")
        return watched


def chromium() -> str | None:
    """Debian's browser: the one of the machine, or the one that ``tests/servers/fetch.sh`` unpacked."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def a_site(folder: Path, extra: str = "") -> Iterator[Site]:
    """The daemon with its own models in front of a sink."""
    ports, config = Ports.free(), folder / "filterd.toml"
    extra = f'[sms.generic]\nsecret = "{GENERIC_SECRET}"\n{extra}'
    with on_a_thread(MailSink(folder / "delivered")) as next_hop:
        write_config(config, ports, state=folder / "state", next_hop=next_hop, extra=extra, workers=1)
        site = Site(folder=folder, ports=ports, config=config, delivered=folder / "delivered")
        for name, options in PEOPLE.items():
            site.passwords[name] = site.call("account", "add", name, *options).strip()
        with daemon(config, ports, folder / "filterd.log"):
            yield site


def fill(site: Site) -> None:
    """The messages of the demo, to Ann and to Bob and one to both."""
    for serial, sample in enumerate(MAILS, 1):
        to = ((ANN,), (BOB,), (ANN, BOB))[serial % 3]
        site.send(as_email(sample, to[0], serial, SystemClock()), to, sample.sender)
    time.sleep(1.0)


@contextlib.contextmanager
def tab(
    browser: Browser, *, is_phone: bool = False, is_dark: bool = False, has_scripts: bool = True, zone: str = "UTC"
) -> Iterator[BrowserContext]:
    """A browser of its own."""
    size = {"width": 375, "height": 740} if is_phone else {"width": 1280, "height": 900}
    context = browser.new_context(
        viewport=size,  # type: ignore[arg-type]  # a dictionary of that form
        color_scheme="dark" if is_dark else "light",
        java_script_enabled=has_scripts,
        locale="en-GB",
        timezone_id=zone,
    )
    try:
        yield context
    finally:
        context.close()
