"""``filterd explain``: why a message got its verdict, and whether the number comes out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import MessageId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from filterd.feedback_ports import KeptInput, Similar
    from filterd.ports import VerdictRow
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

TOLERANCE = 1e-3
"""Largest difference of a logit that comes out again, log-odds: another processor rounds otherwise."""


def run(
    message: Annotated[str, typer.Argument(metavar="ID", help="Id of the message: 32 hex digits.")],
    config: ConfigOption = None,
) -> None:
    """Print what a verdict rests on: threshold, words, labels, lists, facts and the reported messages it resembles."""
    from filterd.commands import context

    async def work(
        store: SqlStore, settings: Config
    ) -> tuple[Config, Sequence[VerdictRow], KeptInput | None, list[Sequence[Similar]]]:
        rows = await store.verdicts(MessageId(message))
        similar = [await store.similar(row.channel, row.fingerprint) for row in rows]
        return settings, rows, await store.kept_input(rows[0].id), similar

    settings, rows, kept, similar = context.with_store(config, work)
    for row, alike in zip(rows, similar, strict=True):
        for line in (*_decision(row), *_words(row), *_alike(alike), *_read(row, kept, settings)):
            typer.echo(context.visible(line))


def _decision(row: VerdictRow) -> list[str]:
    to = ", ".join(row.recipients)
    lines = [f"{row.id}  {row.received_at:%Y-%m-%d %H:%M:%S}  {row.channel}  {row.sender or '<>'} -> {to}"]
    detail = f" ({row.detail})" if row.detail else ""
    lines.append(f"  {row.action}, because {row.reason}{detail}; {row.outcome}, {row.reply_code}")
    if row.probability is not None:
        against = "no threshold" if row.threshold is None else f"threshold {row.threshold:.4f}"
        lines.append(f"  probability {row.probability:.4f} against {against}")
    lines.append(f"  model {row.model or '-'}, policy {row.policy or '-'}")
    if row.reports:
        lines.append(f"  decided by reports {', '.join(map(str, row.reports))}")
    if row.signals:
        lines.append(f"  signals: {', '.join(row.signals)}")
    return lines


def _words(row: VerdictRow) -> list[str]:
    from filterd.core.explanation import take_apart

    if row.logit is None:
        return []
    sums = take_apart(row.logit, row.correction, row.evidence)
    lines = [f"  {part.weight:+8.4f}  {part.token}" for part in sums.parts]
    return [*lines, f"  {sums.total:+8.4f}  log-odds"]


def _alike(similar: Sequence[Similar]) -> list[str]:
    return [
        f"  like {found.message}, reported as {found.report.label} by {found.report.reporter} on "
        f"{found.report.given_at:%Y-%m-%d} ({found.distance} of 256 bits differ)"
        for found in similar
    ]


def _read(row: VerdictRow, kept: KeptInput | None, config: Config) -> list[str]:
    """The side features, and whether the bundle gives the same number again."""
    from filterd import model_files
    from filterd.core.explanation import side_features
    from filterd.core.token_codec import hashing_key, unpack
    from filterd.errors import BundleError
    from filterd.inference.loaded import LoadedModel
    from filterd.inference.registry import read_bundle, read_spec

    if row.logit is None:
        return []
    if kept is None:
        return ["  what the model read is not kept: the number cannot be reproduced"]
    registry = model_files.registry_of(config)
    folders = {id: registry.folder(row.channel, id) for id in registry.list(row.channel)}
    try:
        serving = model_files.serving(config)[row.channel]
        folders.setdefault(read_spec(serving).id, serving)
        if row.model not in folders:
            return [f"  model {row.model} is not here: the number cannot be reproduced"]
        model = LoadedModel(read_bundle(folders[row.model]))
    except BundleError as exc:
        return [f"  {exc.detail}"]
    if hashing_key(model.spec.hashing) != kept.hashing:
        return ["  the message was read in another way than this model reads"]
    facts = ", ".join(f"{name} {value:g}" for name, value in side_features(kept.tokens, model.spec.hashing))
    again = model.score(unpack(kept.tokens, model.spec.hashing))
    is_same = abs(again - row.logit) <= TOLERANCE
    told = "reproduced" if is_same else f"NOT reproduced: {again:+.4f} now"
    return [f"  facts: {facts or 'none'}", f"  logit {row.logit:+.4f} {told}"]
