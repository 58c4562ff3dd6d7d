"""How uncertain predictions are: the Gaussian posterior of a regression, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.linalg import eigh

from hamlearn.parallel.one_thread import one_thread
from hamlearn.types import FloatArray, IntArray

MOST_FOR_VARIANCE = 1500
"""Columns of a basis that variances are computed from; to leave out the others makes variances larger as a rule."""


@dataclass(frozen=True)
class Posterior:
    """V = s^2 [k(*, *) - u u^T + u diag(alpha / (v + alpha)) u^T + noise alpha], u = k W, for every target.

    u u^T is what the directions W of the basis hold of the prior k(*, *), data with the squares v leave the fraction
    alpha / (v + alpha) of it. For features k(*, *) = x x^T, and what lies outside the directions is a square as well:
    small variances are not differences of large ones.

    Attributes:
        directions: W [column, r], W^T K W = 1; with infinite squares the square root of what data explain.
        squares: v [r].
        alphas: absolute regularisation of every target [target].
        scales: prior variance s^2 of every target [target].
        noise: 1 if single data carry the noise s^2 alpha, which is what the basis cannot express; 0 if not.

    Turning the rows of samples with their kernels turns the covariance, V -> D V D^T.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.8, 2.26 and 8.27.
    """

    directions: FloatArray
    squares: FloatArray
    alphas: FloatArray
    scales: FloatArray
    noise: float = 1.0

    @classmethod
    def of_factor(cls, factor: FloatArray, scales: FloatArray, alphas: FloatArray, noise: float = 0.0) -> Posterior:
        """Return the posterior s^2 (k(*, *) - (k F)(k F)^T + noise alpha) from F [column, r]."""
        return cls(factor, np.full(factor.shape[1], np.inf), alphas, scales, noise)

    def covariances(
        self, k: FloatArray, sizes: Sequence[int], priors: Sequence[FloatArray] | None = None
    ) -> list[FloatArray]:
        """Return the covariance of the rows of every structure [target, row, row].

        Args:
            k: kernels with the columns, or features, of all rows, structure by structure [row, column].
            sizes: number of rows of each structure.
            priors: k(*, *) of each structure [row, row]; None: k are features.
        """
        ends = np.cumsum(sizes)[:-1]
        u = k @ self.directions
        left = np.sqrt(damping(self.squares, self.alphas))[:, None]  # [target, 1, r]
        outside = np.split(k - u @ self.directions.T, ends) if priors is None else []
        with one_thread():
            return self._of_structures(np.split(u, ends), outside, left, priors)

    def _of_structures(
        self,
        parts: Sequence[FloatArray],
        outside: Sequence[FloatArray],
        left: FloatArray,
        priors: Sequence[FloatArray] | None,
    ) -> list[FloatArray]:
        """Return the covariance of every structure from its directions and what lies outside them."""
        out = []
        for index, own in enumerate(parts):
            unseen = outside[index] @ outside[index].T if priors is None else priors[index] - own @ own.T
            if np.isfinite(self.squares).any():
                scaled = own * left
                unseen = unseen + scaled @ scaled.transpose(0, 2, 1)
            else:
                unseen = np.repeat(unseen[None], len(self.alphas), axis=0)
            if self.noise:
                rows, noise = np.arange(len(own)), self.noise * self.alphas[:, None]
                unseen[:, rows, rows] = np.maximum(unseen[:, rows, rows], 0.0) + noise  # no less than that of a datum
            out.append(self.scales[:, None, None] * unseen)
        return out

    def arrays(self) -> dict[str, FloatArray]:
        """Return everything by name, to be read by :meth:`from_arrays`."""
        return {f.name: np.asarray(getattr(self, f.name), dtype=np.float64) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, FloatArray]) -> Posterior:
        """Return the posterior whose :meth:`arrays` these are."""
        return cls(**{f.name: arrays[f.name] for f in fields(cls) if f.name != "noise"}, noise=float(arrays["noise"]))


def damping(squares: FloatArray, alphas: FloatArray) -> FloatArray:
    """Return alpha / (v + alpha), what is left of the prior variance [alpha, r]; 0 for infinite squares."""
    return alphas[:, None] / (squares + alphas[:, None])


def variance_factor(root: FloatArray, rows: FloatArray, alpha: float) -> FloatArray:
    """Return F with K_SS^-1 - alpha (R^T R + alpha K_SS)^-1 = F F^T [column, r].

    Args:
        root: of the kernel of the columns with themselves, by :func:`active_root`.
        rows: R, the kernel K_NS of data and columns or any R with R^T R = K_SN K_NS.
        alpha: regularisation.

    The variance that data leave of f is k(*, *) - (k F)(k F)^T; with all data as columns it is the exact one.

    Source: Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), eq. 20 without noise.
    """
    whitened = rows @ root  # before it is squared: K_SN K_NS has lost what alpha tells apart
    value, vector = eigh(whitened.T @ whitened, check_finite=False)
    value = value.clip(min=0.0)
    return root @ (vector * np.sqrt(value / (value + alpha)))


def variance_columns(n: int, width: int = 1) -> IntArray:
    """Return the columns that variances are computed from: those of evenly spaced samples of ``width`` columns each."""
    samples = n // width
    chosen = np.unique(np.linspace(0, samples - 1, min(samples, max(1, MOST_FOR_VARIANCE // width))).astype(np.int64))
    return (width * chosen[:, None] + np.arange(width)).ravel()
