"""From a calculation to the matrix to learn, and what a prediction needs beside the learned matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hamlearn.angular.ao_order import Orbitals
from hamlearn.config import QMSettings, TargetSettings
from hamlearn.errors import ArtifactError, BasisError
from hamlearn.qm.record import QMRecord
from hamlearn.targets.full_basis import basis_orbitals
from hamlearn.targets.lowdin import lowdin_orthogonalise
from hamlearn.targets.minimal_basis import build_minimal_basis, minimal_orbitals, n_core
from hamlearn.targets.saph import project_saph, to_nonorthogonal
from hamlearn.targets.target import Diagnostics, Target

FloatArray = NDArray[np.float64]
Projected = tuple[FloatArray, FloatArray | None, Diagnostics | None]


def target_orbitals(settings: TargetSettings, basis: str, species: Iterable[int]) -> Orbitals:
    """Return shells and order of the orbitals a target is expressed in.

    Args:
        settings: which matrix is learned.
        basis: basis set of the calculations.
        species: atomic numbers.

    Raises:
        BasisError: if the basis lacks an element, or the minimal basis of an element is not defined.
    """
    if settings.kind == "saph":
        return minimal_orbitals(settings.minimal_basis, basis, species)
    return basis_orbitals(basis, species)


def n_occupied(numbers: Iterable[int], settings: TargetSettings) -> int:
    """Return the number of doubly occupied levels of the target of a neutral molecule.

    Args:
        numbers: atomic numbers [atom].
        settings: which matrix is learned; a SAPH has no core levels.
    """
    numbers = [int(number) for number in numbers]
    core = sum(n_core(number) for number in numbers) if settings.kind == "saph" else 0
    return sum(numbers) // 2 - core


def project_matrix(fock: FloatArray, overlap: FloatArray, mole: Any, settings: TargetSettings) -> Projected:
    """Return the matrix to learn of a Fock matrix, its metric and how the projection went.

    Args:
        fock: [ao, ao], Hartree, PySCF's order.
        overlap: [ao, ao].
        mole: neutral PySCF Mole, spherical functions.
        settings: which matrix is learned; ``delta`` plays no part here.

    Returns:
        Matrix [target ao, target ao], Hartree; metric of the same shape, None if the basis is orthonormal;
        diagnostics, None if nothing was projected. Rotation and permutation of the molecule: T A T^T.

    Raises:
        BasisError: if the minimal basis is not defined for the molecule or the overlap is nearly singular.
    """
    if mole.cart:
        raise BasisError("the molecule uses Cartesian d and f functions; build it with cart=False")
    if settings.kind == "fock":
        return fock, overlap, None
    if settings.kind == "lowdin":
        return lowdin_orthogonalise(fock, overlap), None, None
    minimal = build_minimal_basis(mole, overlap, settings.minimal_basis)
    numbers = mole.atom_charges()
    matrix, diagnostics = project_saph(
        fock,
        overlap,
        minimal,
        n_core=sum(n_core(int(number)) for number in numbers),
        n_occupied=n_occupied(numbers, settings),
        virtuals=settings.virtuals,
    )
    if settings.form == "orthogonal":
        return matrix, None, diagnostics
    return to_nonorthogonal(matrix, minimal.metric), minimal.metric, diagnostics


def build_target(record: QMRecord, settings: TargetSettings) -> Target:
    """Return the matrix to learn of a finished calculation.

    With delta learning it is the difference to the same target of the guess: built by the same rule, so that a
    prediction needs only the guess.

    Args:
        record: the calculation.
        settings: which matrix is learned.

    Raises:
        ArtifactError: if the record lacks the Fock matrix of the guess.
        BasisError: as :func:`project_matrix`.
    """
    from hamlearn.qm.molecule import build_mole

    basis = record.provenance["basis"]
    mole = build_mole(record.numbers, record.positions, basis)
    matrix, metric, diagnostics = project_matrix(record.fock, record.overlap, mole, settings)
    baseline = None
    if settings.delta != "none":
        guess = _guess_of(record, settings.delta)
        baseline, _, of_guess = project_matrix(guess, record.overlap, mole, settings)
        diagnostics = _with_guess(diagnostics, of_guess, settings.delta)
    return Target(
        numbers=record.numbers,
        matrix=matrix if baseline is None else matrix - baseline,
        metric=metric,
        orbitals=target_orbitals(settings, basis, record.numbers),
        n_occupied=n_occupied(record.numbers, settings),
        baseline=baseline,
        diagnostics=diagnostics,
    )


def needs_calculation(target: TargetSettings) -> bool:
    """Return whether a prediction of this target needs an overlap or a guess from PySCF."""
    has_metric = target.kind == "fock" or (target.kind == "saph" and target.form == "nonorthogonal")
    return has_metric or target.delta != "none"


def predict_side(
    numbers: Sequence[int], positions_bohr: ArrayLike, qm: QMSettings, target: TargetSettings
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return what a prediction needs without any SCF: the metric and the baseline of the target.

    Args:
        numbers: atomic numbers [atom].
        positions_bohr: [atom, 3], Bohr.
        qm: the calculations the model learned from.
        target: the matrix it learned.

    Returns:
        Metric [target ao, target ao], None if the basis is orthonormal; baseline of the same shape, Hartree, None
        without delta learning. Both equal those of :func:`build_target`; rotation of the molecule: T A T^T.
    """
    if not needs_calculation(target):
        return None, None
    from hamlearn.qm.guess import guess_fock
    from hamlearn.qm.molecule import build_mole

    mole = build_mole(numbers, positions_bohr, qm.basis)
    overlap = mole.intor_symmetric("int1e_ovlp")
    if target.delta != "none":
        baseline, metric, _ = project_matrix(guess_fock(mole, qm, target.delta), overlap, mole, target)
        return metric, baseline
    return (overlap if target.kind == "fock" else build_minimal_basis(mole, overlap, target.minimal_basis).metric), None


def _guess_of(record: QMRecord, name: str) -> FloatArray:
    if name in record.guess_focks:
        return record.guess_focks[name]
    kept = ", ".join(record.guess_focks) or "none"
    raise ArtifactError(
        f"delta '{name}' needs the Fock matrix of guess '{name}', the calculation kept: {kept}; "
        f"run the calculations again with guess_focks=('{name}',)"
    )


def _with_guess(of_fock: Diagnostics | None, of_guess: Diagnostics | None, name: str) -> Diagnostics | None:
    """Return the diagnostics of the converged Fock matrix with a word on the guess."""
    if of_fock is None or of_guess is None or not of_guess.flags:
        return of_fock
    return replace(of_fock, flags=(*of_fock.flags, *(f"guess {name}: {flag}" for flag in of_guess.flags)))
