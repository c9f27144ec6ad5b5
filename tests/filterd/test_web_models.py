"""The pages of models: who may look, who may act, and what is left standing when a file cannot be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from filterd.core.access import Role
from filterd.core.envelope import Channel
from filterd.core.verdict import Action, Decision, Evidence, Label, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.errors import StoreUnavailable
from filterd.model_ports import Disagreement, Trial
from filterd.testing import a_scan, an_envelope
from filterd.web.parts import WebParts
from tests.filterd.model_shop import FIRST, PACKAGED, SECOND, Shop, a_shop, pinned, stock
from tests.filterd.web_visitor import House, a_house

READERS = {Role.ADMINISTRATOR, Role.AUDITOR}
EMAIL = Channel.EMAIL
PAGES = ("/models", f"/models/email/{FIRST}")
ADMIN_PAGES = (f"/models/email/{SECOND}/promote", "/models/email/roll-back")
FORMS = {
    f"/models/email/{SECOND}/promote": {"instead_of": FIRST},
    "/models/email/roll-back": {"to": PACKAGED},
    "/models/email/trial": {"id": SECOND, "share": "10"},
    "/models/email/trial/end": {},
}


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture
async def shop(stocked: Path, tmp_path: Path) -> AsyncIterator[tuple[House, Shop]]:
    shops: list[Shop] = []

    def with_shop(parts: WebParts) -> WebParts:
        shops.append(a_shop(stocked, tmp_path, parts.ledger))  # type: ignore[arg-type]  # it is the store in memory
        return replace(parts, models=shops[0].parts)

    house = a_house(configure=with_shop)
    yield house, shops[0]
    await house.close()


def store_notes(house: House) -> list[tuple[str, str, str]]:
    return [(event, target, by) for event, target, by, _ in house.store.notes]


@pytest.mark.parametrize("role", Role)
async def test_pages_are_for_administrators_and_auditors_and_changes_for_administrators(
    shop: tuple[House, Shop], role: Role
) -> None:
    house, files = shop
    visitor = await house.person(role)

    for path in PAGES:
        assert (await visitor.get(path)).status_code == (200 if role in READERS else 403), path
    for path in ADMIN_PAGES:
        assert (await visitor.get(path)).status_code == (200 if role is Role.ADMINISTRATOR else 403), path
    if role is not Role.ADMINISTRATOR:
        for path, fields in FORMS.items():
            assert (await visitor.post(path, fields)).status_code == 403, path
        assert files.current() == FIRST
        assert files.registry.trial(EMAIL) is None
        assert not store_notes(house)


async def test_auditor_sees_no_button_that_changes_something(shop: tuple[House, Shop]) -> None:
    house, files = shop
    files.registry.try_out(EMAIL, Trial(id=SECOND, share=1.0))
    auditor = await house.person(Role.AUDITOR)

    for path in PAGES:
        page = (await auditor.get(path)).text
        assert page.count("<form") == 1, "the one to sign out"
        assert "/promote" not in page
        assert "roll-back" not in page


async def test_promoting_asks_with_both_versions_named_and_is_audited(shop: tuple[House, Shop]) -> None:
    house, files = shop
    ann = await house.person(Role.ADMINISTRATOR, "ann@example.org")

    asked = (await ann.get(f"/models/email/{SECOND}/promote")).text
    assert f"<code>{FIRST}</code>" in asked
    assert f"<code>{SECOND}</code>" in asked
    assert files.current() == FIRST
    done = await ann.post(f"/models/email/{SECOND}/promote", {"instead_of": FIRST})

    assert done.headers["location"] == "/models?said=promoted"
    assert files.current() == SECOND
    assert store_notes(house) == [("promoted", SECOND, "ann@example.org")]


async def test_rolling_back_asks_with_both_versions_named_and_is_audited(shop: tuple[House, Shop]) -> None:
    house, files = shop
    files.registry.promote(EMAIL, SECOND)
    ann = await house.person(Role.ADMINISTRATOR, "ann@example.org")

    asked = (await ann.get("/models/email/roll-back")).text
    assert f"<code>{FIRST}</code>" in asked
    assert f"<code>{SECOND}</code>" in asked
    done = await ann.post("/models/email/roll-back", {"to": FIRST})

    assert done.headers["location"] == "/models?said=rolled_back"
    assert files.current() == FIRST
    assert store_notes(house) == [("rolled back to", FIRST, "ann@example.org")]


async def test_page_that_is_out_of_date_changes_nothing(shop: tuple[House, Shop]) -> None:
    house, files = shop
    ann = await house.person(Role.ADMINISTRATOR)
    files.registry.promote(EMAIL, SECOND)

    promoted = await ann.post(f"/models/email/{PACKAGED}/promote", {"instead_of": FIRST})
    rolled_back = await ann.post("/models/email/roll-back", {"to": PACKAGED})

    assert (promoted.status_code, rolled_back.status_code) == (409, 409)
    assert files.current() == SECOND


async def test_trial_begins_and_ends(shop: tuple[House, Shop]) -> None:
    house, files = shop
    ann = await house.person(Role.ADMINISTRATOR, "ann@example.org")

    await ann.post("/models/email/trial", {"id": SECOND, "share": "10", "decides": "yes"})
    assert files.registry.trial(EMAIL) == Trial(id=SECOND, share=0.1, decides=True)
    assert "decides for 10.0 %" in (await ann.get("/models")).text
    await ann.post("/models/email/trial/end")

    assert files.registry.trial(EMAIL) is None
    assert [event for event, *_ in store_notes(house)] == ["canary", "trial ended"]


@pytest.mark.parametrize("fields", [{"share": "0"}, {"share": "101"}, {"share": "x"}, {"share": "nan"}, {"id": "../x"}])
async def test_trial_of_nonsense_is_refused(shop: tuple[House, Shop], fields: dict[str, str]) -> None:
    house, files = shop
    ann = await house.person(Role.ADMINISTRATOR)

    answer = await ann.post("/models/email/trial", {"id": SECOND, "share": "10", **fields})

    assert answer.status_code == 409
    assert files.registry.trial(EMAIL) is None


@pytest.mark.parametrize(
    "path", ["/models/fax/x", f"/models/sms/{FIRST}", "/models/email/%2e%2e%2fx", "/models/email/nothing/promote"]
)
async def test_what_is_not_there_is_404(shop: tuple[House, Shop], path: str) -> None:
    house, _ = shop
    ann = await house.person(Role.ADMINISTRATOR)

    assert (await ann.get(path)).status_code == 404


async def test_nothing_to_roll_back_to_is_said(shop: tuple[House, Shop]) -> None:
    house, _ = shop
    ann = await house.person(Role.ADMINISTRATOR)

    answer = await ann.get("/models/sms/roll-back")

    assert answer.status_code == 409
    assert "No other version has served before." in answer.text


async def test_version_shows_its_figures_gate_and_card_as_text(shop: tuple[House, Shop]) -> None:
    house, _ = shop
    ann = await house.person(Role.AUDITOR)

    page = (await ann.get(f"/models/email/{FIRST}")).text

    assert "80.00 %" in page
    assert "0.50 %" in page
    assert "3 of 200" in page
    assert page.count('<svg class="chart plot"') == 3
    assert "<h3>The card</h3>" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize("name", ["current", "trial", f"{FIRST}/bundle.json", f"{SECOND}/bundle.json"])
async def test_page_stays_up_when_a_file_of_the_registry_is_unreadable(shop: tuple[House, Shop], name: str) -> None:
    house, files = shop
    files.registry.try_out(EMAIL, Trial(id=SECOND, share=1.0))
    files.file(*name.split("/")).write_bytes(b"\xff{")
    ann = await house.person(Role.ADMINISTRATOR)

    page = await ann.get("/models")

    assert page.status_code == 200
    assert name.rpartition("/")[2] in page.text
    assert SECOND in page.text
    assert "sms-one" in page.text


@pytest.mark.parametrize("name", ["bundle.json", "report.json", "card.md"])
async def test_version_stays_up_when_a_file_of_it_is_unreadable(shop: tuple[House, Shop], name: str) -> None:
    house, files = shop
    files.file(FIRST, name).write_bytes(b"\xff{")
    ann = await house.person(Role.ADMINISTRATOR)

    page = await ann.get(f"/models/email/{FIRST}")

    assert page.status_code == 200
    assert name in page.text


async def test_damaged_bundle_cannot_be_promoted_and_it_is_said_why(shop: tuple[House, Shop]) -> None:
    house, files = shop
    files.file(SECOND, "model.onnx").write_bytes(b"")
    ann = await house.person(Role.ADMINISTRATOR)

    answer = await ann.post(f"/models/email/{SECOND}/promote", {"instead_of": FIRST})

    assert answer.status_code == 409
    assert "model.onnx" in answer.text
    assert files.current() == FIRST


async def test_pinned_bundle_is_said_and_nothing_can_be_promoted(stocked: Path, tmp_path: Path) -> None:
    house = a_house(
        configure=lambda parts: replace(
            parts,
            models=pinned(a_shop(stocked, tmp_path, parts.ledger).parts, str(tmp_path / "sources" / SECOND)),  # type: ignore[arg-type]  # the store in memory
        )
    )
    ann = await house.person(Role.ADMINISTRATOR)

    page = (await ann.get("/models")).text

    assert "models.email" in page
    assert "/models/email/roll-back" not in page
    assert f"This page&#39;s worker serves {FIRST}" in page
    await house.close()


async def test_worker_that_still_serves_another_bundle_says_so(shop: tuple[House, Shop]) -> None:
    house, files = shop
    ann = await house.person(Role.AUDITOR)
    assert "worker serves" not in (await ann.get("/models")).text

    files.registry.promote(EMAIL, SECOND)

    assert f"This page&#39;s worker serves {FIRST}" in (await ann.get("/models")).text


async def disagreed(house: House, files: Shop) -> str:
    """A message that the candidate holds for spam."""
    files.registry.try_out(EMAIL, Trial(id=SECOND, share=1.0))
    scan = replace(a_scan(0.1), evidence=(Evidence(token="agenda", weight=-1.0),))
    decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=scan)
    message = an_envelope("eve@example.com", "bob@example.net")
    outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
    await house.store.record(Verdict.of(message, 1, decision, outcome, {}))
    await house.store.record_disagreement(
        Disagreement(
            message=message.id,
            channel=EMAIL,
            candidate=SECOND,
            candidate_probability=0.99,
            incumbent=FIRST,
            incumbent_probability=0.1,
            seen_at=house.clock.now(),
        )
    )
    return message.id


async def test_disagreements_of_a_trial_are_labelled_into_the_ledger(shop: tuple[House, Shop]) -> None:
    house, files = shop
    id = await disagreed(house, files)
    ann = await house.person(Role.ADMINISTRATOR, "ann@example.org")
    page = (await ann.get("/models")).text
    assert "eve@example.com" in page
    assert "agenda" in page

    answer = await ann.post("/history", {"id": id, "do": "ham", "back": "/models"})

    assert answer.headers["location"].startswith("/models?said=ham")
    (given,) = house.store.ledger.standing()
    assert (given.message_id, given.label, given.reporter) == (id, Label.HAM, "ann@example.org")
    assert (given.origin, given.is_for_all) == ("web", True)


async def test_auditor_sees_disagreements_without_words(shop: tuple[House, Shop]) -> None:
    house, files = shop
    await disagreed(house, files)
    auditor = await house.person(Role.AUDITOR)

    page = (await auditor.get("/models")).text

    assert "eve@example.com" in page
    assert "agenda" not in page


async def test_without_a_database_models_are_promoted_and_it_is_said(shop: tuple[House, Shop]) -> None:
    house, files = shop
    ann = await house.person(Role.ADMINISTRATOR)

    async def away(*_: str) -> None:
        raise StoreUnavailable("away")

    house.store.note = away  # type: ignore[method-assign, assignment]  # only the audit trail is away

    answer = await ann.post(f"/models/email/{SECOND}/promote", {"instead_of": FIRST})

    assert answer.headers["location"] == "/models?said=unaudited"
    assert files.current() == SECOND
