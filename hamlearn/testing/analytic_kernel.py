"""The kernel of order 1 without any radial basis: sums over pairs of neighbours of analytic overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.angular.rotation_grid import haar_weights
from hamlearn.config import KernelSettings
from hamlearn.density.cutoff import neighbour_weight
from hamlearn.density.gaussian_overlap import neighbour_width, radial_overlap
from hamlearn.density.likeness import coupling_factor
from hamlearn.o3.group_function import GroupFunction
from hamlearn.o3.layout import component_slice, n_components
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


def analytic_density_kernel(
    structures: Sequence[Atoms], others: Sequence[Atoms], settings: KernelSettings
) -> dict[int, GroupFunction]:
    """Return k^{1; l}_{mm'}(i, i') = sum_{jj'} f(r) f(r') kappa_l(r, r') Y_lm(r) Y_lm'(r'), j and j' of one element
    (or weighted by how alike their elements are).

    Exact, with nothing to converge, for a cost that grows with the product of the numbers of neighbours; the densities
    of :class:`~hamlearn.kernels.EnvironmentKernel` give the same up to the precision of their expansion and one common
    factor.

    Args:
        structures: geometries, Å.
        others: geometries of the other side.
        settings: widths, cut-off, decay, weights of l and max_l.

    Returns:
        By element of the centre, samples [atom of structures, atom of others], Å^-3.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), eq. 5 integrated analytically.
    """
    left, right = Samples.of(structures), Samples.of(others)
    elements = sorted(set(left.elements) & set(right.elements))
    return {z: _of_element(left, right, z, settings) for z in elements}


def _of_element(left: Samples, right: Samples, z: int, settings: KernelSettings) -> GroupFunction:
    (r, f, a, y), (r_other, f_other, a_other, y_other) = (
        _neighbours(samples, z, settings) for samples in (left, right)
    )
    widths = [neighbour_width(x, settings.smearing_angstrom, settings.smearing_growth_angstrom) for x in (r, r_other)]
    kappa = radial_overlap(r[:, None], r_other, widths[0][:, None], widths[1], settings.max_l)
    kappa *= (_likeness(a, a_other, settings) * f[:, None] * f_other)[..., None]
    if settings.l_weight == "haar":
        kappa *= haar_weights(settings.max_l)
    n_i, n_j = y.shape[1], y_other.shape[1]
    values = torch.zeros((1, n_components(settings.max_l), n_i, n_j), dtype=torch.float64)
    for l in range(settings.max_l + 1):
        m, rows = 2 * l + 1, slice(l * l, (l + 1) ** 2)
        product = y[:, :, rows].flatten(1).T @ torch.from_numpy(kappa[..., l]) @ y_other[:, :, rows].flatten(1)
        values[0, component_slice(l)] = product.view(n_i, m, n_j, m).permute(1, 3, 0, 2).flatten(0, 1)
    return GroupFunction(values, settings.max_l)


def _likeness(a: IntArray, other: IntArray, settings: KernelSettings) -> FloatArray:
    """Return kappa of the elements of two lists of neighbours [a, other]."""
    species, where = np.unique(np.concatenate([a, other]), return_inverse=True)
    u = coupling_factor(species.tolist(), settings.element_likeness)
    return (u.T @ u)[np.ix_(where[: len(a)], where[len(a) :])]


def _neighbours(samples: Samples, z: int, settings: KernelSettings) -> tuple[FloatArray, FloatArray, IntArray, Tensor]:
    """Return distance, weight, element and Y_lm in the row of its centre [pair, centre, lm] of all neighbours."""
    pairs = samples.within(settings.cutoff_angstrom)
    pairs = pairs.select(samples.species[pairs.i] == z)
    vectors = samples.vectors(pairs)
    r = torch.linalg.norm(vectors, dim=1)
    y = spherical_harmonics(vectors, settings.max_l)
    out = y.new_zeros((len(r), int((samples.species == z).sum()), y.shape[1]))
    out[np.arange(len(r)), samples.row[pairs.i]] = y
    return r.numpy(), neighbour_weight(r, settings).numpy(), samples.species[pairs.j], out
