"""Radial functions of densities: of Gaussian type, or those that reproduce the overlaps of neighbour Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from hamlearn.angular.rotation_grid import haar_weights
from hamlearn.config import DensitySettings
from hamlearn.density.cutoff import neighbour_weight
from hamlearn.density.gaussian_overlap import neighbour_width, radial_overlap
from hamlearn.density.gto import gto_integrals, gto_widths
from hamlearn.types import FloatArray

SMALLEST_DISTANCE = 0.3  # Å; atoms closer than this are refused when structures are read
POINTS_PER_WIDTH = 3.0  # of the support points of overlaps: their number is set by the narrowest Gaussians
WIDEST_STEP = 0.75  # Å, however wide the Gaussians are
RELATIVE_EIGENVALUE = 1e-10  # radial functions and channels below are rounding noise
OVERLAP_POINTS = 2000
GTO_STEP_ANGSTROM = 0.004
MAX_PRIMITIVES = 16  # a larger Gaussian basis is linearly dependent in float64


@dataclass(frozen=True, eq=False)
class RadialFunctions:
    """R_nl(r) with cut-off, scaling and decay: a cubic spline, differentiable, zero from the cut-off on.

    Attributes:
        settings: of the density.
        knots: equally spaced [knot], Å.
        table: values at the knots [knot, l, n].
        weighted: whether the table holds the weight of a neighbour; if not, its exact value multiplies the spline.
    """

    settings: DensitySettings
    knots: FloatArray
    table: FloatArray
    weighted: bool

    @property
    def n_functions(self) -> int:
        """Number of functions of each l."""
        return self.table.shape[2]

    def __call__(self, r: Tensor) -> Tensor:
        """Return the functions at distances [pair], Å [pair, l, n]; dtype and device are those of ``r``."""
        x, (c3, c2, c1, c0) = self._polynomials(r)
        return self._weighted(((c3 * x + c2) * x + c1) * x + c0, self._weight(r))

    def with_slopes(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Return the functions and their derivatives with respect to the distance [pair, l, n]."""
        x, (c3, c2, c1, c0) = self._polynomials(r)
        spline, slope = ((c3 * x + c2) * x + c1) * x + c0, (3 * c3 * x + 2 * c2) * x + c1
        with torch.enable_grad():
            at = r.detach().requires_grad_()
            weight = self._weight(at)
            (weight_slope,) = torch.autograd.grad((weight + 0 * at).sum(), at)  # 0: where the table holds the weight
        weight = weight.detach()
        return self._weighted(spline, weight), self._weighted(slope, weight) + self._weighted(spline, weight_slope)

    def _polynomials(self, r: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return places within the intervals of the knots [pair, 1], and coefficients of the powers [pair, l x n]."""
        start, step = self.knots[0], (self.knots[-1] - self.knots[0]) / (len(self.knots) - 1)
        interval = ((r.detach() - start) / step).floor().clamp(0, len(self.knots) - 2)
        x = r - (start + step * interval)
        return x[:, None], self._coefficients.to(r)[interval.long()].unbind(1)

    def _weight(self, r: Tensor) -> Tensor:
        """Return what multiplies the spline [pair]."""
        inside = (r < self.settings.cutoff_angstrom).to(r)
        return inside if self.weighted else inside * neighbour_weight(r, self.settings)

    def _weighted(self, values: Tensor, weight: Tensor) -> Tensor:
        return (values * weight[:, None]).unflatten(1, self.table.shape[1:])

    @cached_property
    def _coefficients(self) -> Tensor:
        """Of the cubic polynomials, highest power first [interval, 4, l x n]."""
        c = CubicSpline(self.knots, self.table.reshape(len(self.table), -1)).c
        with torch.inference_mode(False):  # whoever asks first, derivatives may be asked for later
            return torch.from_numpy(np.ascontiguousarray(c.transpose(1, 0, 2)))


def radial_functions(settings: DensitySettings) -> RadialFunctions:
    """Return the radial functions of a density, made once for equal settings.

    ``gto``: integrals of the neighbour's Gaussian with an orthonormal basis of Gaussian type. ``overlap``: as many
    functions as it takes that sum_n R_nl(r) R_nl(r') = f(r) f(r') kappa_l(r, r'), the overlap of two Gaussians.
    """
    return _radial_functions(settings.density())


@lru_cache(maxsize=32)
def _radial_functions(s: DensitySettings) -> RadialFunctions:
    cutoff = s.cutoff_angstrom
    if s.radial == "gto":
        knots = np.linspace(0.0, cutoff, int(np.ceil(cutoff / GTO_STEP_ANGSTROM)) + 1)
        table = _gto_table(knots, s)
    else:
        knots = np.linspace(SMALLEST_DISTANCE / 2, cutoff, OVERLAP_POINTS)
        table = _overlap_table(knots, s) * neighbour_weight(torch.from_numpy(knots), s).numpy()[:, None, None]
    if s.l_weight == "haar":
        table *= np.sqrt(haar_weights(s.max_l))[:, None]
    return RadialFunctions(s, knots, table, weighted=s.radial == "overlap")


def _gto_table(r: FloatArray, s: DensitySettings) -> FloatArray:
    """Return the integrals with the Gaussian-type basis [r, l, n]; a wider Gaussian is lower, as its volume stays."""
    n, is_separate = s.n_radial, s.max_channels is None and s.is_optimal
    n = max(n, min(2 * n, MAX_PRIMITIVES)) if is_separate else n
    width = neighbour_width(r, s.smearing_angstrom, s.smearing_growth_angstrom)
    integrals = gto_integrals(r, gto_widths(s.cutoff_angstrom, s.cutoff_width_angstrom, n), width, s.max_l)
    return integrals * ((s.smearing_angstrom / width) ** 3)[:, None, None]


def _overlap_table(r: FloatArray, s: DensitySettings) -> FloatArray:
    """Return a Nyström expansion of the overlap of Gaussians in functions of one distance [r, l, n].

    Good to 1e-7 of the overlap with the default widths and to 1e-5 with the narrowest ones published.
    """
    support = _support(s)
    width = neighbour_width(support, s.smearing_angstrom, s.smearing_growth_angstrom)
    own = neighbour_width(r, s.smearing_angstrom, s.smearing_growth_angstrom)
    gram = radial_overlap(support[:, None], support[None], width[:, None], width[None], s.max_l)
    cross = radial_overlap(r[:, None], support[None], own[:, None], width[None], s.max_l)
    functions = []
    for l in range(s.max_l + 1):
        balance = 1.0 / np.sqrt(np.diagonal(gram[..., l]))  # narrow Gaussians near the centre dwarf all others
        value, vector = np.linalg.eigh(gram[..., l] * balance[:, None] * balance)
        kept = value > RELATIVE_EIGENVALUE * value[-1]
        functions.append((cross[..., l] * balance) @ (vector[:, kept] / np.sqrt(value[kept]))[:, ::-1])
    n = max(f.shape[1] for f in functions)
    return np.stack([np.pad(f, ((0, 0), (0, n - f.shape[1]))) for f in functions], axis=1)


def _support(s: DensitySettings) -> FloatArray:
    """Return points whose spacing follows the width of the Gaussians."""
    fine = np.linspace(SMALLEST_DISTANCE / 2, s.cutoff_angstrom, 20000)
    width = neighbour_width(fine, s.smearing_angstrom, s.smearing_growth_angstrom)
    density = POINTS_PER_WIDTH / np.minimum(width, WIDEST_STEP)
    position = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(fine))])
    n = int(np.ceil(position[-1]))
    return np.interp(np.linspace(0, position[-1], n + 1), position, fine)
