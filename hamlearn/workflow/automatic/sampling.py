"""A few Fock matrices of a guess, computed before a run: what calculations cost, and whether virtual levels cross."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.config import QMSettings, SaphTarget
from hamlearn.errors import BasisError
from hamlearn.structures.charges import of_molecule
from hamlearn.types import FloatArray
from hamlearn.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

MOST_SAMPLED = 4
"""Molecules whose guess is computed where levels may cross, so many of up to 200 basis functions, fewer larger ones."""

USUAL_FUNCTIONS = 200

GUESS = "minao"


@dataclass(frozen=True)
class Sample:
    """What Fock matrices of the guess minao tell.

    Attributes:
        n_functions: basis functions of the molecule that was timed.
        first_seconds: for its first Fock matrix, integrals included.
        cycle_seconds: for a further one.
        crossing: of the molecules, the share whose lowest virtual levels a minimal basis does not hold, or only just:
            which ones are kept changes from one geometry to the next; None if it was not asked for.
    """

    n_functions: int
    first_seconds: float
    cycle_seconds: float
    crossing: float | None


def sample_of(training: Sequence[Atoms], qm: QMSettings, crossing: bool) -> Sample:
    """Return what the guess tells of some molecules of all sizes, or of one of middle size if levels do not matter."""
    ordered = sorted(training, key=lambda atoms: (len(atoms), atoms.get_chemical_formula()))
    middle = ordered[len(ordered) // 2]
    n_functions, first, cycle, fock, mole = _timed(middle, qm)
    if not crossing:
        return Sample(n_functions, first, cycle, None)
    n = max(1, min(MOST_SAMPLED, len(ordered), round(MOST_SAMPLED * (USUAL_FUNCTIONS / n_functions) ** 3)))
    others = [ordered[k] for k in np.unique(np.linspace(0, len(ordered) - 1, n).round().astype(int))]
    flagged = [_crosses(fock, mole)]
    flagged += [_crosses(*_timed(atoms, qm, again=False)[3:]) for atoms in others if atoms is not middle]
    return Sample(n_functions, first, cycle, float(np.mean(flagged)))


def _timed(atoms: Atoms, qm: QMSettings, again: bool = True) -> tuple[int, float, float, FloatArray, Any]:
    """Return basis functions, seconds of a first and a further Fock matrix, the matrix, and the Mole."""
    from hamlearn.qm.guess import start_density
    from hamlearn.qm.method import mean_field
    from hamlearn.qm.molecule import mole_of

    mole = mole_of(atoms.numbers, atoms.positions / BOHR_ANGSTROM, of_molecule(qm, atoms))
    start = time.process_time()
    field = mean_field(mole, qm)
    density = start_density(field, qm.basis, GUESS)
    fock = np.asarray(field.get_fock(dm=density))
    first = time.process_time()
    if again:
        field.get_fock(dm=density)
    return mole.nao, first - start, time.process_time() - first, fock, mole


def _crosses(fock: FloatArray, mole: Any) -> bool:
    """Return whether a minimal basis holds the lowest virtual levels only with a flag, or not at all."""
    from hamlearn.targets.build import project_matrix

    of_spins = fock if fock.ndim == 3 else fock[None]
    overlap = mole.intor_symmetric("int1e_ovlp")
    try:
        projected = [project_matrix(matrix, overlap, mole, SaphTarget()) for matrix in of_spins]
    except BasisError:
        return True
    return any(found.diagnostics is not None and bool(found.diagnostics.flags) for found in projected)
