import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from filterd.core.bundle import MODEL_FILE
from filterd.core.envelope import Channel, MessageId
from filterd.core.mail_view import MailView
from filterd.core.report_mail import ReportMail
from filterd.errors import BundleError, Overloaded, ScanDown, Unscannable
from filterd.log import AddressMask, Events, get_logger
from filterd.metrics import Metrics
from filterd.scan.pool import PoolSettings, ScannerPool
from filterd.testing import an_envelope
from tests.filterd.tiny_bundle import HAM_MAIL, SPAM_MAIL, SPAM_SMS, write_bundle

pytestmark = pytest.mark.slow  # scanner processes with the shipped graphs

HOSTILE = "tests.filterd.scan.hostile_worker"
MAIL = b"From: a@example.org\r\n\r\n%s\r\n"


@dataclass
class Bench:
    """Bundles on disk, and pools over them."""

    folders: dict[Channel, Path]
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def pool(
        self,
        locate: Callable[[], Mapping[Channel, Path]] | None = None,
        scanners: int = 1,
        queue_per_scanner: int = 16,
        timeout_seconds: float = 20.0,
        memory_bytes: int = 200 << 20,
    ) -> ScannerPool:
        self.registry = CollectorRegistry()
        return ScannerPool(
            locate=locate or (lambda: self.folders),
            settings=PoolSettings(
                module=HOSTILE,
                scanners=scanners,
                queue_per_scanner=queue_per_scanner,
                timeout_seconds=timeout_seconds,
                memory_bytes=memory_bytes,
            ),
            events=Events(get_logger(), AddressMask(b"k")),
            metrics=Metrics(self.registry),
        )

    def replaced(self) -> float | None:
        return self.registry.get_sample_value("filterd_scanners_replaced_total")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(
        {channel: write_bundle(tmp_path / channel.value, channel, id=f"{channel.value}-1") for channel in Channel}
    )


async def test_scan_when_all_is_well_scores_both_channels(bench: Bench) -> None:
    async with bench.pool() as pool:
        spam = await pool.scan(an_envelope(), SPAM_MAIL)
        ham = await pool.scan(an_envelope(), HAM_MAIL)
        sms = await pool.scan(an_envelope(channel=Channel.SMS), SPAM_SMS)

    assert spam.probability > 0.99
    assert ham.probability < 0.01
    assert (spam.author, spam.model, sms.model) == ("eve@example.com", "email-1", "sms-1")
    assert bench.registry.get_sample_value("filterd_model_info", {"channel": "sms", "model_id": "sms-1"}) == 1


async def test_report_is_read_by_a_scanner_and_one_past_the_limits_is_unscannable(bench: Bench) -> None:
    head, id = b"Content-Type: message/rfc822\r\n\r\n", b"1" * 32
    async with bench.pool() as pool:
        found = await pool.read_report(head + b"X-Filterd-Id: " + id + b"\r\n\r\nDO-CRASH\r\n")
        with pytest.raises(Unscannable):
            await pool.read_report(head * 1_000)
        scan = await pool.scan(an_envelope(), HAM_MAIL)

    assert (found, scan.model, bench.replaced()) == (ReportMail(ids=(MessageId("1" * 32),)), "email-1", 0)


async def test_mail_is_read_for_people_by_a_scanner_and_one_past_the_limits_is_unscannable(bench: Bench) -> None:
    async with bench.pool() as pool:
        found = await pool.read_mail(b"Subject: =?utf-8?q?=C3=89clair?=\r\n\r\nDO-CRASH\r\n")
        with pytest.raises(Unscannable):
            await pool.read_mail(b"Content-Type: message/rfc822\r\n\r\n" * 1_000)
        scan = await pool.scan(an_envelope(), HAM_MAIL)

    assert (found, scan.model) == (MailView(subject="Éclair", text="DO-CRASH\n"), "email-1")


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (b"DO-CRASH", "scanner died"),
        (b"DO-ALLOCATE", "memory limit"),
        (b"DO-RAISE", "KeyError"),
        (b"DO-RECURSE", "nesting limit"),
        (b"DO-LOOK", "memory limit"),
        (b"DO-WRITE", "OSError"),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
