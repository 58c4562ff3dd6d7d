"""Kernels between the atoms and pairs of a few structures: environments at the nodes once, then every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import factorial

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

from hamlearn.config import WignerSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels.centres import Bonds, Centres
from hamlearn.kernels.environments import added_up
from hamlearn.kernels.wigner import density_kernel
from hamlearn.o3.node_integrals import Terms, integrate
from hamlearn.o3.nodes import NodeGrid
from hamlearn.structures.families import Family, Kind
from hamlearn.types import FloatArray, IntArray, Irrep, SpeciesPair

Wanted = Mapping[Family, Sequence[Irrep]]
Kernels = dict[tuple[Family, Irrep], FloatArray]
Rotated = dict[tuple[int, int], FloatArray]


def tile_kernels(settings: WignerSettings, a: Centres, b: Centres, wanted: Wanted, rotated: Rotated) -> Kernels:
    """Return k^{L sigma}_{MM'} of all samples of a family [A, 2L+1, B, 2L+1], by (family, (L, sigma)).

    Args:
        settings: of the kernel.
        a: samples of the rows.
        b: samples of the columns.
        wanted: (L, sigma) needed of every family.
        rotated: directions of bonds of ``b`` at the nodes, by degree and identity of their array; filled here for the
            next call with the same ``b``.
    """
    out: Kernels = {}
    by_degree: dict[int, list[list[Family]]] = {}
    for families in _sharing_integrals(wanted):
        if a.count(families[0]) and b.count(families[0]):
            largest = max(L for family in families for L, _ in wanted[family])
            by_degree.setdefault(degree(settings, families[0].kind, largest) | 1, []).append(families)
    for grid_degree, groups in by_degree.items():
        grid = NodeGrid(settings.max_l, grid_degree)
        species = {z for families in groups for z in (families[0].species_i, families[0].species_j)}
        nodes = environments_at_nodes(a.densities, b.densities, species, grid)
        for families in groups:
            irreps = _all_irreps(wanted, families)
            if families[0].kind == "on_site":
                parts = _atoms(settings, a, b, families[0].species_i, nodes, irreps)
            else:
                pair = families[0].species_i, families[0].species_j
                parts = _pairs(settings, a.bonds[pair], b.bonds[pair], pair, nodes, rotated, irreps)
            for family in families:
                shape = a.count(family), b.count(family)
                for irrep in wanted[family]:
                    k = parts[family.kind][irrep]
                    out[family, irrep] = k.reshape(*shape, *k.shape[1:]).transpose(0, 2, 1, 3)
    if settings.message_passing:
        _add_messages(settings, a, b, wanted, rotated, out)
    return out


def degree(settings: WignerSettings, kind: Kind, largest: int) -> int:
    """Return the degree of the integrand of a kind of family whose largest L is given."""
    if kind == "on_site":
        return settings.max_nu_centre * settings.max_l + largest
    slots = 2 if settings.form == "product" else 1
    return (slots * settings.max_nu_pair + 1) * settings.max_l + largest


def reaches(settings: WignerSettings, kind: Kind, L: int, sigma: int) -> bool:
    """Return whether a kind of family has a kernel (L, sigma) at all, whatever the molecules.

    A product of n densities has L up to n max_l, and sigma = -1, which one alone has not, up to one less. A bond alone,
    exchanged with its opposite, has even L in the sum of both and odd L in their difference.
    """

    def of_product(n: int) -> bool:
        return n * settings.max_l - (sigma == -1) >= L and (sigma == 1 or n > 1)

    mixtures = *order_weights(settings), _second_mixture(settings) or []
    of_atom, *of_environments = (max((n for n, c in enumerate(m) if c), default=0) for m in mixtures)
    of_pair = of_product(1 + sum(of_environments))
    if kind == "on_site":
        return of_product(of_atom) or (settings.message_passing and of_pair)
    return of_pair and (any(of_environments) or kind == "cross" or (L % 2 == 0) == (kind == "plus"))


def order_weights(settings: WignerSettings) -> tuple[list[float], list[float]]:
    """Return the coefficients of P for single atoms and for pairs, b^nu / nu! from order 0.

    Raises:
        ConfigError: where the rate b is left open.
    """
    rate = settings.rate
    if rate is None:
        raise ConfigError("kernels of pairs need a rate of their mixture; null leaves the choice to a fit")
    centre, pair = (
        [rate**nu / factorial(nu) for nu in range(n + 1)] for n in (settings.max_nu_centre, settings.max_nu_pair)
    )
    return centre, pair if settings.mixture_i is None else list(settings.mixture_i)


@dataclass(frozen=True)
class Nodes:
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


def environments_at_nodes(a: Mapping[int, Tensor], b: Mapping[int, Tensor], species: set[int], grid: NodeGrid) -> Nodes:
    """Evaluate the kernels of all environments of two sides, of some species, from their densities."""
    parts, first, n_columns, total = [], {}, {}, 0
    for z in sorted(species):
        k = density_kernel(a[z], b[z], grid.max_l)
        parts.append(k.flat)
        first[z], n_columns[z] = total, len(b[z])
        total += parts[-1].shape[1]
    return Nodes(grid, grid.evaluate(torch.cat(parts, dim=1)), first, n_columns)


def _atoms(
    settings: WignerSettings, a: Centres, b: Centres, z: int, nodes: Nodes, irreps: tuple[Irrep, ...]
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
    left: Bonds,
    right: Bonds,
    pair: SpeciesPair,
    nodes: Nodes,
    rotated: Rotated,
    irreps: tuple[Irrep, ...],
) -> dict[str, dict[Irrep, FloatArray]]:
    """Return kernels of pairs by kind of family [A x B, 2L+1, 2L+1]."""
    straight, swapped = _pair_integrals(settings, left, right, pair, nodes, rotated, irreps)
    if swapped is None:
        return {"cross": dict(zip(irreps, straight, strict=True))}
    both = list(zip(irreps, straight, swapped, strict=True))
    return {"plus": {i: x + y for i, x, y in both}, "minus": {i: x - y for i, x, y in both}}


def _pair_integrals(
    settings: WignerSettings,
    left: Bonds,
    right: Bonds,
    pair: SpeciesPair,
    nodes: Nodes,
    rotated: Rotated,
    irreps: tuple[Irrep, ...],
) -> tuple[list[FloatArray], list[FloatArray] | None]:
    """Return k(ij; i'j') and, for a like pair, k(ij; j'i') of every (L, sigma) [A x B, 2L+1, 2L+1]."""
    tags = bond_polynomials(left, right)
    mixtures = order_weights(settings)[1], _second_mixture(settings)
    key = nodes.grid.degree, id(right.direction)
    if key not in rotated:
        rotated[key] = nodes.grid.rotated(right.direction)

    def kernel(swapped: bool) -> list[FloatArray]:
        column_i, column_j = (right.second, right.first) if swapped else (right.first, right.second)
        f_i = nodes.function(pair[0], left.first, column_i).ravel()
        f_j = nodes.function(pair[1], left.second, column_j).ravel()
        rows, columns = np.divmod(np.arange(len(f_i)), len(right))
        bonds = tags * (-1.0) ** np.arange(tags.shape[1]) if swapped else tags

        def of(f_a: IntArray, f_b: IntArray) -> list[FloatArray]:
            terms = Terms(np.stack([f_a, f_b, rows, columns], axis=1), bonds)
            return integrate(nodes.grid, terms, nodes.values, left.direction, rotated[key], mixtures, irreps)

        if settings.form != "one_sided":
            return of(f_i, f_j)
        zero = np.full_like(f_i, nodes.zero)
        return [0.5 * (x + y) for x, y in zip(of(f_i, zero), of(f_j, zero), strict=True)]  # both ends of the bond

    return kernel(False), kernel(True) if pair[0] == pair[1] else None


def _add_messages(
    settings: WignerSettings, a: Centres, b: Centres, wanted: Wanted, rotated: Rotated, out: Kernels
) -> None:
    """Add to the kernels of single atoms those of all pairs that either has with its neighbours.

    Unlike :func:`hamlearn.kernels.message_passing.message_kernel` nothing is truncated: pairs are integrated as they
    are for blocks, by the same compiled loop, and only the sums over pairs are those of messages.
    """
    of_site = {f.species_i: f for f in wanted if f.kind == "on_site" and wanted[f] and a.count(f) and b.count(f)}
    pairs = [pair for pair in a.messages if pair in b.messages and of_site.keys() & set(pair)]
    if not pairs:
        return
    largest = max(L for family in of_site.values() for L, _ in wanted[family])
    grid = NodeGrid(settings.max_l, degree(settings, "cross", largest) | 1)
    nodes = environments_at_nodes(a.densities, b.densities, {z for pair in pairs for z in pair}, grid)
    for pair in pairs:
        left, right = a.messages[pair], b.messages[pair]
        if not len(left) or not len(right):
            continue
        irreps = _all_irreps(wanted, [of_site[z] for z in pair if z in of_site])
        straight, swapped = _pair_integrals(settings, left, right, pair, nodes, rotated, irreps)
        ends = [(straight, "first", "first", pair[0]), (straight, "second", "second", pair[1])]
        if swapped is not None:
            ends += [(swapped, "first", "second", pair[0]), (swapped, "second", "first", pair[0])]
        for integrals, end_a, end_b, z in ends:
            if z not in of_site:
                continue
            rows, columns = a.sites_of(z, getattr(left, end_a)), b.sites_of(z, getattr(right, end_b))
            for irrep, k in zip(irreps, integrals, strict=True):
                if irrep in wanted[of_site[z]]:
                    _add_to_atoms(out[of_site[z], irrep], k, rows, columns)


def _add_to_atoms(out: FloatArray, k: FloatArray, rows: IntArray, columns: IntArray) -> None:
    """Add pairs [A x B, M, M'] to their atoms [row, M, column, M']; those of no sample (-1) are left out."""
    kept, there = rows >= 0, columns >= 0
    pairs = torch.from_numpy(k.reshape(len(rows), len(columns), *k.shape[1:])[kept][:, there])
    by_row = added_up(pairs, 0, rows[kept], out.shape[0])
    out += added_up(by_row, 1, columns[there], out.shape[2]).transpose(1, 2).numpy()


def bond_polynomials(left: Bonds, right: Bonds) -> FloatArray:
    """Return t = sum_l g_l(r) g_l(r') P_l(x) as a polynomial of the cosine x [left x right, power]."""
    n_l = left.radial.shape[1]
    by_l = np.matmul(left.radial.transpose(1, 0, 2), right.radial.transpose(1, 2, 0))  # [l, left, right]
    return np.ascontiguousarray(by_l.reshape(n_l, -1).T @ _legendre_polynomials(n_l))


@cache
def _legendre_polynomials(n_l: int) -> FloatArray:
    """Return the coefficients of P_l [l, power]."""
    return np.stack([np.pad(legendre.leg2poly(np.eye(n_l)[l]), (0, n_l - l - 1)) for l in range(n_l)])


def _second_mixture(settings: WignerSettings) -> list[float] | None:
    """Return the weights of the second atom in a product of mixtures; None for one mixture of the sum."""
    if settings.form != "product":
        return None
    return list(settings.mixture_j) if settings.mixture_j is not None else order_weights(settings)[1]


def _all_irreps(wanted: Wanted, families: Sequence[Family]) -> tuple[Irrep, ...]:
    return tuple(sorted({irrep for family in families for irrep in wanted[family]}))


def _sharing_integrals(wanted: Wanted) -> list[list[Family]]:
    """Return families in lists that share their integrals: plus and minus of one pair of species."""
    out: dict[tuple[bool, int, int], list[Family]] = {}
    for family, irreps in wanted.items():
        if irreps:
            out.setdefault((family.kind == "on_site", family.species_i, family.species_j), []).append(family)
    return list(out.values())
