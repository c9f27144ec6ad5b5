"""The store on SQLite or PostgreSQL: one method, one transaction.

Writes go through the group writer of this process; reads have connections of their own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Self, TypeVar

from sqlalchemy import Connection, func, select, text
from sqlalchemy.engine import URL

from filterd.account_ports import Token
from filterd.beside import beside_loop
from filterd.clock import SystemClock
from filterd.core.access import EVERYBODY, Reach
from filterd.core.alarm import Record
from filterd.core.envelope import Channel, Envelope, MessageId
from filterd.core.verdict import Decision, Feedback, Scan, Verdict
from filterd.errors import NotFound, StoreFull, StoreUnavailable, UsageError
from filterd.feedback_ports import KeptInput, LabelledInput, Labels, PastMessage, ReportChange, Similar
from filterd.model_ports import Disagreement
from filterd.ports import Arrival, Clock, HeldMessage, HeldState, HeldSummary, SmsMessage, SmsPart, VerdictRow
from filterd.review_ports import HeldQuery
from filterd.settings import Config
from filterd.store import held_rows, inbox, inputs, ledger, migrate, quarantine, retention, tokens, trials, verdicts
from filterd.store.accounts import SqlAccounts
from filterd.store.bin import SqlBin
from filterd.store.deeds import SqlDeeds, only_labels
from filterd.store.digests import SqlDigests
from filterd.store.engine import create_engine, create_file, create_thread_engine, database_url, sqlite_path, translated
from filterd.store.quality import SqlQuality
from filterd.store.retention import Retention
from filterd.store.review import SqlReview
from filterd.store.rules import SqlRules
from filterd.store.schema import HeldRecord
from filterd.store.shared_models import SqlSharedModels
from filterd.store.writer import GroupWriter

T = TypeVar("T")

_INLINE_BYTES = 16_384
"""Messages up to this size are hashed and compressed on the event loop: it takes less time than a thread does."""
_GRACE_SECONDS = 0.75
"""Three times what verdicts are gathered for (``verdict_buffer``)."""
_CHORE_SECONDS = 60.0
"""Longest wait for a chore: nobody stands in line behind it."""
PENDING_SECONDS = 3_600.0
"""How long a message may be pending before it counts as held."""


def _ignore(_is_up: bool, _error: str) -> None:  # noqa: FBT001  # the shape of Events.store_state
    """Nobody listens."""


class SqlStore:
    """Verdicts, quarantine, feedback, SMS inbox and tokens in one database."""

    def __init__(
        self,
        url: URL,
        *,
        clock: Clock,
        timeout_seconds: float = 5.0,
        group_commit_seconds: float = 0.002,
        reassembly_seconds: float = 30.0,
        min_free_bytes: int = 0,
        keep: Retention | None = None,
        on_state: Callable[[bool, str], None] = _ignore,
    ) -> None:
        self._url = url
        self._name = url.render_as_string(hide_password=True)
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._reassembly_seconds = reassembly_seconds
        self._min_free_bytes = min_free_bytes
        self._keep = keep or Retention()
        self._write_engine = create_engine(url, timeout_seconds=timeout_seconds, is_writer=True)
        self._read_engine = create_engine(url, timeout_seconds=timeout_seconds, is_writer=False)
        self._writer = GroupWriter(
            create_thread_engine(url, timeout_seconds=timeout_seconds) if sqlite_path(url) else self._write_engine,
            name=self._name,
            window_seconds=group_commit_seconds,
            timeout_seconds=timeout_seconds,
            on_state=on_state,
        )
        self._exit = AsyncExitStack()
        self.quality = SqlQuality(self._read, self._write, clock)
        self.accounts = SqlAccounts(self._read, self._write, clock)
        self.digests = SqlDigests(self._read, self._write, clock)
        self.rules = SqlRules(self._read, self._write, clock)
        self.review = SqlReview(self._read)
        self.bin = SqlBin(self._read, self._write, clock)
        self.deeds = SqlDeeds(self._read, self._write, clock)
        self.models = SqlSharedModels(self._read, self._write, clock)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._write_engine.dispose)
            stack.push_async_callback(self._read_engine.dispose)
            await stack.enter_async_context(self._writer)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Commit what waits, then close the connections."""
        await self._exit.aclose()

    # The database as a whole

    async def migrate(self) -> None:
        """Create or upgrade the tables. Raises StoreUnavailable, or ConfigError for a newer database."""
        path = sqlite_path(self._url)
        if path is not None:
            create_file(path)
        with translated(self._name):
            await migrate.upgrade(self._write_engine)
            await self._write_engine.dispose()

    async def revision(self) -> str:
        """The revision of the tables; empty where there are none. Raises StoreUnavailable."""
        with translated(self._name):
            return await migrate.current(self._read_engine)

    async def differences(self) -> Sequence[str]:
        """What the tables and this code disagree about. Raises StoreUnavailable."""
        with translated(self._name):
            return await migrate.differences(self._read_engine)

    async def ping(self) -> None:
        """Raises StoreUnavailable when the database does not answer."""
        await self._read(lambda c: c.execute(text("SELECT 1")).close())

    def check_room(self) -> None:
        """Raises StoreFull when the disk has less free space than ``store.min_free_bytes``; SQLite only."""
        path = sqlite_path(self._url)
        if path is None or not self._min_free_bytes:
            return
        try:
            free = os.statvfs(path.parent)
        except OSError as exc:
            raise StoreUnavailable(f"database {self._name}: {exc.strerror}") from None
        if free.f_bavail * free.f_frsize < self._min_free_bytes:
            raise StoreFull(f"less than {self._min_free_bytes} bytes free for database {self._name}")

    # VerdictStore

    async def record(self, *records: Verdict) -> None:
        """See ``ports.VerdictStore``."""
        kept = inputs.rows_from(records)
        rows = list(map(verdicts.row_from, records))

        def write(connection: Connection) -> None:
            verdicts.record(connection, rows)
            inputs.record(connection, kept)

        await self._write(write)

    async def hold(
        self,
        envelope: Envelope,
        raw: bytes,
        decision: Decision,
        *,
        pending: bool = False,
        policy: str = "",
        is_audit: bool = False,
    ) -> None:
        """See ``ports.VerdictStore``."""
        prepare = partial(held_rows.prepare, envelope, raw, decision, pending=pending, now=self._clock.now())
        new = await beside_loop(partial(prepare, policy=policy, is_audit=is_audit), len(raw), above=_INLINE_BYTES)
        await self._write(partial(quarantine.hold, new=new))

    async def settle(self, id: MessageId, state: HeldState) -> None:
        """See ``ports.VerdictStore``."""
        await self._write(partial(quarantine.settle, id=id, state=state, now=self._clock.now()))

    # Quarantine

    async def list_held(
        self, *, limit: int = 50, before: MessageId | None = None, channel: Channel | None = None, query: str = ""
    ) -> Sequence[HeldSummary]:
        """See ``ports.Quarantine``."""
        return await self.review.list_held(HeldQuery(limit=limit, before=before, channel=channel, text=query))

    async def held(self, id: MessageId, reach: Reach = EVERYBODY) -> HeldMessage:
        """See ``ports.Quarantine``."""
        row = await self._read(partial(quarantine.find, id=id, reach=reach))
        return await asyncio.to_thread(held_rows.message_from, row, reach)

    async def claim_release(
        self, id: MessageId, by: str, lease_seconds: float, reach: Reach = EVERYBODY
    ) -> HeldMessage:
        """See ``ports.Quarantine``."""
        now = self._clock.now()
        claim = partial(quarantine.claim, id=id, by=by, lease_seconds=lease_seconds, now=now, reach=reach)
        return await asyncio.to_thread(held_rows.message_from, await self._write(claim))

    async def finish_release(self, id: MessageId, by: str, *, delivered: bool) -> None:
        """See ``ports.Quarantine``."""
        await self._write(partial(quarantine.finish, id=id, by=by, now=self._clock.now(), delivered=delivered))

    async def delete_held(self, id: MessageId, by: str, reach: Reach = EVERYBODY) -> None:
        """See ``ports.Quarantine``."""
        await self._write(partial(quarantine.remove, id=id, by=by, now=self._clock.now(), reach=reach))

    async def count_held(self) -> int:
        """Messages in the quarantine."""
        state = HeldRecord.state.in_((HeldState.HELD.value, HeldState.RELEASING.value))
        return await self._read(lambda c: c.scalar(select(func.count()).select_from(HeldRecord).where(state)) or 0)

    # FeedbackLedger

    async def add_feedback(self, feedback: Feedback) -> bool:
        """See ``ports.FeedbackLedger``."""
        operation = partial(ledger.add_feedback, feedback=feedback)
        try:
            return await self._write(operation)
        except NotFound:
            # A script may report a mail before its verdict, which is written behind the reply, is there.
            await asyncio.sleep(_GRACE_SECONDS)
            return await self._write(operation)

    async def add_example(self, feedback: Feedback, scan: Scan, sender: str) -> bool:
        """See ``feedback_ports.ExampleLedger``."""
        return await self._write(partial(ledger.add_example, feedback=feedback, scan=scan, sender=sender))

    async def revoke(self, labels: Labels, by: str, *, is_rehearsal: bool = False) -> Sequence[int]:
        """See ``ports.FeedbackLedger``."""
        if labels.is_empty:
            raise UsageError("say which labels to revoke")
        return list((await self.deeds.undo(only_labels(labels), by, is_rehearsal=is_rehearsal)).labels)

    async def labelled_inputs(
        self, channel: Channel, *, model: str | None = None, after: int = 0, most: int = 10_000
    ) -> Sequence[LabelledInput]:
        """See ``ports.LabelledInputs``."""
        return await self._read(partial(inputs.labelled, channel=channel, model=model, after=after, most=most))

    async def past(
        self, channel: Channel, *, since: datetime, after: MessageId | None = None, most: int = 1_000
    ) -> Sequence[PastMessage]:
        """See ``feedback_ports.Past``."""
        return await self._read(partial(inputs.past, channel=channel, since=since, after=after or "", most=most))

    async def background(self, channel: Channel, *, most: int) -> Sequence[bytes]:
        """See ``ports.Backgrounds``."""
        return await self._read(partial(inputs.background, channel=channel, most=most))

    async def kept_input(self, id: MessageId) -> KeptInput | None:
        """See ``ports.Examples``."""
        return await self._read(partial(inputs.kept, id=id))

    async def similar(self, channel: Channel, fingerprint: str, *, most: int = 3) -> Sequence[Similar]:
        """See ``ports.Examples``."""
        return await self._read(partial(ledger.similar, channel=channel, fingerprint=fingerprint, most=most))

    async def record_disagreement(self, found: Disagreement) -> None:
        """See ``ports.Disagreements``."""
        await self._write(partial(trials.record, found=found))

    async def disagreements(self, channel: Channel, candidate: str, *, limit: int = 50) -> Sequence[Disagreement]:
        """See ``ports.Disagreements``."""
        return await self._read(partial(trials.listed, channel=channel, candidate=candidate, limit=limit))

    async def fared(self, channel: Channel, since: datetime) -> Mapping[str, Record]:
        """See ``ports.TrackRecords``."""
        return await self._read(partial(trials.fared, channel=channel, since=since))

    async def note(self, event: str, target: str, by: str, note: str = "") -> None:
        """See ``ports.AuditTrail``."""
        now = self._clock.now()
        await self._write(lambda connection: quarantine.audit(connection, now, by, event, target, note))

    async def report_changes(self, since: datetime | None, *, most: int) -> Sequence[ReportChange]:
        """See ``ports.Reports``."""
        return await self._read(partial(ledger.changes, since=since, most=most))

    async def retire(self, ids: Sequence[int]) -> None:
        """See ``ports.Reports``."""
        await self._write(partial(ledger.retire, ids=ids, now=self._clock.now()))

    async def verdicts(self, id: MessageId) -> Sequence[VerdictRow]:
        """See ``ports.FeedbackLedger``."""
        return await self._read(partial(verdicts.fetch, id=id))

    async def recent(self, *, limit: int = 50, channel: Channel | None = None) -> Sequence[VerdictRow]:
        """See ``ports.FeedbackLedger``."""
        return await self._read(partial(verdicts.latest, limit=limit, channel=channel))

    # SmsInbox

    async def receive(self, part: SmsPart, id: MessageId) -> tuple[Arrival, SmsMessage | None]:
        """See ``ports.SmsInbox``."""
        now = self._clock.now()
        return await self._write(
            partial(inbox.receive, part=part, id=id, now=now, reassembly_seconds=self._reassembly_seconds)
        )

    async def decided(self, id: MessageId, *, forward: bool) -> None:
        """See ``ports.SmsInbox``."""
        state = inbox.SmsState.FORWARD if forward else inbox.SmsState.DONE
        await self._write(partial(inbox.advance, id=id, state=state, due_at=self._clock.now()))

    async def claim_work(self, *, limit: int, lease_seconds: float) -> Sequence[tuple[SmsMessage, bool]]:
        """See ``ports.SmsInbox``."""
        now = self._clock.now()
        return await self._write(partial(inbox.claim, limit=limit, lease_seconds=lease_seconds, now=now))

    async def forwarded(self, id: MessageId) -> None:
        """See ``ports.SmsInbox``."""
        state = inbox.SmsState.DONE
        await self._write(partial(inbox.advance, id=id, state=state, due_at=self._clock.now()))

    async def retry_later(self, id: MessageId, delay_seconds: float) -> None:
        """See ``ports.SmsInbox``."""
        due_at = self._clock.now() + timedelta(seconds=delay_seconds)
        await self._write(partial(inbox.postpone, id=id, due_at=due_at))

    # TokenStore

    async def add_token(self, token: Token, secret_sha256: str, by: str) -> None:
        """See ``account_ports.TokenStore``."""
        await self._write(partial(tokens.add, token=token, secret_sha256=secret_sha256, by=by))

    async def find_token(self, secret_sha256: str) -> Token | None:
        """See ``account_ports.TokenStore``."""
        return await self._read(partial(tokens.find, secret_sha256=secret_sha256))

    async def list_tokens(self) -> Sequence[Token]:
        """See ``account_ports.TokenStore``."""
        return await self._read(tokens.listed)

    async def revoke_token(self, name: str, by: str) -> None:
        """See ``account_ports.TokenStore``."""
        await self._write(partial(tokens.revoke, name=name, by=by, now=self._clock.now()))

    # Upkeep

    async def reap(self) -> int:
        """See ``ports.Upkeep``."""
        now = self._clock.now()
        return await self._write(partial(quarantine.reap, now=now, pending_seconds=PENDING_SECONDS), _CHORE_SECONDS)

    async def purge(self, now: datetime) -> Mapping[str, int]:
        """See ``ports.Upkeep``."""
        counts = dict.fromkeys(retention.TABLES, 0)
        for table in retention.TABLES:
            operation = partial(retention.purge, table=table, retention=self._keep, now=now)
            while deleted := await self._write(operation, _CHORE_SECONDS):
                counts[table] += deleted
        return counts

    async def erase(self, address: str, by: str) -> Mapping[str, int]:
        """See ``ports.Upkeep``."""
        if not address.strip():
            raise UsageError("no address to erase")
        operation = partial(retention.erase, address=address, by=by, now=self._clock.now())
        return await self._write(operation, _CHORE_SECONDS)

    async def _write(self, operation: Callable[[Connection], T], timeout_seconds: float | None = None) -> T:
        return await self._writer.submit(operation, timeout_seconds=timeout_seconds)

    async def _read(self, operation: Callable[[Connection], T]) -> T:
        with translated(self._name):
            async with asyncio.timeout(self._timeout_seconds), self._read_engine.begin() as connection:
                return await connection.run_sync(operation)


@asynccontextmanager
async def open_store(
    config: Config,
    *,
    clock: Clock | None = None,
    on_state: Callable[[bool, str], None] = _ignore,
    is_migrating: bool = True,
) -> AsyncIterator[SqlStore]:
    """The store that ``config`` names, its tables brought up to date. Raises ConfigError or StoreUnavailable."""
    settings = config.store
    store = SqlStore(
        database_url(settings.url.reveal(), config.server.state_dir),
        clock=clock or SystemClock(),
        timeout_seconds=settings.timeout_seconds,
        group_commit_seconds=settings.group_commit_seconds,
        reassembly_seconds=config.sms.reassembly_seconds,
        min_free_bytes=settings.min_free_bytes,
        keep=Retention.of(settings),
        on_state=on_state,
    )
    async with store:
        if is_migrating:
            await store.migrate()
        yield store