async def test_scan_when_a_message_breaks_its_scanner_is_unscannable_and_the_next_is_fine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, order: bytes, why: str
) -> None:
    monkeypatch.setenv("FILTERD_SERVER__SECRET", "not for scanners")
    async with bench.pool() as pool:
        with pytest.raises(Unscannable, match=why):
            await pool.scan(an_envelope(), MAIL % order)
        after = await pool.scan(an_envelope(), SPAM_MAIL)

    assert after.probability > 0.99
    assert bench.replaced() == 1


async def test_scan_when_a_message_hangs_its_scanner_is_killed(bench: Bench) -> None:
    async with bench.pool(timeout_seconds=1.0) as pool:
        with pytest.raises(Unscannable, match="time limit"):
            await pool.scan(an_envelope(), MAIL % b"DO-HANG")

        assert (await pool.scan(an_envelope(), SPAM_MAIL)).probability > 0.99


async def test_scan_when_one_of_two_scanners_hangs_the_other_goes_on(bench: Bench) -> None:
    async with bench.pool(scanners=2, timeout_seconds=5.0) as pool:
        hanging = asyncio.create_task(pool.scan(an_envelope(), MAIL % b"DO-HANG"))
        await asyncio.sleep(0)
        scans = [await pool.scan(an_envelope(), SPAM_MAIL) for _ in range(5)]

        assert all(scan.probability > 0.99 for scan in scans)
        assert not hanging.done()
        hanging.cancel()


async def test_scan_when_the_replacement_fails_too_is_our_fault(bench: Bench) -> None:
    """The message that was being scanned is not judged by a fault of ours, and service comes back by itself."""
    async with bench.pool() as pool:
        model = bench.folders[Channel.EMAIL] / MODEL_FILE
        sms = bench.folders[Channel.SMS] / MODEL_FILE
        data = {path: path.read_bytes() for path in (model, sms)}
        for path in data:
            path.write_bytes(b"corrupt")
        with pytest.raises(ScanDown):
            await pool.scan(an_envelope(), MAIL % b"DO-CRASH")
        with pytest.raises(ScanDown):
            await pool.scan(an_envelope(), SPAM_MAIL)
        for path, content in data.items():
            path.write_bytes(content)

        async with asyncio.timeout(20):
            while not pool.is_up:  # noqa: ASYNC110  # processes set no events
                await asyncio.sleep(0.05)
        assert (await pool.scan(an_envelope(), SPAM_MAIL)).probability > 0.99


async def test_scan_when_a_scanner_died_idle_blames_no_message(bench: Bench) -> None:
    async with bench.pool() as pool:
        await pool.scan(an_envelope(), HAM_MAIL)
        scanner = pool._slots[0].scanner
        assert scanner is not None
        os.kill(scanner.pid, signal.SIGKILL)
        while scanner.is_alive:  # noqa: ASYNC110  # processes set no events
            await asyncio.sleep(0.01)

        assert (await pool.scan(an_envelope(), SPAM_MAIL)).probability > 0.99


