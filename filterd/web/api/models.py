"""Models: listed, shown, promoted, rolled back and tried."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from filterd.core.bundle_report import BundleReport
from filterd.core.envelope import Channel
from filterd.inference.shelf import Shelf, Standing, Version, papers_of
from filterd.model_ports import Trial
from filterd.promotion import Change
from filterd.web.api.document import problems
from filterd.web.api.parts import MAX_PAGE, AdminToken, Body, parts_of
from filterd.web.model_parts import ModelParts, carried_out


class VersionOut(BaseModel):
    """A bundle."""

    id: str
    standings: tuple[Standing, ...]
    created_at: str
    """Empty where the bundle cannot be read."""
    points: dict[str, float]
    """Operating point -> probability at which it starts to act."""
    trouble: str


class TrialOut(BaseModel):
    """What is on trial."""

    id: str
    share: float
    decides: bool


class ShelfOut(BaseModel):
    """The bundles of one channel, the newest first."""

    channel: Channel
    serving: str
    """The bundle that the worker which answers serves; empty where none does."""
    previous: str
    """What a roll back leads to; empty where nothing served before."""
    pinned: bool
    """The configuration names the bundle, whatever is promoted."""
    trial: TrialOut | None
    versions: tuple[VersionOut, ...]
    trouble: str


class ModelsOut(BaseModel):
    """Both channels."""

    channels: tuple[ShelfOut, ...]


class CorpusOut(BaseModel):
    """How a bundle did on one corpus."""

    corpus: str
    ham: int
    spam: int
    ham_lost: dict[str, int]
    spam_caught: dict[str, int]


class GateOut(BaseModel):
    """What one rule of the gate said."""

    rule: str
    result: str
    figures: str
    refuses: bool


class VersionDetailOut(VersionOut):
    """A bundle with what it says about itself."""

    card: str
    """Markdown."""
    corpora: tuple[CorpusOut, ...]
    gate: tuple[GateOut, ...]


class DisagreementOut(BaseModel):
    """A message that the candidate would have treated otherwise; its label helps to decide between them."""

    model_config = ConfigDict(from_attributes=True)
    message: str
    candidate: str
    candidate_probability: float
    incumbent: str
    incumbent_probability: float
    seen_at: datetime


class DisagreementsOut(BaseModel):
    """What the trial found, the latest first; empty where nothing is on trial."""

    disagreements: tuple[DisagreementOut, ...]


class PromoteIn(Body):
    """Which bundle to put into service."""

    id: str
    instead_of: str = ""
    """Refuse, unless this one is in service."""


class RollBackIn(Body):
    """How to roll back."""

    to: str = ""
    """Refuse, unless this is the one that served before."""


class TrialIn(Body):
    """What to try on live messages."""

    id: str
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of the recipients."""
    decides: bool = False
    """Let it decide for them; else it scores beside the one in service."""


class ChangedOut(BaseModel):
    """What was changed."""

    id: str
    audited: bool
    """Whether it could be written to the audit trail."""


def model_routes() -> APIRouter:
    """What is under /models."""
    router = APIRouter()
    router.add_api_route("/models", list_models, methods=["GET"])
    absent, errors = problems(404), problems(404, 409)
    router.add_api_route("/models/{channel}/{id}", show_model, methods=["GET"], responses=absent)
    router.add_api_route("/models/{channel}/promote", promote, methods=["POST"], responses=errors)
    router.add_api_route("/models/{channel}/rollback", roll_back, methods=["POST"], responses=errors)
    router.add_api_route("/models/{channel}/trial", begin_trial, methods=["POST"], responses=errors)
    router.add_api_route("/models/{channel}/trial", end_trial, methods=["DELETE"], responses=errors)
    router.add_api_route("/models/{channel}/trial/disagreements", list_disagreements, methods=["GET"])
    return router


