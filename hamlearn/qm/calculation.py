"""One self-consistent calculation: geometry -> QMRecord."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh, eigvalsh

from hamlearn.config import QMSettings
from hamlearn.errors import SCFError
from hamlearn.qm.guess import as_guesses, fock_of_guess, start_density
from hamlearn.qm.method import describe_method, fractional_occupations, mean_field
from hamlearn.qm.molecule import basis_hash, formula, mole_of
from hamlearn.qm.record import QMRecord
from hamlearn.qm.scf import Converged, converge, symmetrised
from hamlearn.qm.stability import STABILITY
from hamlearn.types import FloatArray

SMALLEST_OVERLAP = 1e-6  # below, PySCF drops functions and the Fock matrix loses its meaning


def run_scf(
    numbers: ArrayLike, positions_bohr: ArrayLike, settings: QMSettings, guess_focks: Sequence[str] = ()
) -> QMRecord:
    """Return the Fock and overlap matrices of one molecule.

    The Fock matrices of the final density and of the starting guess are those the SCF itself builds. Levels come
    from eigh(F, S): the orbital energies PySCF stores belong to the Fock matrix of the cycle before.

    Args:
        numbers: atomic numbers [atom].
        positions_bohr: [atom, 3], Bohr.
        settings: method, functional, basis, guess, threshold; charge and multiplicity of this molecule.
        guess_focks: further guesses (see :mod:`hamlearn.qm.guess`) whose Fock matrix to keep.

    Returns:
        The record; its ``guess_focks`` hold the guess of the settings and those asked for.

    Raises:
        SCFError: if no step of the ladder converged, or the basis is nearly linearly dependent.
    """
    guess_focks = as_guesses(guess_focks)
    numbers = np.asarray(numbers, dtype=np.int64)
    positions = np.array(positions_bohr, dtype=np.float64)
    mole = mole_of(numbers, positions, settings)
    overlap = _checked_overlap(mole, numbers)
    result = converge(mole, settings, start_density)
    guesses: dict[str, FloatArray] = {}
    for name in dict.fromkeys((settings.guess, *guess_focks)):
        if name == settings.guess != "core" and result.first_fock is not None:
            guesses[name] = result.first_fock
        else:  # the core guess stands for no density at all, see hamlearn.qm.guess
            guesses[name] = fock_of_guess(result.mean_field, settings.basis, name)
    energies = _levels(result.fock, overlap)
    return QMRecord(
        numbers=numbers,
        positions=positions,
        fock=result.fock,
        overlap=overlap,
        guess_focks=guesses,
        orbital_energies=energies,
        occupations=_occupations(energies, mole),
        energy=float(result.mean_field.e_tot),
        dipole=np.asarray(result.mean_field.dip_moment(mole, result.density, unit="AU", verbose=0)),
        provenance=_provenance(numbers, settings, result),
        charge=int(mole.charge),
        multiplicity=int(mole.spin) + 1,
    )


def with_guesses(record: QMRecord, settings: QMSettings, guess_focks: Sequence[str]) -> QMRecord:
    """Return a record that holds the Fock matrices F[D_guess] of further guesses, too; the SCF is not repeated.

    Args:
        record: of a finished calculation.
        settings: those it was made with; charge and multiplicity of this molecule.
        guess_focks: what it is to hold; what it has already is kept. They turn with the molecule as its Fock matrix.

    Raises:
        SCFError: if the SCF of a guess does not converge.
    """
    missing = [name for name in dict.fromkeys(as_guesses(guess_focks)) if name not in record.guess_focks]
    if not missing:
        return record
    field = mean_field(mole_of(record.numbers, record.positions, settings), settings)
    made = {name: fock_of_guess(field, settings.basis, name) for name in missing}
    return replace(record, guess_focks={**record.guess_focks, **made})


def _levels(fock: FloatArray, overlap: FloatArray) -> FloatArray:
    """Return the eigenvalues of the Fock matrix [ao], or of those of both spins [spin, ao]."""
    if fock.ndim == 3:
        return np.stack([_levels(of_spin, overlap) for of_spin in fock])
    return np.asarray(eigh(fock, overlap, eigvals_only=True))


def _occupations(energies: FloatArray, mole: Any) -> FloatArray:
    if energies.ndim == 1:
        return np.where(np.arange(len(energies)) < mole.nelectron // 2, 2.0, 0.0)
    return np.stack([fractional_occupations(e, n) for e, n in zip(energies, mole.nelec, strict=True)])


def _checked_overlap(mole: Any, numbers: Iterable[int]) -> FloatArray:
    overlap = symmetrised(mole.intor_symmetric("int1e_ovlp"))
    smallest = eigvalsh(overlap, subset_by_index=(0, 0))[0]
    if smallest < SMALLEST_OVERLAP:
        raise SCFError(
            f"the basis is nearly linearly dependent on {formula(numbers)}: smallest eigenvalue of the overlap "
            f"{smallest:.1e}, at least {SMALLEST_OVERLAP:g} expected; choose a basis with fewer diffuse functions"
        )
    return overlap


def _provenance(numbers: Iterable[int], settings: QMSettings, result: Converged) -> dict[str, Any]:
    import pyscf

    return {
        **describe_method(settings),
        "basis": settings.basis,
        "basis_hash": basis_hash(settings.basis, numbers),
        "guess": settings.guess,
        "conv_tol": settings.conv_tol,
        "cycles": int(result.mean_field.cycles),
        "attempt": result.attempt,
        STABILITY: dict(result.stability),
        **({"degenerate_levels": "share their electrons"} if settings.method.startswith("U") else {}),
        "pyscf": pyscf.__version__,
    }
