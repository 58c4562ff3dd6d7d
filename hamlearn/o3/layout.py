"""Where the coefficient k^{l sigma}_{m m'} of a function on O(3) lies in its array."""

from __future__ import annotations

from functools import cache

import numpy as np

from hamlearn.types import IntArray


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
def sign_pattern(max_l: int, n_sigma: int) -> IntArray:
    """Return which elements change the sign of D^{l sigma}_{mm'}, for the rows (sigma, component), sigma = +1 first.

    Bit 0: inversion, which multiplies by sigma (-1)^l; bits 1 and 2: a half turn about z from the left and from the
    right, which multiply by (-1)^m and (-1)^m'. Read-only.
    """
    patterns = []
    for l in range(max_l + 1):
        odd_m = np.abs(np.arange(-l, l + 1)) % 2
        patterns.append((l % 2 + 2 * odd_m[:, None] + 4 * odd_m).ravel())
    plus = np.concatenate(patterns)
    out = np.concatenate([plus ^ s for s in range(n_sigma)])
    out.flags.writeable = False
    return out
