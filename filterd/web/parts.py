"""What the pages work on."""

from __future__ import annotations

from dataclasses import dataclass

from filterd.account_ports import Accounts, TokenStore
from filterd.actions import Actions
from filterd.core.networks import Networks
from filterd.feedback_ports import Examples, FeedbackLedger
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import Clock, Quarantine
from filterd.release import Releaser
from filterd.review_ports import Bin, MailReader, Review
from filterd.rule_desk import RuleDesk
from filterd.rule_ports import RuleBook
from filterd.ticket_desk import TicketDesk
from filterd.undoing import Undoing
from filterd.web.figures import FigureParts
from filterd.web.model_parts import ModelParts
from filterd.web.oidc import OpenIdProvider
from filterd.web.passwords import Passwords
from filterd.web.render import Renderer
from filterd.web.sign_in import SignIn
from filterd.web_settings import WebSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """What the pages work on."""

    settings: WebSettings
    proxies: Networks
    """Reverse proxies that say who their client is."""
    renderer: Renderer
    sign_in: SignIn
    provider: OpenIdProvider | None = None
    """Where people may sign in instead; None where that is not set."""
    passwords: Passwords
    accounts: Accounts
    tokens: TokenStore
    quarantine: Quarantine
    review: Review
    reader: MailReader
    examples: Examples
    rules: RuleBook
    rule_desk: RuleDesk
    actions: Actions
    bin: Bin
    undoing: Undoing
    ledger: FeedbackLedger
    models: ModelParts
    figures: FigureParts
    releaser: Releaser
    tickets: TicketDesk
    clock: Clock
    metrics: Metrics
    events: Events

    @property
    def is_https(self) -> bool:
        """Whether people come by HTTPS."""
        return self.settings.public_url.startswith("https:")

    @property
    def cookie_name(self) -> str:
        """A name with this prefix only a page of this very host can set, by HTTPS (RFC 6265bis section 4.1.3)."""
        return "__Host-filterd" if self.is_https else "filterd"
