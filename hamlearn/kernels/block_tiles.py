"""Kernels between the atoms and pairs of a few structures: environments at the nodes once, then every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
import torch
from numpy.polynomial import legendre
from numpy.typing import NDArray
from torch import Tensor

from hamlearn.config import WignerSettings
from hamlearn.kernels.centres import Bonds, Centres, SpeciesPair
from hamlearn.kernels.node_integrals import Terms, integrate
from hamlearn.kernels.nodes import Irrep, NodeGrid
from hamlearn.kernels.wigner import density_kernel
from hamlearn.structures.samples import Family

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Wanted = Mapping[Family, Sequence[Irrep]]
Kernels = dict[tuple[Family, Irrep], FloatArray]
Rotated = dict[tuple[int, SpeciesPair], FloatArray]


def tile_kernels(settings: WignerSettings, a: Centres, b: Centres, wanted: Wanted, rotated: Rotated) -> Kernels:
    """Return k^{L sigma}_{MM'} of all samples of a family [A, 2L+1, B, 2L+1], by (family, (L, sigma)).

    Args:
        settings: of the kernel.
        a: samples of the rows.
        b: samples of the columns.
        wanted: (L, sigma) needed of every family.
        rotated: directions of the bonds of ``b`` at the nodes, filled here for the next call with the same ``b``.
    """
    out: Kernels = {}
    by_degree: dict[int, list[list[Family]]] = {}
    for families in _sharing_integrals(wanted):
        if a.count(families[0]) and b.count(families[0]):
            largest = max(L for family in families for L, _ in wanted[family])
            by_degree.setdefault(degree(settings, families[0], largest) | 1, []).append(families)
    for grid_degree, groups in by_degree.items():
        grid = NodeGrid(settings.max_l, grid_degree)
        nodes = _environments_at_nodes(a, b, {z for f in groups for z in (f[0].species_i, f[0].species_j)}, grid)
        for families in groups:
            irreps = tuple(sorted({irrep for family in families for irrep in wanted[family]}))
            if families[0].kind == "on_site":
                parts = _atoms(settings, a, b, families[0].species_i, nodes, irreps)
            else:
                pair = families[0].species_i, families[0].species_j
                if (grid_degree, pair) not in rotated:
                    rotated[grid_degree, pair] = grid.rotated(b.bonds[pair].direction)
                parts = _pairs(settings, a, b, pair, nodes, rotated[grid_degree, pair], irreps)
            for family in families:
                shape = a.count(family), b.count(family)
                for irrep in wanted[family]:
                    k = parts[family.kind][irrep]
                    out[family, irrep] = k.reshape(*shape, *k.shape[1:]).transpose(0, 2, 1, 3)
    return out


def degree(settings: WignerSettings, family: Family, largest: int) -> int:
    """Return the degree of the integrand of a family whose largest L is given."""
    if family.kind == "on_site":
        return settings.max_nu_centre * settings.max_l + largest
    slots = 2 if settings.form == "product" else 1
    return (slots * settings.max_nu_pair + 1) * settings.max_l + largest


def order_weights(settings: WignerSettings) -> tuple[list[float], list[float]]:
    """Return the coefficients of P for single atoms and for pairs, b^nu / nu! from order 0."""
    centre, pair = (
        [settings.rate**nu / factorial(nu) for nu in range(n + 1)]
        for n in (settings.max_nu_centre, settings.max_nu_pair)
    )
    return centre, pair if settings.mixture_i is None else list(settings.mixture_i)


@dataclass(frozen=True)
class _Nodes:
    """Kernels k_i(R) of the environments of two sides at the nodes; the last function is zero.

    Attributes:
        grid: the nodes.
        values: [function, 2, node].
        first: where the functions of each species begin, those of one left environment next to each other.
        n_columns: number of right environments of each species.
    """

    grid: NodeGrid
    values: Tensor
    first: dict[int, int]
    n_columns: dict[int, int]

    def function(self, z: int, row: IntArray, column: IntArray) -> IntArray:
        """Return the functions of environments of one species, every row with every column [row, column]."""
        return self.first[z] + row[:, None] * self.n_columns[z] + column

    @property
    def zero(self) -> int:
        """The function that is zero everywhere."""
        return len(self.values) - 1


def _environments_at_nodes(a: Centres, b: Centres, species: set[int], grid: NodeGrid) -> _Nodes:
    parts, first, n_columns, total = [], {}, {}, 0
    for z in sorted(species):
        k = density_kernel(a.densities[z], b.densities[z], grid.max_l)
        parts.append(k.flat)
        first[z], n_columns[z] = total, len(b.densities[z])
        total += parts[-1].shape[1]
    return _Nodes(grid, grid.evaluate(torch.cat(parts, dim=1)), first, n_columns)


def _atoms(
    settings: WignerSettings, a: Centres, b: Centres, z: int, nodes: _Nodes, irreps: tuple[Irrep, ...]
) -> dict[str, dict[Irrep, FloatArray]]:
    """Return kernels of single atoms [A x B, 2L+1, 2L+1]."""
    own = nodes.function(z, a.sites[z], b.sites[z]).ravel()
    index = np.stack([own, np.full_like(own, nodes.zero), np.zeros_like(own), np.zeros_like(own)], axis=1)
    nowhere = np.zeros((1, 3)), np.zeros((1, 3, nodes.grid.n_nodes))
    terms = Terms(index, np.ones((len(index), 1)))
    k = integrate(nodes.grid, terms, nodes.values, *nowhere, (order_weights(settings)[0], None), irreps)
    return {"on_site": dict(zip(irreps, k, strict=True))}


def _pairs(
    settings: WignerSettings,
    a: Centres,
    b: Centres,
    pair: SpeciesPair,
    nodes: _Nodes,
    rotated: FloatArray,
    irreps: tuple[Irrep, ...],
) -> dict[str, dict[Irrep, FloatArray]]:
    """Return kernels of pairs by kind of family [A x B, 2L+1, 2L+1]."""
    left, right = a.bonds[pair], b.bonds[pair]
    tags = bond_polynomials(left, right)
    mixtures = order_weights(settings)[1], _second_mixture(settings)

    def kernel(swapped: bool) -> list[FloatArray]:
        """Return k(ij; i'j') or k(ij; j'i')."""
        column_i, column_j = (right.second, right.first) if swapped else (right.first, right.second)
        f_i = nodes.function(pair[0], left.first, column_i).ravel()
        f_j = nodes.function(pair[1], left.second, column_j).ravel()
        rows, columns = np.divmod(np.arange(len(f_i)), len(right))
        bonds = tags * (-1.0) ** np.arange(tags.shape[1]) if swapped else tags

        def of(f_a: IntArray, f_b: IntArray) -> list[FloatArray]:
            terms = Terms(np.stack([f_a, f_b, rows, columns], axis=1), bonds)
            return integrate(nodes.grid, terms, nodes.values, left.direction, rotated, mixtures, irreps)

        if settings.form != "one_sided":
            return of(f_i, f_j)
        zero = np.full_like(f_i, nodes.zero)
        return [0.5 * (x + y) for x, y in zip(of(f_i, zero), of(f_j, zero), strict=True)]  # both ends of the bond

    straight = dict(zip(irreps, kernel(False), strict=True))
    if pair[0] != pair[1]:
        return {"cross": straight}
    swapped = dict(zip(irreps, kernel(True), strict=True))
    return {
        "plus": {irrep: straight[irrep] + swapped[irrep] for irrep in irreps},
        "minus": {irrep: straight[irrep] - swapped[irrep] for irrep in irreps},
    }


def bond_polynomials(left: Bonds, right: Bonds) -> FloatArray:
    """Return t = sum_l g_l(r) g_l(r') P_l(x) as a polynomial of the cosine x [left x right, power]."""
    n_l = left.radial.shape[1]
    by_l = np.matmul(left.radial.transpose(1, 0, 2), right.radial.transpose(1, 2, 0))  # [l, left, right]
    powers = np.stack([np.pad(legendre.leg2poly(np.eye(n_l)[l]), (0, n_l - l - 1)) for l in range(n_l)])
    return np.ascontiguousarray(by_l.reshape(n_l, -1).T @ powers)


def _second_mixture(settings: WignerSettings) -> list[float] | None:
    """Return the weights of the second atom in a product of mixtures; None for one mixture of the sum."""
    if settings.form != "product":
        return None
    return list(settings.mixture_j) if settings.mixture_j is not None else order_weights(settings)[1]


def _sharing_integrals(wanted: Wanted) -> list[list[Family]]:
    """Return families in lists that share their integrals: plus and minus of one pair of species."""
    out: dict[tuple[bool, int, int], list[Family]] = {}
    for family, irreps in wanted.items():
        if irreps:
            out.setdefault((family.kind == "on_site", family.species_i, family.species_j), []).append(family)
    return list(out.values())