async def list_models(request: Request, token: AdminToken) -> ModelsOut:  # noqa: ARG001  # checked on the way in
    """The bundles of each channel."""
    models = parts_of(request).models
    return ModelsOut(channels=tuple([_shelf(models, await models.shelf(channel)) for channel in Channel]))


async def show_model(
    request: Request,
    channel: Channel,
    id: str,
    token: AdminToken,  # noqa: ARG001  # checked on the way in
) -> VersionDetailOut:
    """A bundle: its operating points, figures, card, and what the gate said."""
    version = (await parts_of(request).models.shelf(channel)).find(id)
    papers = await asyncio.to_thread(papers_of, version)
    trouble = "; ".join(filter(None, (version.trouble, papers.trouble)))
    shown = _version(version).model_dump() | {"trouble": trouble}
    return VersionDetailOut(**shown, card=papers.card, corpora=_corpora(papers.report), gate=_gate(papers.report))


async def promote(request: Request, channel: Channel, body: PromoteIn, token: AdminToken) -> ChangedOut:
    """Put a bundle into service; running daemons take it within two seconds."""
    promoter = parts_of(request).models.promoter
    return _changed(await carried_out(promoter.promote(channel, body.id, token.name, instead_of=body.instead_of)))


async def roll_back(
    request: Request, channel: Channel, token: AdminToken, body: RollBackIn | None = None
) -> ChangedOut:
    """Put the bundle that served before into service."""
    to = body.to if body else ""
    return _changed(await carried_out(parts_of(request).models.promoter.roll_back(channel, token.name, to=to)))


async def begin_trial(request: Request, channel: Channel, body: TrialIn, token: AdminToken) -> ChangedOut:
    """Try a bundle on live messages, in the place of what is on trial."""
    trial = Trial(id=body.id, share=body.share, decides=body.decides)
    return _changed(await carried_out(parts_of(request).models.promoter.try_out(channel, trial, token.name)))


async def end_trial(request: Request, channel: Channel, token: AdminToken) -> ChangedOut:
    """Try nothing any more; the id is empty where nothing was tried."""
    return _changed(await carried_out(parts_of(request).models.promoter.end_trial(channel, token.name)))


async def list_disagreements(
    request: Request,
    channel: Channel,
    token: AdminToken,  # noqa: ARG001  # checked on the way in
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> DisagreementsOut:
    """Messages that the bundle on trial would have treated otherwise; label them with ``POST /feedback``."""
    models = parts_of(request).models
    found = await models.disagreements(await models.shelf(channel), limit)
    return DisagreementsOut(disagreements=tuple(map(DisagreementOut.model_validate, found)))


def _changed(change: Change) -> ChangedOut:
    return ChangedOut(id=change.id, audited=not change.unaudited)


def _shelf(models: ModelParts, shelf: Shelf) -> ShelfOut:
    trial = shelf.trial
    return ShelfOut(
        channel=shelf.channel,
        serving=models.serving().get(shelf.channel, ""),
        previous=shelf.previous,
        pinned=shelf.is_pinned,
        trial=None if trial is None else TrialOut(id=trial.id, share=trial.share, decides=trial.decides),
        versions=tuple(map(_version, shelf.versions)),
        trouble=shelf.trouble,
    )


def _version(version: Version) -> VersionOut:
    spec = version.spec
    return VersionOut(
        id=version.id,
        standings=tuple(sorted(version.standings)),
        created_at=spec.created_at if spec else "",
        points=dict(spec.points) if spec else {},
        trouble=version.trouble,
    )


def _corpora(report: BundleReport) -> tuple[CorpusOut, ...]:
    return tuple(
        CorpusOut(
            corpus=each.corpus,
            ham=each.ham,
            spam=each.spam,
            ham_lost=dict(each.ham_lost),
            spam_caught=dict(each.spam_caught),
        )
        for each in report.corpora
    )


def _gate(report: BundleReport) -> tuple[GateOut, ...]:
    return tuple(
        GateOut(rule=each.rule, result=each.result, figures=each.figures, refuses=each.refuses) for each in report.gate
    )
