"""``filterd calibrate``: fit what a bundle's number means at this site to the labels that people gave here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import Channel
from filterd.errors import NotFound, UsageError

if TYPE_CHECKING:
    from filterd.core.bundle import BundleSpec
    from filterd.core.site_calibration import Fit
    from filterd.settings import Config
    from filterd.store.sql import SqlStore

SHARE_OF = 2_000
"""Latest messages whose mean probability is the share of spam."""


def run(
    channel: Annotated[Channel, typer.Argument(help="What kind of messages.")] = Channel.EMAIL,
    is_undo: Annotated[bool, typer.Option("--undo", help="Take this site's calibration of the model back.")] = False,
    is_rehearsal: Annotated[bool, typer.Option("--dry-run", help="Only say what it would change.")] = False,
    config: ConfigOption = None,
) -> None:
    """Fit scale and bias of the model in service to this site's labels (20 or more); applied within two seconds."""
    from filterd.commands import context

    if is_undo:
        model = context.with_store(config, lambda store, config: _undo(store, config, channel))
        typer.echo(f"{model}: as it was trained")
        return
    spec, fit, is_applied = context.with_store(config, lambda store, config: _fit(store, config, channel, is_rehearsal))
    calibration = fit.calibration
    typer.echo(f"{spec.id}: {fit.labels} labels, {fit.spam} of them spam")
    typer.echo(f"scale {calibration.scale:.3f}, bias {calibration.bias:+.3f} behind the model's own")
    rows = [(name, f"{f.log_loss:.4f}", f"{f.ece:.4f}") for name, f in (("before", fit.before), ("after", fit.after))]
    context.show_table(("cross-validated", "log loss", "calibration error"), rows)
    if not fit.is_better:
        raise UsageError("not applied: labels it was not fitted to are not predicted better")
    typer.echo("applied" if is_applied else "would be applied")


def _serving(config: Config, channel: Channel) -> BundleSpec:
    """What the bundle in service says of itself. Raises BundleError."""
    from filterd import model_files
    from filterd.inference.registry import read_spec

    return read_spec(model_files.serving(config)[channel])


async def _undo(store: SqlStore, config: Config, channel: Channel) -> str:
    from filterd.commands import context

    model = _serving(config, channel).id
    if not await store.quality.drop_calibration(channel, model, context.user_name()):
        raise NotFound(f"this site has no calibration of {model}")
    return model


async def _fit(store: SqlStore, config: Config, channel: Channel, is_rehearsal: bool) -> tuple[BundleSpec, Fit, bool]:
    from filterd.clock import SystemClock
    from filterd.commands import context
    from filterd.core.site_calibration import MOST, fit_site
    from filterd.quality_ports import SiteCalibration

    spec = _serving(config, channel)
    labels = await store.quality.labelled_logits(channel, spec.id, most=2 * MOST)
    share = await store.quality.spam_share(channel, spec.id, most=SHARE_OF)
    fit = fit_site(labels, spec.calibration, 0.5 if share is None else share)
    is_applied = fit.is_better and not is_rehearsal
    if is_applied:
        site = SiteCalibration(
            channel=channel,
            model=spec.id,
            calibration=fit.calibration,
            labels=fit.labels,
            set_at=SystemClock().now(),
            set_by=context.user_name(),
        )
        await store.quality.set_calibration(site)
    return spec, fit, is_applied
