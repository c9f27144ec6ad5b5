"""Hostile messages, composed on the fly: a shape is a family of them, and every message has a name that makes it again.

Nothing is stored. ``b3-parts#17`` is the eighteenth message of the shape ``b3-parts``; its bytes depend on the seed,
its name and nothing else. The rows B1 to B12 of ``docs/threats.md`` each have shapes.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.hostile.content import CONTENT
from tests.hostile.headers import HEADERS
from tests.hostile.pages import PAGES
from tests.hostile.structure import STRUCTURE

SEED = 20_261_127
Make = Callable[[random.Random], bytes]
SHAPES: Mapping[str, Make] = {**STRUCTURE, **CONTENT, **PAGES, **HEADERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One hostile message."""

    name: str
    """Its shape and number."""
    raw: bytes


def make(name: str, seed: int = SEED) -> Hostile:
    """The message called ``shape#number``."""
    shape = name.partition("#")[0]
    return Hostile(name=name, raw=SHAPES[shape](random.Random(f"{seed}/{name}")))


def compose(count: int, seed: int = SEED) -> Iterator[Hostile]:
    """At least ``count`` messages, the same number of every shape."""
    for number, shape in itertools.product(range(math.ceil(count / len(SHAPES))), SHAPES):
        yield make(f"{shape}#{number}", seed)
