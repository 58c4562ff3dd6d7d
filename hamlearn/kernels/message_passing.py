"""Kernels of neighbours that are tagged and carry their own environment: pair and message-passing kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from hamlearn.errors import ConfigError
from hamlearn.kernels.mixtures import check_weights
from hamlearn.kernels.wigner import density_kernel
from hamlearn.o3.group_function import GroupFunction
from hamlearn.o3.layout import n_components

ARRAYS_HELD = 8  # per pair of pairs: the factors, both gathered and copied, the product, its sum


@dataclass(frozen=True)
class TaggedPairs:
    """Pairs (i, j) of neighbours within one set of atoms.

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


def tagged_kernel(left: TaggedPairs, right: TaggedPairs, like: GroupFunction) -> GroupFunction:
    """Return t(ij; i'j') = <g_ij | R g_i'j'>, zero unless i, i' and j, j' are the same elements [pair, pair'].

    Args:
        left: pairs (i, j).
        right: pairs (i', j').
        like: the kernel of the atoms it will be multiplied with: its max_l and back end are taken.

    Raises:
        ConfigError: if the pair functions do not have the max_l of ``like``.

    sigma = +1 only, and for functions g = I_n(r) Y_lm of rank one in (m, m').
    """
    _check_l(left, right, like)
    t = density_kernel(left.functions, right.functions, like.max_l, like.backend)
    same_i = left.species[left.centre][:, None] == right.species[right.centre]
    same_j = left.species[left.neighbour][:, None] == right.species[right.neighbour]
    return t.scaled((same_i & same_j).to(t.values))


def pair_kernel(
    left: TaggedPairs, right: TaggedPairs, centres: GroupFunction, neighbours: GroupFunction | None = None
) -> GroupFunction:
    """Return t(ij; i'j') * e(i, i'), or t(ij; i'j') * e(i, i') * e'(j, j') [pair, pair'].

    Args:
        left: pairs (i, j).
        right: pairs (i', j').
        centres: e of all atoms, samples [atom, atom'].
        neighbours: e' of all atoms; the kernel is one-sided without it.

    Products are truncated to l <= max_l, in the order written. Positive semi-definite if e and e' are. For R, S in
    O(3), k(R ij, S i'j') = s D k D^T, s = 1 for proper and sigma for improper ones.

    Source: the scalar product of the decorated pair features of Nigam, Pozdnyakov, Fraux, Ceriotti, J. Chem. Phys. 156,
    204115 (2022), eq. 10; as a kernel it is ours.
    """
    out = tagged_kernel(left, right, centres) * _at(centres, left.centre, right.centre)
    return out if neighbours is None else out * _at(neighbours, left.neighbour, right.neighbour)


def message_kernel(
    left: TaggedPairs, right: TaggedPairs, neighbours: GroupFunction, memory_gb: float = 1.0
) -> GroupFunction:
    """Return m(i, i') = sum_{jj'} t(ij; i'j') * e(j, j') over neighbours j, j' of the same element [atom, atom'].

    The kernel of what all neighbours tell the centre: the scalar product of sum_j g_ij x rho_j, one channel for each
    element of j. With e = 1 it is the density kernel. Made in tiles; peak memory does not grow with the left pairs.

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
            terms = (t * _at(neighbours, left.neighbour[rows], right.neighbour[theirs])).values
            summed = terms.new_zeros((2, n, len(rows), neighbours.samples[1]))
            summed.index_add_(3, right.centre[theirs], terms)
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


def _at(e: GroupFunction, left: Tensor, right: Tensor) -> GroupFunction:
    """Return e of chosen atoms with chosen atoms."""
    return replace(e, values=e.values[:, :, left][..., right])


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
