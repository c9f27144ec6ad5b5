"""A recipe is read strictly: what it does not know or cannot use is named with its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from trainer import recipe
from trainer.config import TrainConfig, defaults
from trainer.errors import RecipeError


class Shade(StrEnum):
    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    height: float
    shade: Shade = Shade.DARK

    def __post_init__(self) -> None:
        if self.height <= 0:
            raise ValueError("height must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    name: str
    lamps: tuple[Lamp, ...] = ()
    seats: Mapping[str, int] | None = None
    is_lit: bool = False


def written(folder: Path, text: str, kind: str = "sequence") -> str:
    path = folder / "made-up.toml"
    path.write_text(f'kind = "{kind}"\n{text}')
    return str(path)


def test_into_when_every_key_is_known_then_values_have_their_types(tmp_path):
    text = 'name = "hall"\nis_lit = true\nseats = {oak = 4}\n[[lamps]]\nheight = 2\nshade = "light"\n'

    room = recipe.find(written(tmp_path, text)).into(Room)

    assert room.lamps == (Lamp(height=2.0, shade=Shade.LIGHT),)
    assert isinstance(room.lamps[0].height, float)
    assert dict(room.seats or {}) == {"oak": 4}
    assert room.is_lit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param('nme = "x"', "unknown key nme; the nearest known key is name", id="misspelled"),
        pytest.param(
            'name = "x"\n[[lamps]]\nheigth = 1.0', r"unknown key lamps\[0\]\.heigth; .* lamps\[0\]\.height", id="nested"
        ),
        pytest.param("name = 3", "name is 3, expected text", id="number for text"),
        pytest.param('name = "x"\nis_lit = 1', "is_lit is 1, expected true or false", id="number for truth"),
        pytest.param('name = "x"\nseats = {oak = true}', "seats.oak is True, expected a whole number", id="in a table"),
        pytest.param('name = "x"\nlamps = 3', "lamps is 3, expected a list", id="number for a list"),
        pytest.param('name = "x"\nseats = 3', "seats is 3, expected a table", id="number for a table"),
        pytest.param('name = "x"\nlamps = [3]', r"lamps\[0\] is 3, expected a table", id="number for an entry"),
        pytest.param(
            'name = "x"\n[[lamps]]\nheight = 1\nshade = "dim"', "expected one of dark, light", id="closed set"
        ),
        pytest.param('name = "x"\n[[lamps]]\nheight = -1', "height must be above 0", id="out of range"),
        pytest.param("", "the key name is missing", id="missing"),
    ],
)
def test_into_when_a_key_or_value_is_wrong_then_file_and_key_are_named(tmp_path, text, words):
    found = recipe.find(written(tmp_path, text))

    with pytest.raises(RecipeError, match=words) as raised:
        found.into(Room)

    assert "made-up.toml" in str(raised.value)


def test_find_when_the_name_is_unknown_then_the_known_ones_are_listed():
    with pytest.raises(RecipeError) as raised:
        recipe.find("lstm-41")

    assert all(name in str(raised.value) for name in ("'lstm-41'", "email", "sms"))


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        pytest.param("sequence", "a = [", "cannot be read as TOML", id="not TOML"),
        pytest.param("oracle", "", "kind is 'oracle', expected one of gateway, sequence", id="unknown kind"),
    ],
)
def test_find_when_the_file_is_no_recipe_then_it_is_named(tmp_path, kind, text, words):
    with pytest.raises(RecipeError, match=words) as raised:
        recipe.find(written(tmp_path, text, kind))

    assert "made-up.toml" in str(raised.value)


@pytest.mark.parametrize("channel", Channel)
def test_defaults_when_asked_then_they_are_the_recipe_of_the_channel(channel):
    config = defaults(channel)

    assert config == recipe.find(channel.value).into(TrainConfig)
    assert config.channel is channel
    assert config.split.caps
