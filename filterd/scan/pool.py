"""The front of the scanner processes: a bounded queue, a time limit per message, and a replacement for what breaks.

A message that kills a scanner or outlasts the limit is unscannable, but only once its scanner's replacement has
scored a canary; where that fails too the fault is ours, and the message is not judged by it (ScanDown).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from filterd.core.envelope import Channel, Envelope
from filterd.core.mail_view import MailView
from filterd.core.report_mail import ReportMail
from filterd.core.verdict import Scan, ScanFailure
from filterd.errors import BundleError, FilterdError, Overloaded, ScanDown, Unscannable
from filterd.failpoints import failpoint
from filterd.forking import Zygote
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.scan.frames import Answer, Ready, Request, Setup
from filterd.scan.pool_settings import PoolSettings as PoolSettings  # whoever builds a pool names it here
from filterd.scan.process import ScannerProcess

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 15.0


@dataclass(slots=True, kw_only=True)
class _Job:
    request: Request
    raw: bytes
    future: asyncio.Future[Answer]

    def fail(self, error: FilterdError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True, kw_only=True)
class _Slot:
    """The place of one scanner; the process in it changes."""

    scanner: ScannerProcess | None = None
    suspect: tuple[_Job, str] | None = None
    """The message that cost the last scanner, and how; answered when the replacement is up."""
    pause_seconds: float = 0.0
    has_tried: asyncio.Event = field(default_factory=asyncio.Event)


class ScannerPool:
    """``ports.Scanner``, ``ReportReader`` and ``MailReader`` by N processes; an async context manager."""

    def __init__(
        self,
        *,
        locate: Callable[[], Mapping[Channel, Path]],
        settings: PoolSettings,
        events: Events,
        metrics: Metrics,
        is_in_service: bool = True,
        zygote: Zygote | None = None,
    ) -> None:
        """``locate`` gives the folder of the bundle to serve per channel; it may raise BundleError.

        Not ``is_in_service`` are candidates: the metrics do not name them as the bundles that serve.
        """
        self._is_in_service = is_in_service
        self._zygote = zygote
        self._locate = locate
        self._settings = settings
        self._events = events
        self._metrics = metrics
        self._folders: dict[Channel, str] = {}
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._slots = [_Slot() for _ in range(max(settings.scanners, 1))]
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting = 0
        self._generation = 0
        self._candidate: ScannerProcess | None = None
        self._swapping = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._down = ScanDown("the scanners have not been started")
        self._in_service: dict[Channel, str] = {}
        self._refused: dict[Channel, str] = {}
        self._wake = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether any scanner runs."""
        return any(slot.scanner is not None for slot in self._slots)

    @property
    def models(self) -> Mapping[Channel, str]:
        """Ids of the bundles that every running scanner serves."""
        served = [slot.scanner.ready.models for slot in self._slots if slot.scanner is not None]
        return {channel: id for channel, id in served[0].items() if all(channel in m for m in served)} if served else {}

    @property
    def trouble(self) -> str:
        """Why nothing, or not every channel, can be scored."""
        return self._down.detail if not self.is_up else "; ".join(self._refused.values())

    async def __aenter__(self) -> Self:
        """Start every scanner; those that cannot start are tried again and again."""
        self._tasks = [asyncio.create_task(self._run(slot)) for slot in self._slots]
        for slot in self._slots:
            await slot.has_tried.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End every scanner; what still waits is not judged."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._drop(ScanDown("the scanners are stopping"))
        if self._candidate is not None:
            await self._candidate.end()

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        """See ``ports.Scanner``."""
        request = Request(channel=envelope.channel, sender=envelope.sender, peer=envelope.peer.address)
        scan = (await self._answer(request, raw)).scan
        assert scan is not None
        return scan

    async def read_report(self, raw: bytes) -> ReportMail:
        """See ``feedback_ports.ReportReader``."""
        report = (await self._answer(Request(channel=Channel.EMAIL, is_report=True), raw)).report
        assert report is not None
        return report

    async def read_mail(self, raw: bytes) -> MailView:
        """See ``review_ports.MailReader``."""
        view = (await self._answer(Request(channel=Channel.EMAIL, is_view=True), raw)).view
        assert view is not None
        return view

    async def _answer(self, request: Request, raw: bytes) -> Answer:
        if all(slot.scanner is None and slot.pause_seconds for slot in self._slots):
            raise ScanDown(self._down.detail)
        if self._waiting >= len(self._slots) * (self._settings.queue_per_scanner + 1):
            raise Overloaded("too many messages wait for a scanner")
        job = _Job(request=request, raw=raw, future=asyncio.get_running_loop().create_future())
        self._waiting += 1
        try:
            self._jobs.put_nowait(job)
            return await job.future
        finally:
            self._waiting -= 1

    async def reload(self) -> None:
        """Serve what ``locate`` gives now, scanner by scanner. Raises BundleError and keeps the incumbents."""
        failpoint("scan.reload")
        try:
            folders = {channel: str(folder) for channel, folder in self._locate().items()}
            candidate = await self._start(folders)
        except (ScanDown, BundleError) as exc:
            raise self._refuse(dict.fromkeys(Channel, exc.detail)) from None
        lost = {channel: why for channel, why in candidate.ready.refused.items() if channel in self._in_service}
        if lost:
            await candidate.end()
            raise self._refuse(lost)
        async with self._changed:
            self._folders = folders
            self._generation += 1
            candidate.generation = self._generation
            self._candidate = candidate
            self._wake.set()
            self._rouse()
            await self._changed.wait_for(self._is_settled)
        self._metrics.model_swaps.labels("loaded").inc()

    def _rouse(self) -> None:
        """Let every scanner that waits for a message be looked at: it may be old, or dead."""
        for _ in self._slots:
            self._jobs.put_nowait(None)

    def _refuse(self, why: Mapping[Channel, str]) -> BundleError:
        for channel, detail in why.items():
            self._events.model_refused(channel.value, detail)
        self._metrics.model_swaps.labels("refused").inc()
        return BundleError(next(iter(why.values())))

    def _is_settled(self) -> bool:
        return all(slot.scanner is None or slot.scanner.generation == self._generation for slot in self._slots)

    async def _run(self, slot: _Slot) -> None:
        """Keep a scanner in ``slot`` for as long as the pool lives."""
        try:
            while True:
                await self._pause(slot.pause_seconds)
                try:
                    await self._install(slot, await self._fresh())
                except ScanDown as exc:
                    slot.pause_seconds = min(max(slot.pause_seconds * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
                    self._mourn(slot, exc)
                    continue
                finally:
                    slot.has_tried.set()
                await self._serve(slot)
        finally:
            if slot.suspect is not None:
                slot.suspect[0].fail(ScanDown("the scanners are stopping"))
            if slot.scanner is not None:
                await slot.scanner.end()

    async def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; a reload ends the wait."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
                self._wake.clear()

    async def _fresh(self) -> ScannerProcess:
        """A scanner of the bundles in service. Raises ScanDown."""
        if self._candidate is not None:
            scanner, self._candidate = self._candidate, None
            return scanner
        if not self._folders or not self._in_service:
            try:
                self._folders = {channel: str(folder) for channel, folder in self._locate().items()}
            except BundleError as exc:
                raise ScanDown(exc.detail) from None
        generation = self._generation
        scanner = await self._start(self._folders)
        scanner.generation = generation
        return scanner

    async def _start(self, folders: dict[Channel, str]) -> ScannerProcess:
        settings = self._settings
        setup = Setup(
            folders=folders,
            limits=settings.limits,
            memory_bytes=settings.memory_bytes,
            cpu_seconds=settings.timeout_seconds,
            keeps_inputs=settings.keeps_inputs,
            is_explaining=settings.is_explaining,
            trusted_authserv_ids=settings.trusted_authserv_ids,
            max_signatures=settings.max_signatures,
        )
        scanner = await ScannerProcess.start(setup, settings.start_timeout_seconds, settings.module, self._zygote)
        if scanner.ready.models:
            return scanner
        await scanner.end()
        raise ScanDown(next(iter(scanner.ready.refused.values()), "there is no model"))

    async def _install(self, slot: _Slot, scanner: ScannerProcess) -> None:
        slot.scanner = scanner
        slot.pause_seconds = 0.0
        scanner.watch(self._rouse)
        self._announce(scanner.ready)
        if slot.suspect is not None:
            job, why = slot.suspect
            slot.suspect = None
            job.fail(Unscannable(why))
        async with self._changed:
            self._changed.notify_all()

    def _announce(self, ready: Ready) -> None:
        """Report bundles that were not in service before, and those that cannot be."""
        for channel, id in ready.models.items():
            before = self._in_service.get(channel)
            if before == id:
                continue
            if not self._is_in_service:
                self._in_service[channel] = id
                continue
            if before is not None:
                self._metrics.model_info.labels(channel.value, before).set(0)
            self._in_service[channel] = id
            self._metrics.model_info.labels(channel.value, id).set(1)
            self._metrics.model_loaded.labels(channel.value).set_to_current_time()
            self._events.model_loaded(channel.value, id)
        for channel, why in ready.refused.items():
            if self._refused.get(channel) != why:
                self._events.model_refused(channel.value, why)
        self._refused = dict(ready.refused)

    def _mourn(self, slot: _Slot, error: ScanDown) -> None:
        """No scanner can be had now: nothing waits for one in vain."""
        self._down = error
        if slot.suspect is not None:
            slot.suspect[0].fail(error)
            slot.suspect = None
        if not self.is_up:
            self._drop(error)

    def _drop(self, error: ScanDown) -> None:
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job.fail(error)

    async def _serve(self, slot: _Slot) -> None:
        """Answer messages until the scanner in ``slot`` has to be replaced."""
        while slot.scanner is not None:
            job = await self._jobs.get()
            if not slot.scanner.is_alive:
                # It died between two messages: none of them is to blame.
                if job is not None:
                    self._jobs.put_nowait(job)
                await self._bury(slot, None, "scanner died idle")
                return
            if job is not None and not job.future.done():
                lost = await self._ask(slot.scanner, job)
                if lost:
                    await self._bury(slot, job, lost)
                    return
            if slot.scanner.generation != self._generation:
                await self._swap(slot)

    async def _ask(self, scanner: ScannerProcess, job: _Job) -> str:
        """Answer one message; why the scanner is lost, empty while it is not."""
        try:
            answer = await scanner.ask(job.request, job.raw, self._settings.timeout_seconds)
        except Unscannable as exc:
            job.fail(exc)
            return ""
        except TimeoutError:
            return "time limit"
        except (EOFError, OSError, ValueError):
            return "scanner died"
        if answer.is_last:
            return answer.detail or "scanner fault"
        self._tell(job, answer)
        return ""

    def _tell(self, job: _Job, answer: Answer) -> None:
        if answer.scan or answer.report or answer.view:
            if not job.future.done():
                job.future.set_result(answer)
        elif answer.failure is ScanFailure.SCAN_DOWN:
            job.fail(ScanDown(answer.detail))
        else:
            job.fail(Unscannable(answer.detail))

    async def _bury(self, slot: _Slot, job: _Job | None, why: str) -> None:
        """End a scanner; the message that broke it waits for the replacement's canary."""
        scanner, slot.scanner = slot.scanner, None
        slot.suspect = (job, why) if job is not None else None
        self._metrics.scanners_replaced.inc()
        if scanner is not None:
            self._events.scanner_replaced(why, scanner.pid)
            await scanner.end()

    async def _swap(self, slot: _Slot) -> None:
        """Put a scanner of the new bundles into ``slot``; one at a time, so that the others go on."""
        async with self._swapping:
            before = slot.scanner
            try:
                scanner = await self._fresh()
            except ScanDown as exc:
                # The bundles were good a moment ago: keep what serves, and try again after the next message.
                self._down = exc
                return
            await self._install(slot, scanner)
            if before is not None:
                await before.end()
