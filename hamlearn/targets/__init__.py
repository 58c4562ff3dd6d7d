"""The matrix to learn: Fock, Löwdin-orthogonalised, or projected on a minimal basis (SAPH), maybe minus a baseline.

A finished calculation goes in; a :class:`Target` comes out: a matrix in Hartree, PySCF's order of the target's
orbitals, with its metric, its number of occupied levels and, for a projection, how well it went.
"""

from hamlearn.targets.build import (
    build_target,
    n_occupied,
    needs_calculation,
    predict_side,
    project_matrix,
    target_orbitals,
)
from hamlearn.targets.lowdin import lowdin_orthogonalise
from hamlearn.targets.origin import Origin
from hamlearn.targets.storage import load_targets, save_targets
from hamlearn.targets.target import Diagnostics, Side, Target, check_targets

__all__ = [
    "Diagnostics",
    "Origin",
    "Side",
    "Target",
    "build_target",
    "check_targets",
    "load_targets",
    "lowdin_orthogonalise",
    "n_occupied",
    "needs_calculation",
    "predict_side",
    "project_matrix",
    "save_targets",
    "target_orbitals",
]
