"""Helpers for tests, shipped with the package: tolerances by dtype and an assertion of symmetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.property import PropertyModel

TOLERANCE = {
    "float64": {"exact": 1e-12, "equivariance": 1e-10, "scf": 1e-8},
    "float32": {"exact": 1e-5, "equivariance": 1e-4, "scf": 1e-4},
}
"""exact: identities of linear algebra; equivariance: whole pipelines; scf: converged calculations, Hartree."""


def assert_equivariant(
    model: HamiltonianModel | PropertyModel, structures: Sequence[Atoms], seed: int = 0, tolerance: float | None = None
) -> None:
    """Fail unless predictions follow random improper rotations and permutations of like atoms.

    Args:
        model: anything that predicts Hamiltonians or properties.
        structures: geometries inside its domain.
        seed: of rotations and permutations.
        tolerance: largest deviation, Hartree for Hamiltonians, spreads of the training set for properties; by default
            that of `TOLERANCE`.
    """
    from hamlearn.model.property import PropertyModel

    __tracebackhide__ = True
    bound = TOLERANCE["float64"]["equivariance"] if tolerance is None else tolerance
    error = model.equivariance_error(structures, seed)
    if error <= bound:
        return
    if isinstance(model, PropertyModel):
        raise AssertionError(f"y(R P A) differs from R y(A) by {error:.1e} spreads, more than {bound:g}")
    raise AssertionError(f"H(R P A) differs from P T H(A) T^T P^T by {error:.1e} Hartree, more than {bound:g}")
