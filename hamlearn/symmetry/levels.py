"""Irrep and degeneracy of every level of a Hamiltonian: levels are told apart by symmetry, not by their energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import BasisError, DomainError, StructureError
from hamlearn.symmetry.adapted import adapted_levels, orthonormal_form
from hamlearn.symmetry.point_group import PointGroup
from hamlearn.symmetry.representations import check_size, projector
from hamlearn.ties import tied_ranks
from hamlearn.types import FloatArray
from hamlearn.units import HARTREE_EV


@dataclass(frozen=True, eq=False, repr=False)
class Multiplet(ByValue, Shown):
    """Levels that symmetry makes degenerate.

    Attributes:
        energy_ev: their energy, eV; the mean if the Hamiltonian is not quite symmetric.
        irrep: how their orbitals transform.
        degeneracy: dimension of the irrep.
        occupation: electrons in all of them together.
        indices: their places among all levels in order of energy, from 0.
        spread_ev: highest minus lowest of them within the irrep, eV.
        spin: 'alpha' or 'beta' where each spin has levels of its own, empty where both fill the same.

    Invariant under rotation and permutation of the molecule.
    """

    energy_ev: float
    irrep: str
    degeneracy: int
    occupation: int
    indices: tuple[int, ...]
    spread_ev: float
    spin: str = ""

    @property
    def capacity(self) -> int:
        """Electrons that all of them together can hold."""
        return self.degeneracy * (1 if self.spin else 2)


def label_levels(
    hamiltonian: FloatArray,
    metric: FloatArray | None,
    n_occupied: int,
    group: PointGroup,
    representation: FloatArray,
    spin: str = "",
) -> list[Multiplet]:
    """Return the multiplets of H C = S C eps in order of energy.

    The Hamiltonian is diagonalised within every irrep, where any d neighbouring levels form one multiplet; whether
    levels of other irreps lie close by plays no part.

    Args:
        hamiltonian: [ao, ao], Hartree.
        metric: overlap [ao, ao]; None if the basis is orthonormal.
        n_occupied: number of occupied levels.
        group: point group of the molecule.
        representation: P_g [operation, ao, ao].
        spin: 'alpha' or 'beta' if the Hamiltonian is that of one spin, whose levels hold one electron each, not two.

    Raises:
        BasisError: if a matrix is of another size than the representation.
        DomainError: if the Hamiltonian has no levels.
    """
    for matrix in (hamiltonian, metric):
        if matrix is not None:
            check_size(matrix, representation)
            _check_symmetric(matrix)
    try:
        orthonormal = orthonormal_form(hamiltonian, metric)
    except (LinAlgError, ValueError) as error:
        raise DomainError(f"the Hamiltonian has no levels ({error}); it must be finite, its metric positive") from None
    table = group.characters
    counts = table.multiplicities(np.trace(representation, axis1=1, axis2=2))
    found = []
    for irrep in counts:
        degeneracy = table.dimensions[table.index(irrep)]
        adapted = adapted_levels(orthonormal, projector(group, irrep, representation), degeneracy)
        found += [
            (HARTREE_EV * float(energy), irrep, degeneracy, HARTREE_EV * float(spread))
            for energy, spread in zip(adapted.energies, adapted.spread, strict=True)
        ]
    ranks = tied_ranks([energy for energy, *_ in found])
    multiplets, start = [], 0
    for k in np.argsort(ranks, kind="stable"):  # levels equal by accident in the order of the irreps
        energy, irrep, degeneracy, spread = found[k]
        indices = tuple(range(start, start + degeneracy))
        start += degeneracy
        occupation = (1 if spin else 2) * sum(index < n_occupied for index in indices)
        multiplets.append(Multiplet(energy, irrep, degeneracy, occupation, indices, spread, spin))
    return multiplets


def _check_symmetric(matrix: FloatArray) -> None:
    """Raise DomainError if a matrix is not finite or differs from its transpose by more than rounding."""
    if not np.isfinite(matrix).all():
        raise DomainError("the Hamiltonian has no levels: it or its metric is not finite")
    if np.abs(matrix - matrix.T).max() > 1e-8 * max(1.0, np.abs(matrix).max()):
        raise DomainError("the matrix is not symmetric; symmetrise it, or check the order of its indices")


def irreps_of_orbitals(
    orbitals: FloatArray, metric: FloatArray | None, group: PointGroup, representation: FloatArray
) -> dict[str, int]:
    """Return how often every irrep occurs among some molecular orbitals, from the traces of C^T S P_g C.

    Args:
        orbitals: C [ao, level], with C^T S C = 1.
        metric: overlap S [ao, ao]; None if the basis is orthonormal.
        group: point group of the molecule.
        representation: P_g [operation, ao, ao].

    Raises:
        StructureError: if an operation leads out of the orbitals: the window cuts a degenerate level.
        BasisError: if the metric is of another size than the representation.
    """
    if orbitals.ndim != 2 or len(orbitals) != representation.shape[1]:
        raise BasisError(f"orbitals have shape {orbitals.shape}; the molecule has {representation.shape[1]} functions")
    left = orbitals.T if metric is None else orbitals.T @ metric
    if metric is not None:
        check_size(metric, representation)
    action = left @ representation @ orbitals
    leak = float(abs(action @ action.transpose(0, 2, 1) - np.eye(orbitals.shape[1])).max())
    if leak > 1e-3:
        raise StructureError(
            f"operations of {group.name} lead out of the {orbitals.shape[1]} orbitals given (by {leak:.2f}): the "
            "window cuts a degenerate level; widen it to hold the whole level"
        )
    return group.characters.multiplicities(np.trace(action, axis1=1, axis2=2))


def levels_between(multiplets: Sequence[Multiplet], first: int, last: int) -> list[Multiplet]:
    """Return the multiplets of levels ``first`` to ``last``, counted from 1 in order of energy, both inclusive.

    Raises:
        StructureError: if there are no such levels, or the window cuts a degenerate one.
    """
    n = sum(multiplet.degeneracy for multiplet in multiplets)
    if not 1 <= first <= last <= n:
        raise StructureError(f"levels {first} to {last} were asked for; expected a window within 1 to {n}")
    for multiplet in multiplets:
        low, high = multiplet.indices[0] + 1, multiplet.indices[-1] + 1
        if low < first <= high or low <= last < high:
            raise StructureError(
                f"the window {first} to {last} cuts the {multiplet.degeneracy}-fold level {multiplet.irrep} at "
                f"{multiplet.energy_ev:.3f} eV, levels {low} to {high}; widen the window to hold all of it"
            )
    return [m for m in multiplets if first <= m.indices[0] + 1 and m.indices[-1] + 1 <= last]
