"""Copies of training messages as they come too: stored without case and digits, or disguised the way spammers do.

Both labels are copied alike, so that a disguise by itself says nothing. The copies are drawn by a hash of the example:
the same examples give the same copies.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from filterd.core.envelope import Channel
from trainer.attacks import ATTACKS
from trainer.example import Example, draw

_DISGUISES = (
    *("typos-10", "typos-30", "leet-50", "leet-100", "homoglyphs-100", "zero-width-words", "bidi-reversed"),
    *("spaced-30", "case-flips-50", "shortener", "header-drop", "entities"),
)
"""What a copy may suffer. Hidden text and borrowed ham are left to the drawing of batches, which pads spam."""
_MARK = "~"


def copies(examples: Sequence[Example], *, flat: float, disguised: float) -> tuple[Example, ...]:
    """A share ``flat`` of the SMS and a share ``disguised`` of all once more, each [0, 1]; ids end in ``~change``."""
    return (*flattened(examples, flat), *_disguised(examples, disguised))


def origin(copy: Example) -> str:
    """Id of the example that this one is a copy of."""
    return copy.id.rpartition(_MARK)[0]


def flattened(examples: Sequence[Example], share: float) -> tuple[Example, ...]:
    """A share of these SMS once more, in lower case without digits, as part of one corpus is stored."""
    chosen = [e for e in examples if e.channel is Channel.SMS and draw(e, "flatten") < share]
    drop = str.maketrans("", "", "0123456789")
    return tuple(
        replace(e, raw=e.raw.decode("utf-8", "replace").lower().translate(drop).encode(), id=f"{e.id}{_MARK}flat")
        for e in chosen
    )


def _disguised(examples: Sequence[Example], share: float) -> tuple[Example, ...]:
    out = []
    for example in examples:
        if draw(example, "disguise") < share:
            rng = random.Random(f"{example.corpus}/{example.id}")  # noqa: S311  (no secret)
            known = [name for name in _DISGUISES if example.channel in ATTACKS[name].channels]
            out.append(ATTACKS[rng.choice(known)].on(example, rng))
    return tuple(out)
