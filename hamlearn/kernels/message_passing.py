"""Message-passing kernels: neighbours are tagged by where they are and tell of their own environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hamlearn.density import DensityExpansion
from hamlearn.errors import ConfigError
from hamlearn.kernels.environments import added_up
from hamlearn.kernels.mixtures import check_weights
from hamlearn.kernels.wigner import density_kernel
from hamlearn.o3.group_function import GroupFunction
from hamlearn.o3.layout import n_components
from hamlearn.structures.samples import Samples

ARRAYS_HELD = 8  # per pair of pairs: the factors, both gathered and copied, the product, its sum


@dataclass(frozen=True)
class TaggedPairs:
    """Pairs (i, j) of neighbours within one set of atoms.

    They are directed, every pair from both sides, and hold coefficients of functions, whose kernels are truncated
    to max_l like all others here; the undirected :class:`hamlearn.kernels.centres.Bonds` hold polynomials of a cosine,
    to be multiplied at nodes without truncation.

    Attributes:
        species: atomic number of every atom [atom].
        centre: position of i in the set [pair].
        neighbour: position of j [pair].
        functions: g_ij [pair, (max_l + 1)^2, q], as :meth:`hamlearn.density.DensityExpansion.pair_functions`.
    """

    species: Tensor
    centre: Tensor
    neighbour: Tensor
    functions: Tensor

    @classmethod
    def of(cls, expansion: DensityExpansion, samples: Samples) -> TaggedPairs:
        """Return the pairs within the cut-off, g_ij being what j alone adds to the density of i.

        On all radial functions: channels carry whole densities, not what each neighbour adds to them.
        """
        found = list(expansion.uncontracted().single_neighbours(samples).values())
        width = (expansion.settings.max_l + 1) ** 2
        functions = [f for pairs, f in found if len(pairs)] or [torch.zeros((0, width, 1), dtype=torch.float64)]
        i, j = (np.concatenate([getattr(pairs, name) for pairs, _ in found] or [np.zeros(0, int)]) for name in "ij")
        return cls(torch.from_numpy(samples.species), torch.from_numpy(i), torch.from_numpy(j), torch.cat(functions))

    def around(self, z: int) -> TaggedPairs:
        """Return the pairs whose centre is of one species."""
        own = self.species[self.centre] == z
        return replace(self, centre=self.centre[own], neighbour=self.neighbour[own], functions=self.functions[own])

    def atoms(self, z: int) -> Tensor:
        """Return the positions of the atoms of one species."""
        return (self.species == z).nonzero()[:, 0]


def kernel_of_atoms(
    c_i: Mapping[int, Tensor], c_j: Mapping[int, Tensor], left: TaggedPairs, right: TaggedPairs, max_l: int
) -> GroupFunction:
    """Return the density kernel of all atoms in the order of the sets, 0 between different elements [atom, atom'].

    Args:
        c_i: densities by species [atom of the species, (max_l + 1)^2, q], such as those of ``Environments``.
        c_j: the same of the other set.
        left: pairs of the one set.
        right: pairs of the other set.
        max_l: largest l.
    """
    shape = (1, n_components(max_l), len(left.species), len(right.species))
    values = next(iter(c_i.values())).new_zeros(shape)
    for z in c_i.keys() & c_j.keys():
        values[:, :, left.atoms(z)[:, None], right.atoms(z)] = density_kernel(c_i[z], c_j[z], max_l).values
    return GroupFunction(values, max_l)


def message_kernel(
    left: TaggedPairs, right: TaggedPairs, neighbours: GroupFunction, memory_gb: float = 1.0
) -> GroupFunction:
    """Return m(i, i') = sum_{jj'} t(ij; i'j') * e(j, j') over neighbours j, j' of the same element [atom, atom'].

    t(ij; i'j') = <g_ij | R g_i'j'>. The kernel of what all neighbours tell the centre: the scalar product of
    sum_j g_ij x rho_j, one channel for each element of j. With e = 1 it is the density kernel. Made in tiles; peak
    memory does not grow with the left pairs.

    Args:
        left: pairs (i, j).
        right: pairs (i', j').
        neighbours: e of all atoms, samples [atom, atom'].
        memory_gb: for the tiles, without the result.

    Raises:
        ConfigError: if the pair functions do not have the max_l of e, or memory_gb holds no tile.

    Positive semi-definite if e is. For R, S in O(3), m(R i, S i') = s D m D^T. The elements of i and i' are not
    compared.

    Source: the scalar product of the features of Nigam, Pozdnyakov, Fraux, Ceriotti, J. Chem. Phys. 156, 204115
    (2022), eq. 12; as a kernel it is ours.
    """
    _check_l(left, right, neighbours)
    n = n_components(neighbours.max_l)
    out = neighbours.values.new_zeros((2, n, *neighbours.samples))
    of_left, of_right = left.species[left.neighbour], right.species[right.neighbour]
    for z in sorted(set(of_left.tolist()) & set(of_right.tolist())):
        mine, theirs = (of_left == z).nonzero()[:, 0], (of_right == z).nonzero()[:, 0]
        for rows in mine.split(_rows_per_tile(n * len(theirs), memory_gb)):
            t = density_kernel(left.functions[rows], right.functions[theirs], neighbours.max_l, neighbours.backend)
            told = neighbours.values[:, :, left.neighbour[rows]][..., right.neighbour[theirs]]
            terms = (t * replace(neighbours, values=told)).values
            summed = added_up(terms, 3, right.centre[theirs], neighbours.samples[1])
            out.index_add_(2, left.centre[rows], summed)
    return replace(neighbours, values=out)


def message_passing_kernel(
    k1: GroupFunction,
    left: TaggedPairs,
    right: TaggedPairs,
    centre: Sequence[float],
    neighbours: Sequence[Sequence[float]],
    memory_gb: float = 1.0,
) -> GroupFunction:
    """Return e(i, i') * m_1(i, i') * m_2(i, i') ..., the kernel of [nu <- (nu_1, nu_2, ...)] and of their mixtures.

    e = sum_nu centre[nu] k^nu and each m_s is the message of sum_nu neighbours[s][nu] k^nu, all products truncated to
    l <= max_l. For deeper messages give the result to :func:`message_kernel`: [nu <- [nu <- nu]] is
    k^nu * message_kernel(left, right, [nu <- nu]).

    Args:
        k1: density kernel of all atoms, samples [atom, atom'].
        left: pairs (i, j).
        right: pairs (i', j').
        centre: weights of the orders 0, 1, ... of the centre; [0, 0, 1] is nu = 2.
        neighbours: the same of each message; [[1]] makes [nu <- 0], which is k^{nu + 1}.
        memory_gb: for the tiles.

    Raises:
        ConfigError: for a negative weight, which would not be positive semi-definite.

    For R, S in O(3), k(R i, S i') = s D k D^T.

    Source: Nigam, Pozdnyakov, Fraux, Ceriotti, J. Chem. Phys. 156, 204115 (2022), eqs. 12-18.
    """
    for weights in (centre, *neighbours):
        check_weights(weights)
    out = k1.polynomial(centre)
    for weights in neighbours:
        out = out * message_kernel(left, right, k1.polynomial(weights), memory_gb)
    return out


def _check_l(left: TaggedPairs, right: TaggedPairs, e: GroupFunction) -> None:
    sizes = {p.functions.shape[1] for p in (left, right)}
    if sizes != {(e.max_l + 1) ** 2}:
        raise ConfigError(
            f"pair functions have {sorted(sizes)} components, the kernel of the atoms has max_l {e.max_l}; expected "
            f"{(e.max_l + 1) ** 2} components"
        )


def _rows_per_tile(n_per_row: int, memory_gb: float) -> int:
    row_gb = ARRAYS_HELD * n_per_row * 8e-9
    if row_gb > memory_gb:
        raise ConfigError(f"memory_gb is {memory_gb}, but one row takes {row_gb:.2g}; allow at least that much")
    return int(memory_gb / row_gb)
