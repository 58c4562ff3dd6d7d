"""Helpers for tests, shipped with the package: tolerances by dtype and an assertion of symmetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.hamiltonian_model import HamiltonianModel

TOLERANCE = {
    "float64": {"exact": 1e-12, "equivariance": 1e-10, "scf": 1e-8},
    "float32": {"exact": 1e-5, "equivariance": 1e-4, "scf": 1e-4},
}
"""exact: identities of linear algebra; equivariance: whole pipelines; scf: converged calculations, Hartree."""


def assert_equivariant(model: HamiltonianModel, structures: Sequence[Atoms], seed: int = 0) -> None:
    """Fail unless predictions follow random improper rotations and permutations of like atoms.

    Args:
        model: anything that predicts Hamiltonians, see :class:`hamlearn.HamiltonianModel`.
        structures: geometries inside its domain.
        seed: of rotations and permutations.
    """
    from hamlearn.hamiltonian_model.equivariance import equivariance_error

    __tracebackhide__ = True
    error, bound = equivariance_error(model, structures, seed), TOLERANCE["float64"]["equivariance"]
    if not error <= bound:
        raise AssertionError(f"H(R P A) differs from P T H(A) T^T P^T by {error:.1e} Hartree, more than {bound:g}")
