"""One's own account: when the digest comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from filterd.core.access import Role
from filterd.core.digest import Schedule
from filterd.web_settings import DigestSettings, WebSettings
from tests.filterd.web_visitor import House, a_house

ANN = "ann@example.org"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = a_house(
        WebSettings(public_url="http://filter.local", digest=DigestSettings(sender="filter@example.org", at="06:30"))
    )
    yield house
    await house.close()


async def schedule_of(house: House) -> Schedule | None:
    account = await house.store.accounts.find_account(ANN)
    assert account is not None
    return account.digest


async def test_digest_follows_the_settings_until_one_chooses(house: House) -> None:
    ann = await house.person(Role.USER, ANN, addresses=(ANN,))
    assert "as for everybody: every day, 06:30" in (await ann.get("/account")).text

    answer = await ann.post("/account/digest", {"rhythm": "workdays", "at": "08:15", "zone": "Europe/Berlin"})

    assert answer.headers["location"] == "/account?said=saved"
    assert await schedule_of(house) == Schedule.of("workdays 08:15 Europe/Berlin")
    page = (await ann.get("/account")).text
    assert '<option value="workdays" selected>' in page
    assert 'value="08:15"' in page

    await ann.post("/account/digest", {"rhythm": "", "at": "08:15", "zone": "Europe/Berlin"})
    assert await schedule_of(house) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"rhythm": "hourly", "at": "07:00", "zone": "UTC"},
        {"rhythm": "daily", "at": "25:00", "zone": "UTC"},
        {"rhythm": "daily", "at": "07:00", "zone": "Europe/Atlantis"},
        {"rhythm": "daily", "at": "07:00", "zone": "../../etc/passwd"},
        {"rhythm": "daily"},
    ],
)
async def test_digest_at_no_time_there_is_changes_nothing(house: House, fields: dict[str, str]) -> None:
    ann = await house.person(Role.USER, ANN, addresses=(ANN,))

    assert (await ann.post("/account/digest", fields)).status_code == 409
    assert await schedule_of(house) is None


@pytest.mark.parametrize(("role", "is_offered"), [(role, role is not Role.AUDITOR) for role in Role])
async def test_digest_is_offered_to_who_may_act(house: House, role: Role, *, is_offered: bool) -> None:
    somebody = await house.person(role, ANN, addresses=(ANN,))

    assert ("/account/digest" in (await somebody.get("/account")).text) is is_offered


async def test_digest_is_not_offered_where_none_is_sent() -> None:
    house = a_house()
    ann = await house.person(Role.USER, ANN, addresses=(ANN,))

    assert "/account/digest" not in (await ann.get("/account")).text
    await house.close()
