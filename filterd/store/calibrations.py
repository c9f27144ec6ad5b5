"""A site's calibrations, and the labels they are fitted to."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select

from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel, MessageId
from filterd.core.site_calibration import LabelledLogit
from filterd.core.verdict import Label
from filterd.quality_ports import SiteCalibration
from filterd.store.quarantine import audit
from filterd.store.schema import CalibrationRecord, FeedbackRecord, VerdictRecord
from filterd.store.tallies import WAS_SENT
from filterd.store.upsert import upsert


def listed(connection: Connection) -> Sequence[SiteCalibration]:
    """Every calibration."""
    query = select(CalibrationRecord).order_by(CalibrationRecord.channel, CalibrationRecord.model)
    return tuple(
        SiteCalibration(
            channel=Channel(row.channel),
            model=row.model,
            calibration=Calibration(scale=row.scale, bias=row.bias),
            labels=row.labels,
            set_at=row.set_at,
            set_by=row.set_by,
        )
        for row in connection.execute(query)
    )


def put(connection: Connection, new: SiteCalibration) -> None:
    """Store it, and in the audit trail what it is."""
    values = {
        "channel": new.channel.value,
        "model": new.model,
        "scale": new.calibration.scale,
        "bias": new.calibration.bias,
        "labels": new.labels,
        "set_at": new.set_at,
        "set_by": new.set_by,
    }
    statement = upsert(connection.dialect.name, CalibrationRecord.__table__)
    replaced = {name: statement.excluded[name] for name in ("scale", "bias", "labels", "set_at", "set_by")}
    keys = ["channel", "model"]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=replaced), [values])
    note = json.dumps({"scale": new.calibration.scale, "bias": new.calibration.bias, "labels": new.labels})
    audit(connection, new.set_at, new.set_by, "calibrated", new.model, note)


def drop(connection: Connection, channel: Channel, model: str) -> bool:
    """Whether there was one."""
    meant = (CalibrationRecord.channel == channel.value, CalibrationRecord.model == model)
    return connection.execute(delete(CalibrationRecord).where(*meant)).rowcount > 0


def labelled(connection: Connection, channel: Channel, model: str, most: int) -> Sequence[LabelledLogit]:
    """Standing labels on messages of this bundle, the newest first."""
    query = (
        select(
            FeedbackRecord.message_id,
            FeedbackRecord.label,
            func.min(VerdictRecord.logit).label("logit"),
            func.min(VerdictRecord.fingerprint).label("fingerprint"),
        )
        .join(VerdictRecord, VerdictRecord.id == FeedbackRecord.message_id)
        .where(FeedbackRecord.revoked_at.is_(None), FeedbackRecord.channel == channel.value)
        .where(VerdictRecord.model == model, VerdictRecord.logit.is_not(None))
        # A message for several groups of recipients has several verdicts, and one logit.
        .group_by(FeedbackRecord.id, FeedbackRecord.message_id, FeedbackRecord.label)
        .order_by(FeedbackRecord.id.desc())
        .limit(most)
    )
    return tuple(
        LabelledLogit(
            message=MessageId(row.message_id), label=Label(row.label), logit=row.logit, fingerprint=row.fingerprint
        )
        for row in connection.execute(query)
    )


def spam_share(connection: Connection, channel: Channel, model: str, most: int) -> float | None:
    """Mean probability of the latest messages: ids sort by time."""
    latest = (
        select(VerdictRecord.channel, VerdictRecord.model, VerdictRecord.probability)
        .where(WAS_SENT)
        .order_by(VerdictRecord.id.desc())
        .limit(most)
        .subquery()
    )
    meant = (latest.c.channel == channel.value, latest.c.model == model)
    share: float | None = connection.scalar(select(func.avg(latest.c.probability)).where(*meant))
    return share
