"""The figures of the overview, for everybody's mail."""

from __future__ import annotations

import math
from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from filterd.core.access import EVERYBODY
from filterd.core.envelope import Channel
from filterd.core.quality import Estimate
from filterd.core.verdict import Action
from filterd.quality import ChannelQuality, ModelQuality
from filterd.review_ports import HeldQuery
from filterd.web.api.parts import QuarantineToken, parts_of


class HourOut(BaseModel):
    """Verdicts of one hour that were alike."""

    model_config = ConfigDict(from_attributes=True)

    hour: datetime
    channel: Channel
    action: Action
    count: int


class EstimateOut(BaseModel):
    """A share with the bounds it lies in, [0, 1]."""

    low: float
    estimate: float | None
    """Null where nothing is known."""
    high: float


class ModelOut(BaseModel):
    """The bundle in service; null stands for what is not known."""

    id: str
    age_seconds: float | None
    calibration_error: float | None
    drift: dict[str, float | None]


class ChannelOut(BaseModel):
    """How well the filter does in one channel."""

    ham_loss: EstimateOut
    spam_catch: EstimateOut
    audits: dict[str, int]
    label_age_seconds: float | None
    model: ModelOut | None


class StatsOut(BaseModel):
    """What came in, what became of it, and how well the filter does."""

    hours: tuple[HourOut, ...]
    """Of seven days, the oldest first."""
    held: int
    """Messages in the quarantine, up to 1,000."""
    quality: dict[Channel, ChannelOut]
    hours_missing: int
    """Hours that the estimates still have to count."""
    health: dict[str, bool]
    """Of the worker that answers."""


def stats_routes() -> APIRouter:
    """What is under /stats."""
    router = APIRouter()
    router.add_api_route("/stats", show_stats, methods=["GET"])
    return router


async def show_stats(request: Request, token: QuarantineToken) -> StatsOut:  # noqa: ARG001  # checked on the way in
    """Traffic of seven days by the hour, the quarantine, estimates with bounds, drift, models and health."""
    parts = parts_of(request)
    figures = parts.figures
    report = await figures.estimates.latest()
    return StatsOut(
        hours=tuple(HourOut.model_validate(count) for count in await figures.traffic.week(EVERYBODY)),
        held=await parts.review.count_held(HeldQuery()),
        quality={channel: _quality(found) for channel, found in report.channels.items()},
        hours_missing=report.hours_missing,
        health={name: is_up() for name, is_up in figures.probes.items()},
    )


def _quality(found: ChannelQuality) -> ChannelOut:
    return ChannelOut(
        ham_loss=_estimate(found.ham_loss),
        spam_catch=_estimate(found.spam_catch),
        audits=dict(found.audits),
        label_age_seconds=_known(found.label_age_seconds),
        model=_model(found.model) if found.model else None,
    )


def _model(model: ModelQuality) -> ModelOut:
    return ModelOut(
        id=model.id,
        age_seconds=_known(model.age_seconds),
        calibration_error=_known(model.calibration_error),
        drift={of: _known(value) for of, value in model.drift.items()},
    )


def _estimate(value: Estimate) -> EstimateOut:
    return EstimateOut(low=value.low, estimate=_known(value.estimate), high=value.high)


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
