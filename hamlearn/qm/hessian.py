"""Second derivatives of the energy, from which thermal geometries are sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError
from hamlearn.qm.guess import start_density
from hamlearn.qm.molecule import mole_of
from hamlearn.qm.scf import converge
from hamlearn.types import FloatArray
from hamlearn.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from hamlearn.structures import Structures


def compute_hessian(atoms: Structures, settings: QMSettings) -> FloatArray:
    """Return d^2 E / dx_i dx_j by PySCF's analytic derivatives.

    Args:
        atoms: a molecule or ion, Å, or a file with one; see :mod:`hamlearn.structures.charges` for its charge.
        settings: method, functional and basis.

    Returns:
        [3 atom, 3 atom], Hartree/Bohr^2, symmetric, rows and columns atom-major (x, y, z of atom 0 first).
        Rotation R of the molecule: (1 ⊗ R) H (1 ⊗ R)^T; permutation of atoms: rows and columns permute.

    Raises:
        StructureError: if charge or multiplicity do not fit the molecule or the method.
        ConfigError: for a restricted open-shell method.
        SCFError: if no calculation converged.
    """
    from hamlearn.structures import as_structure
    from hamlearn.structures.charges import of_molecule

    atoms = as_structure(atoms)
    settings = of_molecule(settings, atoms)
    if settings.method.startswith("RO"):
        raise ConfigError(f"PySCF has no second derivatives of {settings.method}; use U{settings.method[2:]}")
    mole = mole_of(atoms.numbers, atoms.positions / BOHR_ANGSTROM, settings)
    mean_field = converge(mole, settings, start_density).mean_field
    n = 3 * mole.natm
    hessian = mean_field.Hessian().kernel().transpose(0, 2, 1, 3).reshape(n, n)
    return 0.5 * (hessian + hessian.T)
