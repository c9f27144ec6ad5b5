"""Puts the API and the pages together; loaded when they are needed, as they are a third of a worker's start."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from filterd import state
from filterd.actions import Actions
from filterd.checking import Checking, Judge
from filterd.clock import SystemClock
from filterd.core.networks import Networks
from filterd.digest_keeper import DigestKeeper
from filterd.http_server import AsgiApp
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.model_files import registry_of
from filterd.ports import Relay
from filterd.release import Releaser
from filterd.review_ports import MailReader
from filterd.rule_desk import RuleDesk
from filterd.rule_ports import RuleOrigin
from filterd.settings import Config
from filterd.store.sql import SqlStore
from filterd.ticket_desk import TicketDesk
from filterd.undoing import Undoing
from filterd.web.api.parts import ApiParts
from filterd.web.app import build_app
from filterd.web.digest_mail import DigestMails
from filterd.web.figures import FigureParts
from filterd.web.model_parts import ModelParts
from filterd.web.oidc import OpenIdProvider
from filterd.web.parts import WebParts
from filterd.web.passwords import Passwords
from filterd.web.render import Renderer
from filterd.web.sign_in import SignIn


def web_app(
    config: Config,
    store: SqlStore,
    releaser: Releaser,
    reader: MailReader,
    judge: Judge,
    models: ModelParts,
    figures: FigureParts,
    metrics: Metrics,
    events: Events,
    routes: Sequence[BaseRoute],
) -> AsgiApp:
    """The application, with ``routes`` beside it. Raises ConfigError."""
    desk = RuleDesk(store.rules, origin=RuleOrigin.API, clock=SystemClock(), events=events)
    api = ApiParts(
        quarantine=store,
        ledger=store,
        examples=store,
        tokens=store,
        accounts=store.accounts,
        passwords=Passwords(),
        reader=reader,
        questions=store.quality,
        rules=store.rules,
        undoing=Undoing(store.deeds, lambda: registry_of(config), events=events),
        models=models,
        figures=figures,
        review=store.review,
        bin=store.bin,
        actions=_actions(store, desk, releaser, metrics, events),
        checking=Checking(judge, clock=SystemClock(), most_bytes=config.smtp.max_message_bytes),
        releaser=releaser,
        clock=SystemClock(),
        metrics=metrics,
        events=events,
    )
    if not config.web.enabled:
        return build_app(api, None, routes)
    return build_app(api, _pages(config, store, api), routes)


def _pages(config: Config, store: SqlStore, api: ApiParts) -> WebParts:
    """What the pages work on: what the API does, and more."""
    passwords, accounts = api.passwords, store.accounts
    desk = RuleDesk(store.rules, origin=RuleOrigin.WEB, clock=api.clock, events=api.events)
    actions = _actions(store, desk, api.releaser, api.metrics, api.events)
    return WebParts(
        settings=config.web,
        proxies=Networks(config.web.proxy_networks),
        renderer=Renderer(),
        sign_in=_sign_in(config, store, passwords),
        provider=_provider(config),
        passwords=passwords,
        accounts=accounts,
        tokens=store,
        quarantine=store,
        review=store.review,
        reader=api.reader,
        examples=store,
        rules=store.rules,
        rule_desk=desk,
        actions=actions,
        bin=store.bin,
        undoing=api.undoing,
        ledger=store,
        models=api.models,
        figures=api.figures,
        releaser=api.releaser,
        tickets=TicketDesk(store.digests, accounts, store, actions, clock=api.clock, events=api.events),
        clock=api.clock,
        metrics=api.metrics,
        events=api.events,
    )


def _sign_in(config: Config, store: SqlStore, passwords: Passwords) -> SignIn:
    return SignIn(store.accounts, passwords=passwords, clock=SystemClock(), key=state.secret_of(config))


def _actions(store: SqlStore, rules: RuleDesk, releaser: Releaser, metrics: Metrics, events: Events) -> Actions:
    return Actions(
        quarantine=store,
        review=store.review,
        ledger=store,
        rules=rules,
        releaser=releaser,
        clock=SystemClock(),
        metrics=metrics,
        events=events,
    )


def _provider(config: Config) -> OpenIdProvider | None:
    if not config.web.oidc.issuer:
        return None
    return OpenIdProvider(config.web.oidc, f"{config.web.public_url}/sign-in/callback", SystemClock())


def digest_keeper(
    config: Config, store: SqlStore, relay: Relay, hostname: str, metrics: Metrics, events: Events
) -> DigestKeeper:
    """What sends digests. Raises ConfigError."""
    return DigestKeeper(
        accounts=store.accounts,
        digests=store.digests,
        tickets=store.digests,
        review=store.review,
        relay=relay,
        compose=DigestMails(config.web, Renderer(), hostname=hostname, key=state.secret_of(config)),
        settings=config.web.digest,
        clock=SystemClock(),
        metrics=metrics,
        events=events,
    )
