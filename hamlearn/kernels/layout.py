"""Where the coefficient k^{l sigma}_{m m'} of a function on O(3) lies in its array."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def n_components(max_l: int) -> int:
    """Return the number of (l, m, m') with l <= max_l: the sum of (2l + 1)^2."""
    return (max_l + 1) * (2 * max_l + 1) * (2 * max_l + 3) // 3


def component_slice(l: int) -> slice:
    """Return where the (m, m') of one l lie, row m first, in the order of the components."""
    return slice(n_components(l - 1) if l else 0, n_components(l))


@cache
def l_of_component(max_l: int) -> IntArray:
    """Return l of every component [component], read-only."""
    out = np.repeat(np.arange(max_l + 1), (2 * np.arange(max_l + 1) + 1) ** 2)
    out.flags.writeable = False
    return out


@cache
def is_even(max_l: int, n_sigma: int) -> NDArray[np.bool_]:
    """Return whether D^{l sigma}(-R) = D^{l sigma}(R) for the rows (sigma, component), sigma = +1 first, read-only.

    Inversion multiplies a term by sigma (-1)^l.
    """
    l = l_of_component(max_l)
    out = np.concatenate([l % 2 == s for s in range(n_sigma)])
    out.flags.writeable = False
    return out
