"""Real Clebsch-Gordan coefficients and Wigner D matrices (numpy)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hamlearn.types import FloatArray


def complex_to_real(l: int) -> NDArray[np.complex128]:
    """Return U with Y_real = U Y_complex (Condon-Shortley phase), both ordered m = -l..l [2l+1, 2l+1]."""
    u = np.zeros((2 * l + 1, 2 * l + 1), dtype=np.complex128)
    u[l, l] = 1.0
    for m in range(1, l + 1):
        sign = (-1) ** m
        u[l - m, [l - m, l + m]] = np.array([1j, -1j * sign]) / np.sqrt(2)
        u[l + m, [l - m, l + m]] = np.array([1.0, sign]) / np.sqrt(2)
    return u


@cache
def clebsch_gordan(l1: int, l2: int, l: int) -> FloatArray:
    """Return C^{l1 l2 l}[m1, m2, m] for real harmonics [2 l1 + 1, 2 l2 + 1, 2 l + 1], read-only.

    C couples equivariants: C(D^{l1} a, D^{l2} b) = s D^l C(a, b), s = 1 for proper and (-1)^(l1 + l2 + l) for
    improper R. Exchange: C^{l2 l1 l}[m2, m1, m] = (-1)^(l1 + l2 - l) C^{l1 l2 l}[m1, m2, m].

    Raises:
        ValueError: outside the triangle |l1 - l2| <= l <= l1 + l2.
    """
    if not abs(l1 - l2) <= l <= l1 + l2:
        raise ValueError(f"no coupling of l = {l1} and {l2} to {l}; expected {abs(l1 - l2)} to {l1 + l2}")
    import wigners

    c = wigners.clebsch_gordan_array(l1, l2, l).astype(np.complex128)
    u1, u2, u = (complex_to_real(k) for k in (l1, l2, l))
    real = np.einsum("ap,bq,pqr,cr->abc", u1.conj(), u2.conj(), c, u)
    if (l1 + l2 + l) % 2:
        real = real * -1j
    out = np.ascontiguousarray(real.real)
    out[np.abs(out) < 1e-15] = 0.0
    out.flags.writeable = False
    return out


def real_wigner_d(rotation: ArrayLike, max_l: int) -> list[FloatArray]:
    """Return D^l(R) for l = 0..max_l, each [2l+1, 2l+1], with Y_l(R x) = D^l(R) Y_l(x).

    D^l is the projection of D^1 x D^(l-1) on l, exact for every R in O(3): no Euler angles, no special cases.

    Args:
        rotation: orthogonal matrix [3, 3], proper or improper.
        max_l: largest l, inclusive.

    Raises:
        ValueError: if ``rotation`` is not orthogonal to 1e-8.
    """
    r = np.asarray(rotation, dtype=np.float64)
    if r.shape != (3, 3) or not np.allclose(r @ r.T, np.eye(3), atol=1e-8):
        raise ValueError("expected an orthogonal 3 x 3 matrix; orthogonalise it first")
    yzx = [1, 2, 0]
    d = [np.ones((1, 1)), r[np.ix_(yzx, yzx)]]
    for l in range(2, max_l + 1):
        c = clebsch_gordan(1, l - 1, l)
        d.append(np.einsum("abc,ad,be,def->cf", c, d[1], d[l - 1], c, optimize=True))
    return d[: max_l + 1]
