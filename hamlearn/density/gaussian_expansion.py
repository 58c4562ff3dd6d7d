"""Densities whose scalar products are the analytic overlaps of neighbour Gaussians with distance-dependent widths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from hamlearn.angular.elements import symbol
from hamlearn.angular.harmonics import harmonics_with_gradients, spherical_harmonics
from hamlearn.angular.rotation_grid import haar_weights
from hamlearn.config import KernelSettings
from hamlearn.density.cutoff import shifted_cosine
from hamlearn.density.gaussian_overlap import neighbour_width, radial_overlap
from hamlearn.density.likeness import coupling_factor
from hamlearn.density.neighbours import Batch
from hamlearn.errors import DomainError
from hamlearn.types import FloatArray, IntArray

SMALLEST_DISTANCE = 0.3  # Å; atoms closer than this are refused when structures are read
POINTS_PER_WIDTH = 3.0  # of the radial functions' support points: their number is set by the narrowest Gaussians
WIDEST_STEP = 0.75  # Å, however wide the Gaussians are
RELATIVE_EIGENVALUE = 1e-10  # radial functions and channels below are rounding noise
SPLINE_POINTS = 2000


@dataclass(frozen=True)
class Gradients:
    """dc(i)/dr_j of every neighbour j of the atoms of one species; dc(i)/dr_i is minus their sum.

    Attributes:
        row: row of the centre among the atoms of its species [pair].
        centre: flat index of the centre [pair].
        neighbour: flat index of the neighbour [pair].
        values: [pair, 3 (x, y, z), (max_l + 1)^2, q].
    """

    row: IntArray
    centre: IntArray
    neighbour: IntArray
    values: Tensor


@dataclass
class GaussianExpansion:
    """c_{q l m}(i) = sum_j f(r_ij) R_{q l}(r_ij) Y_lm(r_ij), with sum_q c c' = the analytic kernel of order 1.

    Radial functions are found once from the overlap of Gaussians on support points (a Nyström expansion, good to 1e-7
    of the overlap with the default widths and 1e-5 with the narrowest ones published), then contracted, elements and
    radial functions jointly, to the channels that carry the densities of the training set.

    Attributes:
        settings: cut-offs, widths and sizes.
        contraction_: (centre species, neighbour species) -> [l, radial function, channel].
        scale_: factor that makes the mean squared norm of a training density 1, contained in the contraction.

    Densities transform as c -> D^l(R) c for R in O(3), are invariant to translations and follow permutations.
    """

    settings: KernelSettings
    contraction_: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    scale_: float = 1.0

    def fit(self, batches: Iterable[Batch]) -> GaussianExpansion:
        """Find channels and the common scale that makes the mean squared norm of a density 1."""
        covariance: dict[int, FloatArray] = {}
        species: set[int] = set()
        batches = list(batches)
        for batch in batches:
            species |= {int(z) for z in batch.species}
        order, count = sorted(species), 0
        for batch in batches:
            count += len(batch.species)
            for z, c in self._primitive_densities(batch, order).items():
                by_l = [c[:, l * l : (l + 1) ** 2].flatten(0, 1) for l in range(self.settings.max_l + 1)]
                covariance[z] = covariance.get(z, np.zeros(())) + np.stack([(x.T @ x).numpy() for x in by_l])
        norm = sum(float(np.trace(c, axis1=1, axis2=2).sum()) for c in covariance.values()) / max(count, 1)
        self.scale_ = float(1.0 / np.sqrt(norm)) if norm > 0 else 1.0
        coupling = np.kron(coupling_factor(order, self.settings.element_likeness), np.eye(self._radial.n_functions))
        for z, total in covariance.items():
            channels = coupling.T @ _channels(coupling @ total @ coupling.T, self.settings.max_channels) * self.scale_
            for position, a in enumerate(order):
                own = slice(position * self._radial.n_functions, (position + 1) * self._radial.n_functions)
                unseen = self.settings.element_likeness is None and not total[:, own, own].any()
                block = np.zeros_like(channels[:, own]) if unseen else channels[:, own]
                self.contraction_[z, a] = torch.from_numpy(np.ascontiguousarray(block))
        return self

    def uncontracted(self) -> GaussianExpansion:
        """Return the expansion that leaves nothing of a density out, on the same scale.

        The channels of a fit carry every kernel with a training density, but not what is new in an environment: that
        is what the kernel of an environment with itself needs, where uncertainties start from.
        """
        species = sorted({z for z, _ in self.contraction_})
        factor = coupling_factor(species, self.settings.element_likeness)
        identity = np.eye(self._radial.n_functions)
        blocks = {a: self.scale_ * np.kron(factor[:, [k]].T, identity) for k, a in enumerate(species)}
        each_l = {a: torch.from_numpy(np.stack([b] * (self.settings.max_l + 1))) for a, b in blocks.items()}
        pairs = {(z, a): each_l[a] for z in species for a in species}
        return GaussianExpansion(self.settings, pairs, self.scale_)

    def densities(self, batch: Batch) -> dict[int, Tensor]:
        """Return the density of every atom, by species of the atom [atom, (max_l + 1)^2, q].

        Raises:
            DomainError: for an element that was not in the training set.
        """
        self._check(batch)
        out = {}
        for z in sorted({int(s) for s in batch.species}):
            centre, neighbour, row = self._pairs(batch, z)
            vectors = batch.vectors(centre, neighbour)
            radial = self._radial_values(vectors, z, batch.species[neighbour])
            terms = radial[:, self._l_of_lm] * spherical_harmonics(vectors, self.settings.max_l)[:, :, None]
            total = torch.zeros((int((batch.species == z).sum()), *terms.shape[1:]), dtype=torch.float64)
            out[z] = total.index_add_(0, torch.from_numpy(row), terms)
        return out

    def gradients(self, batch: Batch) -> dict[int, Gradients]:
        """Return the derivatives of every density with respect to the positions of its neighbours, by species, Å^-1."""
        self._check(batch)
        out = {}
        for z in sorted({int(s) for s in batch.species}):
            centre, neighbour, row = self._pairs(batch, z)
            vectors = batch.vectors(centre, neighbour)
            y, dy = harmonics_with_gradients(vectors, self.settings.max_l)  # [pair, lm], [pair, 3, lm]
            species = batch.species[neighbour]
            radial = self._radial_values(vectors, z, species)[:, self._l_of_lm]  # [pair, lm, q]
            slope = self._radial_values(vectors, z, species, derivative=1)[:, self._l_of_lm]
            unit = vectors / torch.linalg.norm(vectors, dim=1, keepdim=True)
            values = dy[..., None] * radial[:, None] + unit[:, :, None, None] * (slope * y[..., None])[:, None]
            out[z] = Gradients(row, centre, neighbour, values)
        return out

    @cached_property
    def _radial(self) -> RadialFunctions:
        return radial_functions(self.settings)

    @cached_property
    def _l_of_lm(self) -> Tensor:
        return torch.tensor([l for l in range(self.settings.max_l + 1) for _ in range(2 * l + 1)])

    def _check(self, batch: Batch) -> None:
        unknown = sorted({int(z) for z in batch.species} - {z for z, _ in self.contraction_})
        if unknown:
            raise DomainError(f"elements {unknown} were not in the training set; add such molecules to it")
        blank = {pair for pair, contraction in self.contraction_.items() if not contraction.any()}
        missing = sorted(seen_pairs(batch, self.settings.cutoff_angstrom) & blank)
        if missing:
            named = ", ".join(f"{symbol(a)} near {symbol(z)}" for z, a in missing)
            raise DomainError(
                f"{named} within {self.settings.cutoff_angstrom:g} Å: no training structure has such neighbours; add "
                "some, or set element_likeness"
            )

    def _pairs(self, batch: Batch, z: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return centre, neighbour and the centre's row among its species, of all pairs around one species."""
        distance = torch.linalg.norm(batch.vectors(batch.centre, batch.neighbour), dim=1).numpy()
        near = (distance < self.settings.cutoff_angstrom) & (batch.species[batch.centre] == z)
        row = np.cumsum(batch.species == z) - 1
        centre = batch.centre[near]
        return centre, batch.neighbour[near], row[centre]

    def _radial_values(self, vectors: Tensor, z: int, species: IntArray, derivative: int = 0) -> Tensor:
        """Return R_ql(r) (or dR/dr) of neighbours of several species [pair, l, q]."""
        r = torch.linalg.norm(vectors, dim=1).numpy()
        n_q = next(c.shape[2] for key, c in self.contraction_.items() if key[0] == z)
        out = torch.zeros((len(r), self.settings.max_l + 1, n_q), dtype=torch.float64)
        primitive = torch.from_numpy(self._radial.spline(r, derivative))
        for a in np.unique(species):
            chosen = torch.from_numpy(np.flatnonzero(species == a))
            out[chosen] = torch.einsum("pln,lnq->plq", primitive[chosen], self.contraction_[z, int(a)])
        return out

    def _primitive_densities(self, batch: Batch, order: list[int]) -> dict[int, Tensor]:
        """Return densities with all radial functions of all neighbour species side by side [atom, lm, a x n]."""
        out = {}
        for z in sorted({int(s) for s in batch.species}):
            centre, neighbour, row = self._pairs(batch, z)
            vectors = batch.vectors(centre, neighbour)
            radial = torch.from_numpy(self._radial.spline(torch.linalg.norm(vectors, dim=1).numpy()))
            terms = radial[:, self._l_of_lm] * spherical_harmonics(vectors, self.settings.max_l)[:, :, None]
            n_atoms = int((batch.species == z).sum())
            slot = torch.from_numpy(row * len(order) + np.searchsorted(order, batch.species[neighbour]))
            total = torch.zeros((n_atoms * len(order), *terms.shape[1:]), dtype=torch.float64)
            total.index_add_(0, slot, terms)
            out[z] = total.unflatten(0, (n_atoms, len(order))).transpose(1, 2).flatten(2)
        return out


