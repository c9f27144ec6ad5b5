"""Mail from elsewhere becomes labelled examples, once, and can be taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from filterd.core.envelope import Channel, Envelope
from filterd.core.verdict import Label, Scan
from filterd.errors import Overloaded, ScanDown, Unscannable
from filterd.feedback_ports import Labels
from filterd.importing import Batch, Importer
from filterd.testing import FakeScanner, FixedClock, MemoryStore

JUNK = Batch(name="junk", label=Label.SPAM, recipient="Ann@example.net")
MAIL = [
    ("1", b"Return-Path: <eve@casino.example>\nX-Spam-Flag: YES\nSubject: a\n\nSPAM\n"),
    ("2", b"Subject: b\n\nbody\n"),
]


class KeepingScanner(FakeScanner):
    """Keeps what it is given, and gives what the model would read."""

    def __init__(self) -> None:
        super().__init__()
        self.raws: list[bytes] = []

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        self.raws.append(raw)
        if b"deep" in raw:
            raise Unscannable("too deep")
        return replace(await super().scan(envelope, raw), tokens=b"x", hashing="h", fingerprint="0" * 64, model="m1")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(clock=FixedClock())


async def test_mail_is_labelled_with_what_the_model_read_of_it(store: MemoryStore) -> None:
    """The next model learns from it, and the mail of whose folder it was is treated so at once."""
    scanner = KeepingScanner()
    done = await Importer(scanner, store, clock=FixedClock()).take(JUNK, MAIL)

    assert (done.new, done.repeated, done.unread, done.agreed) == (2, 0, (), 1)
    learned = await store.labelled_inputs(Channel.EMAIL)
    assert [(each.label, each.reporter, each.recipients) for each in learned] == [
        (Label.SPAM, "import:junk", ("ann@example.net",))
    ] * 2
    assert [each.sender for each in learned] == ["eve@casino.example", ""]
    assert scanner.raws[0] == b"Subject: a\r\n\r\nSPAM\r\n"
    assert [change.report.recipients for change in await store.report_changes(None, most=9)] == [
        ("ann@example.net",)
    ] * 2


async def test_mail_that_is_imported_again_counts_once(store: MemoryStore) -> None:
    """However often, and from whichever copy of the folder."""
    importer = Importer(KeepingScanner(), store, clock=FixedClock())
    await importer.take(JUNK, MAIL)
    done = await importer.take(JUNK, [(name, raw.replace(b"\n", b"\r\n")) for name, raw in MAIL])

    assert (done.new, done.repeated) == (0, 2)
    assert len(store.ledger.standing()) == 2


async def test_batch_is_taken_back_by_its_name(store: MemoryStore) -> None:
    """Another batch stands."""
    importer = Importer(KeepingScanner(), store, clock=FixedClock())
    await importer.take(JUNK, MAIL)
    await importer.take(Batch(name="inbox", label=Label.HAM), [("3", b"Subject: c\n\nbody\n")])
    await store.revoke(Labels(reporter="import:junk"), "root")

    assert [given.reporter for given in store.ledger.standing()] == ["import:inbox"]


async def test_rehearsal_writes_nothing() -> None:
    """It says what would be done, and how the model sees it."""
    done = await Importer(KeepingScanner(), None, clock=FixedClock()).take(JUNK, MAIL)

    assert (done.new, done.agreed) == (2, 1)


async def test_mail_that_breaks_a_limit_is_named_and_the_rest_goes_on(store: MemoryStore) -> None:
    """One message never stops the others."""
    mail = [("bad", b"Subject: deep\n\n"), *MAIL]
    done = await Importer(KeepingScanner(), store, clock=FixedClock()).take(JUNK, mail)

    assert (done.new, done.unread) == (2, ("bad",))


@pytest.mark.parametrize("failure", [ScanDown("no model"), Overloaded("full")], ids=["down", "overloaded"])
async def test_scanners_that_are_down_end_it(store: MemoryStore, failure: Exception) -> None:
    """Nothing is labelled that was not read."""
    with pytest.raises(ScanDown):
        await Importer(FakeScanner(failure=failure), store, clock=FixedClock()).take(JUNK, MAIL)

    assert store.ledger.standing() == []
