"""One worker's calibrations follow the store at the pace of the ledger."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry

from filterd.calibration_keeper import CalibrationKeeper
from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel
from filterd.core.influence import Caps
from filterd.fuzzy.campaigns import credits_of
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.inference.site_calibration import SiteCalibrations
from filterd.metrics import Metrics
from filterd.quality_ports import SiteCalibration
from filterd.report_keeper import ReportKeeper
from filterd.testing import FixedClock, MemoryStore

OWN = Calibration(scale=1.5, bias=-0.5)


async def test_calibration_is_applied_and_taken_back_at_the_next_reading_of_the_ledger() -> None:
    clock, registry = FixedClock(), CollectorRegistry()
    store, metrics, site = MemoryStore(clock), Metrics(registry), SiteCalibrations(SiteWeights())
    keeper = ReportKeeper(
        ReportedMemory(),
        store,
        weigh=partial(credits_of, caps=Caps()),
        polled=[CalibrationKeeper(site, store.quality, models=lambda: {Channel.EMAIL: "m1"}, metrics=metrics)],
        clock=clock,
        metrics=metrics,
        days=0,
        most=10,
    )
    shown = partial(registry.get_sample_value, "filterd_site_calibrated", {"channel": "email"})

    new = SiteCalibration(
        channel=Channel.EMAIL, model="m1", calibration=OWN, labels=20, set_at=clock.now(), set_by="root"
    )
    await store.quality.set_calibration(new)
    await keeper.refresh()
    assert dict(site.models) == {(Channel.EMAIL, "m1"): OWN}
    assert shown() == 1

    await store.quality.drop_calibration(Channel.EMAIL, "m1", "root")
    await keeper.refresh()
    assert not site.models
    assert shown() == 0