async def test_pool_when_scanners_die_idle_replaces_them_before_the_next_message(bench: Bench) -> None:
    async with bench.pool(scanners=2) as pool:
        dead = [slot.scanner for slot in pool._slots]
        for scanner in dead:
            assert scanner is not None
            os.kill(scanner.pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while any(each.scanner in (None, *dead) for each in pool._slots):  # noqa: ASYNC110  # processes set no events
                await asyncio.sleep(0.01)

        assert bench.replaced() == 2
        assert (await pool.scan(an_envelope(), SPAM_MAIL)).probability > 0.99
    assert bench.replaced() == 2, "those that the pool itself ends are not missed"


async def test_scan_when_the_queue_is_full_is_overloaded(bench: Bench) -> None:
    async with bench.pool(queue_per_scanner=2, timeout_seconds=5) as pool:
        waiting = [asyncio.create_task(pool.scan(an_envelope(), MAIL % b"DO-HANG"))]
        waiting += [asyncio.create_task(pool.scan(an_envelope(), HAM_MAIL)) for _ in range(2)]
        await asyncio.sleep(0)

        with pytest.raises(Overloaded):
            await pool.scan(an_envelope(), HAM_MAIL)
        for task in waiting:
            task.cancel()


async def test_scan_when_there_is_no_bundle_is_down_at_once(tmp_path: Path) -> None:
    bench = Bench(dict.fromkeys(Channel, tmp_path / "none"))
    async with bench.pool() as pool:
        with pytest.raises(ScanDown, match="no such file"):
            await pool.scan(an_envelope(), SPAM_MAIL)

        assert not pool.is_up


async def test_scan_when_one_channel_has_no_bundle_serves_the_other(bench: Bench, tmp_path: Path) -> None:
    bench.folders[Channel.SMS] = tmp_path / "none"
    async with bench.pool() as pool:
        assert (await pool.scan(an_envelope(), SPAM_MAIL)).probability > 0.99
        with pytest.raises(ScanDown):
            await pool.scan(an_envelope(channel=Channel.SMS), SPAM_SMS)


async def test_models_when_a_bundle_breaks_on_disk_tells_what_is_left(bench: Bench) -> None:
    async with bench.pool() as pool:
        (bench.folders[Channel.SMS] / MODEL_FILE).write_bytes(b"corrupt")
        with pytest.raises(Unscannable):
            await pool.scan(an_envelope(), MAIL % b"DO-CRASH")

        assert dict(pool.models) == {Channel.EMAIL: "email-1"}
        with pytest.raises(ScanDown):
            await pool.scan(an_envelope(channel=Channel.SMS), SPAM_SMS)


async def test_scan_when_the_pool_closes_is_down(bench: Bench) -> None:
    async with bench.pool(timeout_seconds=5) as pool:
        waiting = [asyncio.create_task(pool.scan(an_envelope(), MAIL % b"DO-HANG")) for _ in range(2)]
        await asyncio.sleep(0)
        scanner = pool._slots[0].scanner
        assert scanner is not None

    for task in waiting:
        with pytest.raises(ScanDown):
            await task
    assert not scanner.is_alive


async def test_reload_when_the_bundle_is_good_swaps_every_scanner(bench: Bench, tmp_path: Path) -> None:
    async with bench.pool(scanners=2) as pool:
        before = await pool.scan(an_envelope(), SPAM_MAIL)
        bench.folders[Channel.EMAIL] = write_bundle(tmp_path / "new", Channel.EMAIL, id="email-2", bias=-9.0)
        await pool.reload()
        after = [await pool.scan(an_envelope(), SPAM_MAIL) for _ in range(4)]

        assert (before.model, {scan.model for scan in after}) == ("email-1", {"email-2"})
        assert after[0].logit == pytest.approx(1.0)
        assert pool.models[Channel.EMAIL] == "email-2"
    labels = {"channel": "email", "model_id": "email-1"}
    assert bench.registry.get_sample_value("filterd_model_info", labels) == 0


async def test_reload_when_messages_are_in_flight_loses_none(bench: Bench, tmp_path: Path) -> None:
    async with bench.pool(scanners=2, queue_per_scanner=200) as pool:
        scans = [asyncio.create_task(pool.scan(an_envelope(), SPAM_MAIL)) for _ in range(200)]
        bench.folders[Channel.EMAIL] = write_bundle(tmp_path / "new", Channel.EMAIL, id="email-2")
        await pool.reload()

        assert all(scan.probability > 0.99 for scan in await asyncio.gather(*scans))


async def test_reload_when_the_bundle_is_bad_keeps_the_incumbent(bench: Bench, tmp_path: Path) -> None:
    async with bench.pool() as pool:
        bad = write_bundle(tmp_path / "new", Channel.EMAIL, id="email-2")
        (bad / MODEL_FILE).write_bytes(b"truncated")
        good, bench.folders[Channel.EMAIL] = bench.folders[Channel.EMAIL], bad
        with capture_logs() as logs, pytest.raises(BundleError):
            await pool.reload()

        assert [entry["event"] for entry in logs] == ["model.refused"]
        assert (await pool.scan(an_envelope(), SPAM_MAIL)).model == "email-1"
        with pytest.raises(Unscannable):
            await pool.scan(an_envelope(), MAIL % b"DO-CRASH")
        assert (await pool.scan(an_envelope(), SPAM_MAIL)).model == "email-1"
        assert good.is_dir()


async def test_reload_when_nothing_could_be_scored_brings_service_up(bench: Bench, tmp_path: Path) -> None:
    good = dict(bench.folders)
    bench.folders = dict.fromkeys(Channel, tmp_path / "none")
    async with bench.pool() as pool:
        bench.folders = good
        await pool.reload()
        async with asyncio.timeout(20):
            while not pool.is_up:  # noqa: ASYNC110  # processes set no events
                await asyncio.sleep(0.02)

        assert (await pool.scan(an_envelope(), SPAM_MAIL)).probability > 0.99
