"""Each value once, for arrays of the size of a message."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


def distinct(values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """The values ascending, each once; sorts ``values`` in place.

    np.unique hashes, and costs three times this sort at such sizes.
    """
    values.sort()
    is_new = np.empty(len(values), dtype=np.bool_)
    is_new[:1] = True
    np.not_equal(values[1:], values[:-1], out=is_new[1:])
    return values[is_new]
