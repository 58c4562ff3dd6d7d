"""Choosing an active set: farthest points and CUR, on kernels or on features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import svd

from hamlearn.errors import ConfigError
from hamlearn.regression.positive import eigen_root, finite_array, matrix, square_matrix
from hamlearn.types import FloatArray, IntArray

Column = Callable[[int], ArrayLike]
SAME = 1e-12
EPS = float(np.finfo(np.float64).eps)


def farthest_points(
    kernel: ArrayLike | Column,
    n_select: int,
    diagonal: ArrayLike | None = None,
    first: int | None = None,
    seed: int = 0,
    tolerance: float = SAME,
) -> tuple[IntArray, FloatArray]:
    """Pick again and again the point with the largest d(A, chosen)^2 = min_B K(A,A) + K(B,B) - 2 K(A,B).

    Only the columns of chosen points are asked for, so that the kernel need not be held. Of equally far points the
    one of lowest index is taken. Rotating all points with an invariant kernel picks the same; permuting them the
    same points, ties apart.

    Args:
        kernel: matrix [n, n], or a function that returns the column of one point [n].
        n_select: number of points.
        diagonal: K(A, A) [n]; needed with a function.
        first: index of the first point; None: drawn with the seed.
        seed: of that draw.
        tolerance: stop when the largest squared distance is below this fraction of the largest K(A, A): all other
            points are duplicates of chosen ones.

    Returns:
        Indices in order [k], k = n_select unless there were only duplicates left, and the distance of each to those
        before it when it was chosen [k], infinite for the first.

    Raises:
        ConfigError: for more points than there are, a first point out of range, or a kernel that does not fit its
            diagonal.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eq. 9.
    """
    if not callable(kernel):
        whole = square_matrix(kernel, "the kernel")
        diagonal = whole.diagonal() if diagonal is None else diagonal

        def kernel(index: int) -> FloatArray:
            return whole[:, index]

    if diagonal is None:
        raise ConfigError("a kernel given by columns needs its diagonal K(A, A) [n] as well")
    k_aa, column = finite_array(diagonal, "the diagonal of the kernel"), kernel
    if k_aa.ndim != 1 or (k_aa < 0).any():
        raise ConfigError(f"the diagonal of the kernel, shape {list(k_aa.shape)}, must be [n] and not negative")
    scale = k_aa.max(initial=0.0)

    def squared_distances(index: int) -> FloatArray:
        k_ab = finite_array(column(index), f"column {index} of the kernel")
        if k_ab.shape != k_aa.shape or abs(k_ab[index] - k_aa[index]) > 1e-8 * scale:
            raise ConfigError(
                f"column {index} of the kernel does not fit the diagonal; give K(A, A) of the same points"
            )
        return k_aa + k_aa[index] - 2 * k_ab

    return _farthest(squared_distances, len(k_aa), n_select, first, seed, tolerance * scale)


def farthest_points_of_features(
    x: ArrayLike, n_select: int, first: int | None = None, seed: int = 0, tolerance: float = SAME
) -> tuple[IntArray, FloatArray]:
    """Pick again and again the row with the largest min_B |x_A - x_B|^2; see :func:`farthest_points`.

    Args:
        x: features [n, q].
        n_select: number of points.
        first: index of the first point; None: drawn with the seed.
        seed: of that draw.
        tolerance: of duplicates, as a fraction of the largest |x_A|^2.
    """
    rows = matrix(x, "the features")
    scale = (rows**2).sum(axis=1).max(initial=0.0)
    return _farthest(
        lambda index: ((rows - rows[index]) ** 2).sum(axis=1), len(rows), n_select, first, seed, tolerance * scale
    )


def _farthest(
    squared_distances: Callable[[int], FloatArray],
    n: int,
    n_select: int,
    first: int | None,
    seed: int,
    tolerance: float,
) -> tuple[IntArray, FloatArray]:
    _check_number(n_select, n)
    chosen = int(np.random.default_rng(seed).integers(n)) if first is None else first
    if not 0 <= chosen < n:
        raise ConfigError(f"the first point is {first}; expected an index from 0 to {n - 1}")
    indices, squared = [chosen], [np.inf]
    nearest = np.full(n, np.inf)
    while len(indices) < n_select:
        np.minimum(nearest, squared_distances(chosen), out=nearest)
        np.maximum(nearest, 0.0, out=nearest)  # rounding
        nearest[chosen] = 0.0
        chosen = int(nearest.argmax())
        if nearest[chosen] <= tolerance:
            break
        indices.append(chosen)
        squared.append(nearest[chosen])
    return np.array(indices), np.sqrt(squared)


def cur_select(
    d: ArrayLike, n_select: int, k: int = 20, axis: int = 0, stochastic: bool = False, seed: int = 0
) -> IntArray:
    """Pick rows or columns of D = U S V^T by leverage, pi_A = (1/k) sum_{xi <= k} U_{A xi}^2.

    One at a time the row of largest pi is picked and projected out of all others; or all at once at random with
    probabilities pi. Orthogonal transformations of the other axis leave the choice as it is.

    Args:
        d: features of configurations [n, q].
        n_select: number of rows or columns.
        k: number of singular vectors in pi, or as many as the rank allows.
        axis: 0 picks rows (configurations), 1 columns (features).
        stochastic: at random instead of one at a time.
        seed: of the random choice.

    Returns:
        Indices in order [n_select], fewer if what is left of D vanishes before.

    Raises:
        ConfigError: for more picks than there are rows, or a matrix that is not finite.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 10 and 11; Imbalzano et al.,
    J. Chem. Phys. 148, 241730 (2018).
    """
    if axis not in (0, 1):
        raise ConfigError(f"axis is {axis}; expected 0 to pick rows or 1 to pick columns")
    rows = matrix(d, "the matrix")
    rows = rows if axis == 0 else rows.T
    _check_number(n_select, len(rows))
    if k < 1:
        raise ConfigError(f"the leverage is a mean over k = {k} vectors; expected at least 1")
    u, s, _ = svd(rows, full_matrices=False, check_finite=False)
    smallest = max(rows.shape) * EPS * s.max(initial=0.0)
    if stochastic:
        return _draw(_leverage(u[:, s > smallest][:, :k]), n_select, seed)
    left = u * s  # the rows in the basis V: the same scalar products, never more columns than rows
    chosen: list[int] = []
    while len(chosen) < n_select and (s > smallest).any():
        chosen.append(int(_leverage(u[:, s > smallest][:, :k]).argmax()))
        direction = left[chosen[-1]] / np.linalg.norm(left[chosen[-1]])
        left = left - np.outer(left @ direction, direction)
        left[chosen] = 0.0
        u, s, _ = svd(left, full_matrices=False, check_finite=False)
    return np.array(chosen, dtype=np.int64)


def cur_kernel(kernel: ArrayLike, n_select: int, k: int = 20, stochastic: bool = False, seed: int = 0) -> IntArray:
    """Pick points by the leverage of the eigenvectors of K: what :func:`cur_select` picks of D, if K = D D^T.

    Args:
        kernel: positive semi-definite [n, n].
        n_select: number of points.
        k: number of eigenvectors in the leverage, or as many as the rank allows.
        stochastic: all at once at random, with the leverage as probability.
        seed: of the random choice.

    Returns:
        Indices in order [n_select], fewer if what is left of K vanishes before.

    Raises:
        ConfigError: for more picks than points, or a kernel that is not symmetric, finite and positive.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 10 and 11.
    """
    whole = square_matrix(kernel, "the kernel")
    d = whole @ eigen_root(whole, len(whole) * EPS, "the kernel")  # U v^1/2
    return cur_select(d, n_select, k, 0, stochastic, seed)


def _leverage(vectors: FloatArray) -> FloatArray:
    return (vectors**2).mean(axis=1) if vectors.shape[1] else np.zeros(len(vectors))


def _draw(leverage: FloatArray, n_select: int, seed: int) -> IntArray:
    """Return different indices drawn with given probabilities."""
    possible = int(np.count_nonzero(leverage))
    if not possible:
        return np.zeros(0, dtype=np.int64)
    p = leverage / leverage.sum()
    return np.random.default_rng(seed).choice(len(p), min(n_select, possible), replace=False, p=p)


def _check_number(n_select: int, n: int) -> None:
    if not 1 <= n_select <= n:
        raise ConfigError(f"{n_select} points cannot be chosen of {n}; choose from 1 to {n}")