def seen_pairs(batch: Batch, cutoff: float) -> set[tuple[int, int]]:
    """Return the elements (centre, neighbour) of all pairs within a cut-off, Å."""
    near = (torch.linalg.norm(batch.vectors(batch.centre, batch.neighbour), dim=1) < cutoff).numpy()
    pairs = np.stack([batch.species[batch.centre[near]], batch.species[batch.neighbour[near]]], axis=1)
    return {(int(z), int(a)) for z, a in np.unique(pairs, axis=0)}


@dataclass(frozen=True)
class RadialFunctions:
    """R_nl(r) with cut-off and decay, as cubic splines; sum_n R_nl(r) R_nl(r') = f(r) f(r') kappa_l(r, r')."""

    spline: CubicSpline
    n_functions: int


@cache
def radial_functions(settings: KernelSettings) -> RadialFunctions:
    """Expand the overlap of Gaussians in functions of one distance."""
    s, cutoff = settings, settings.cutoff_angstrom
    support = _support(s)
    width = neighbour_width(support, s.smearing_angstrom, s.smearing_growth_angstrom)
    fine = np.linspace(SMALLEST_DISTANCE / 2, cutoff, SPLINE_POINTS)
    fine_width = neighbour_width(fine, s.smearing_angstrom, s.smearing_growth_angstrom)
    gram = radial_overlap(support[:, None], support[None], width[:, None], width[None], s.max_l)
    cross = radial_overlap(fine[:, None], support[None], fine_width[:, None], width[None], s.max_l)
    functions = []
    for l in range(s.max_l + 1):
        balance = 1.0 / np.sqrt(np.diagonal(gram[..., l]))  # narrow Gaussians near the centre dwarf all others
        value, vector = np.linalg.eigh(gram[..., l] * balance[:, None] * balance)
        kept = value > RELATIVE_EIGENVALUE * value[-1]
        functions.append((cross[..., l] * balance) @ (vector[:, kept] / np.sqrt(value[kept]))[:, ::-1])
    n = max(f.shape[1] for f in functions)
    table = np.stack([np.pad(f, ((0, 0), (0, n - f.shape[1]))) for f in functions], axis=1)  # [r, l, n]
    if s.l_weight == "haar":
        table *= np.sqrt(haar_weights(s.max_l))[:, None]
    weight = shifted_cosine(fine, cutoff, s.cutoff_width_angstrom)
    if s.decay_angstrom is not None:
        weight = weight * np.exp(-fine / s.decay_angstrom)
    return RadialFunctions(CubicSpline(fine, table * weight[:, None, None]), n)


def _support(settings: KernelSettings) -> FloatArray:
    """Return points whose spacing follows the width of the Gaussians."""
    fine = np.linspace(SMALLEST_DISTANCE / 2, settings.cutoff_angstrom, 20000)
    width = neighbour_width(fine, settings.smearing_angstrom, settings.smearing_growth_angstrom)
    density = POINTS_PER_WIDTH / np.minimum(width, WIDEST_STEP)
    position = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(fine))])
    n = int(np.ceil(position[-1]))
    return np.interp(np.linspace(0, position[-1], n + 1), position, fine)


def _channels(covariance: FloatArray, max_channels: int) -> FloatArray:
    """Return the leading eigenvectors of each l's covariance [l, function, channel], as many as the richest l needs."""
    value, vector = np.linalg.eigh(covariance)
    needed = int((value > RELATIVE_EIGENVALUE * value.max()).sum(axis=1).max())
    return vector[:, :, ::-1][:, :, : max(1, min(needed, max_channels))]
