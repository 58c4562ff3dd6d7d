"""Kernels of groups of N atoms, a centre and others around it: t(ij) t(ik) ... P(k_i + k_j + k_k + ...) on O(3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np
import torch
from torch import Tensor

from hamlearn.errors import ConfigError
from hamlearn.kernels.block_kernel import BlockKernel
from hamlearn.kernels.block_tiles import Nodes, bond_polynomials, environments_at_nodes, order_weights
from hamlearn.kernels.centres import Bonds, Centres, joined_bonds
from hamlearn.o3.node_integrals import polynomial, project
from hamlearn.o3.nodes import NodeGrid
from hamlearn.types import FloatArray, IntArray, Irrep

VALUES_PER_TILE = 2**22  # values at nodes at once, of every factor of the product


@dataclass(frozen=True)
class Clusters:
    """Groups of a centre i and N - 1 other atoms j, k, ... of its structure, those of one element in either order.

    Attributes:
        species: atomic numbers of i, j, k, ...; from j on ascending.
        densities: by species [environment, (max_l + 1)^2, q].
        structure: structure of every cluster, ascending [cluster].
        atoms: rows of i, j, k, ... among the environments of their species [cluster, N].
        bonds: pairs (i, j), (i, k), ..., each with one row for every cluster; direction from the centre.
    """

    species: tuple[int, ...]
    densities: dict[int, Tensor]
    structure: IntArray
    atoms: IntArray
    bonds: tuple[Bonds, ...]

    def __len__(self) -> int:
        """Return the number of clusters."""
        return len(self.structure)

    def select(self, rows: slice) -> Clusters:
        """Return some clusters, with the environments they need."""
        chosen, of = self.atoms[rows], np.array(self.species)
        kept = {z: np.unique(chosen[:, of == z]) for z in self.species}
        atoms = np.stack([np.searchsorted(kept[z], chosen[:, k]) for k, z in enumerate(self.species)], axis=1)
        densities = {z: self.densities[z][torch.from_numpy(own)] for z, own in kept.items()}
        return Clusters(self.species, densities, self.structure[rows], atoms, tuple(b.select(rows) for b in self.bonds))

    @classmethod
    def of(cls, centres: Centres, species: Sequence[int]) -> Clusters:
        """Return all clusters of some elements, ordered by structure, centre, then j, k, ...

        Args:
            centres: atoms and pairs, from :meth:`BlockKernel.centres`.
            species: atomic numbers of i and of the others, in any order.
        """
        z_i, others = species[0], tuple(sorted(species[1:]))
        bonds = {z: _bonds_from(centres, z_i, z) for z in set(others)}
        chosen: list[tuple[int, ...]] = []  # centre, then rows of its bonds
        for i in range(len(centres.structure.get(z_i, ()))):
            own = {z: np.flatnonzero(b.first == i) for z, b in bonds.items()}
            groups = [combinations(own[z].tolist(), others.count(z)) for z in sorted(set(others))]
            chosen += [(i, *(row for group in groups_of for row in group)) for groups_of in product(*groups)]
        rows = np.array(chosen, dtype=np.int64).reshape(-1, len(species))
        of_cluster = tuple(bonds[z].select(rows[:, k]) for k, z in enumerate(others, 1))
        atoms = np.stack([rows[:, 0], *(b.second for b in of_cluster)], axis=1)
        structure = centres.structure.get(z_i, np.zeros(0, np.int64))[rows[:, 0]]
        return cls((z_i, *others), centres.densities, structure, atoms, of_cluster)


def n_centre_kernel(kernel: BlockKernel, a: Clusters, b: Clusters, irreps: Sequence[Irrep]) -> dict[Irrep, FloatArray]:
    """Return k^{L sigma}_{MM'} of t(ij; i'j') t(ik; i'k') ... P(k_i + k_j + k_k + ...) [A, 2L+1, B, 2L+1].

    The product of pair kernels with one P of all N environments, P as for pairs; the sum over the orders of those of
    j', k', ... that are of one element. Nothing is truncated.

    Args:
        kernel: fitted, of the form sum; gives densities, norms and P.
        a: clusters of the rows.
        b: clusters of the columns, of the same elements.
        irreps: the (L, sigma) wanted.

    Raises:
        ConfigError: for clusters of other elements, or a kernel of another form.

    Obeys k(R A, S B) = s D^L(R) k D^L(S)^T, s = 1 for proper and sigma for improper R S, is positive semi-definite, and
    does not change if atoms of one element other than the centre are exchanged. For N = 2 it is the kernel of pairs of
    two elements.

    Source: scalar product of N-centre features as in Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022),
    section II B, of all orders; as a kernel it is ours.
    """
    if a.species != b.species:
        raise ConfigError(f"clusters of elements {a.species} and {b.species} have no kernel; give those of the same")
    s, wanted = kernel.settings, tuple(irreps)
    if s.form != "sum":
        raise ConfigError(f"model.kernel.form is {s.form}; kernels of more than two centres need the form sum")
    n_others, largest = len(a.species) - 1, max(L for L, _ in wanted)
    grid = NodeGrid(s.max_l, ((n_others + s.max_nu_pair) * s.max_l + largest) | 1)
    orders = _orders(a.species)
    out = {(L, sigma): np.zeros((len(a), 2 * L + 1, len(b), 2 * L + 1)) for L, sigma in wanted}
    if not len(a) or not len(b):
        return out
    b = b.select(slice(None))
    held = len(b) + sum(len(b.densities[z]) for z in a.species)  # functions for a cluster of a: products, environments
    step = max(1, VALUES_PER_TILE // (2 * grid.n_nodes * held))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        tile = a.select(rows)
        nodes = environments_at_nodes(tile.densities, b.densities, set(a.species), grid)
        values = torch.stack([_values(nodes, order_weights(s)[1], tile, b, order) for order in orders]).sum(0)
        for irrep, k in zip(wanted, project(grid, values.flatten(0, 1), wanted), strict=True):
            out[irrep][rows] = k.reshape(-1, len(b), *k.shape[1:]).transpose(0, 2, 1, 3)
    return out


def _values(nodes: Nodes, weights: Sequence[float], a: Clusters, b: Clusters, order: tuple[int, ...]) -> Tensor:
    """Return the product at the nodes, atom 1 + k of a with atom 1 + order[k] of b [A, B, 2, node]."""
    n = len(a), len(b)
    environments = torch.zeros((*n, 2, nodes.grid.n_nodes), dtype=torch.float64)
    for z, left, right in zip(a.species, range(len(a.species)), (0, *(1 + k for k in order)), strict=True):
        environments += nodes.values[torch.from_numpy(nodes.function(z, a.atoms[:, left], b.atoms[:, right]))]
    out = polynomial(environments, weights)
    for k, other in enumerate(order):
        turned = torch.from_numpy(nodes.grid.rotated(b.bonds[other].direction))
        cosine = torch.einsum("ax,bxn->abn", torch.from_numpy(a.bonds[k].direction), turned)
        coefficients = torch.from_numpy(bond_polynomials(a.bonds[k], b.bonds[other])).T.unflatten(1, n)
        out *= polynomial(torch.stack([cosine, -cosine], dim=2), coefficients[..., None, None])
    return out


def _orders(species: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the permutations of the atoms around the centre that leave their elements as they are."""
    others = species[1:]
    return [p for p in permutations(range(len(others))) if all(others[k] == others[q] for k, q in enumerate(p))]


def _bonds_from(centres: Centres, z_i: int, z_j: int) -> Bonds:
    """Return all pairs (i, j) seen from i, of like elements each from either atom, ordered by i, then j."""
    bonds = centres.bonds[min(z_i, z_j), max(z_i, z_j)]
    turned = Bonds(bonds.structure, bonds.second, bonds.first, -bonds.direction, bonds.radial)
    seen = joined_bonds([bonds, turned]) if z_i == z_j else bonds if z_i < z_j else turned
    return seen.select(np.lexsort((seen.second, seen.first)))
