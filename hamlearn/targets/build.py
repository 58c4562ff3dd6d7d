"""From a calculation to the matrix to learn, and what a prediction needs beside the learned matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from hamlearn.angular.ao_order import Orbitals, element_numbers
from hamlearn.config import MatrixTarget, QMSettings, SaphTarget
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ArtifactError, BasisError, ConfigError
from hamlearn.qm.method import fractional_occupations
from hamlearn.qm.molecule import n_core_electrons, n_electrons
from hamlearn.qm.record import QMRecord
from hamlearn.targets.full_basis import basis_orbitals
from hamlearn.targets.lowdin import lowdin_orthogonalise
from hamlearn.targets.minimal_basis import MinimalBasis, build_minimal_basis, minimal_orbitals, n_core
from hamlearn.targets.origin import Origin
from hamlearn.targets.saph import project_saph, to_nonorthogonal
from hamlearn.targets.spins import SPINS, Occupied, to_channels
from hamlearn.targets.target import Diagnostics, Target
from hamlearn.types import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Projected(ByValue, Shown):
    """A Fock matrix as the matrix to learn.

    Attributes:
        matrix: [target ao, target ao], Hartree. Rotation and permutation of the molecule: T A T^T.
        metric: overlap of its basis, same shape; None if the basis is orthonormal.
        functions: of a SAPH, the orthonormal functions it is expressed in [ao, target ao]; None if nothing was
            projected.
        diagnostics: of the projection; None if nothing was projected.
    """

    matrix: FloatArray
    metric: FloatArray | None = None
    functions: FloatArray | None = None
    diagnostics: Diagnostics | None = None


def target_orbitals(settings: MatrixTarget, basis: str, species: Iterable[int]) -> Orbitals:
    """Return shells and order of the orbitals a target is expressed in.

    Args:
        settings: which matrix is learned.
        basis: basis set of the calculations.
        species: atomic numbers.

    Raises:
        BasisError: if the basis lacks an element, or the minimal basis of an element is not defined.
    """
    if isinstance(settings, SaphTarget):
        return minimal_orbitals(settings.minimal_basis, basis, species)
    return basis_orbitals(basis, species)


def n_occupied(
    numbers: Iterable[int],
    settings: MatrixTarget,
    charge: int = 0,
    multiplicity: int | None = None,
    basis: str | None = None,
) -> Occupied:
    """Return the number of doubly occupied levels of the target of a molecule, or of occupied ones of either spin.

    Args:
        numbers: atomic numbers [atom].
        settings: which matrix is learned; a SAPH has no core levels.
        charge: of the molecule, e.
        multiplicity: 2S + 1 of an unrestricted calculation.
        basis: basis set of the calculation, whose effective core potentials replace levels that others have.
    """
    numbers = [int(number) for number in numbers]
    replaced = 0 if basis is None else sum(n_core_electrons(basis, number) for number in numbers)
    core = _n_core(numbers, settings) if isinstance(settings, SaphTarget) else replaced // 2
    if multiplicity is None:
        return (sum(numbers) - charge) // 2 - core
    n_alpha, n_beta = n_electrons(numbers, charge, multiplicity)
    return n_alpha - core, n_beta - core


def _n_core(numbers: Iterable[int], settings: MatrixTarget) -> int:
    """Return how many of the lowest levels of all electrons of a molecule the target leaves out."""
    return sum(n_core(int(number)) for number in numbers) if isinstance(settings, SaphTarget) else 0


def project_matrix(
    fock: FloatArray,
    overlap: FloatArray,
    mole: Any,
    settings: MatrixTarget,
    of_guess: Projected | None = None,
    n_filled: int | None = None,
) -> Projected:
    """Return the matrix to learn of a Fock matrix, of unrestricted calculations that of one spin.

    Args:
        fock: [ao, ao], Hartree, PySCF's order.
        overlap: [ao, ao].
        mole: PySCF Mole, spherical functions.
        settings: which matrix is learned; ``delta`` plays no part here.
        of_guess: the projected matrix of a guess. A SAPH of the lowest levels is then projected on its functions in
            place of the minimal basis: both keep like levels, and where these jump from molecule to molecule the jumps
            cancel in the difference. Valence virtuals do not jump.
        n_filled: number of occupied levels, core included; half the number of electrons by default.

    Raises:
        BasisError: if the minimal basis is not defined for the molecule or the overlap is nearly singular.
    """
    if mole.cart:
        raise BasisError("the molecule uses Cartesian d and f functions; build it with cart=False")
    if not isinstance(settings, SaphTarget):
        return Projected(fock, overlap) if settings.has_metric else Projected(lowdin_orthogonalise(fock, overlap))
    minimal = build_minimal_basis(mole, overlap, settings.minimal_basis)
    basis, of_minimal = minimal, None
    if settings.virtuals == "lowest" and of_guess is not None and of_guess.functions is not None:
        basis, of_minimal = MinimalBasis.of_functions(of_guess.functions, overlap), of_guess.diagnostics
    replaced = sum(int(mole.atom_nelec_core(atom)) for atom in range(mole.natm)) // 2
    core = _n_core(element_numbers(mole), settings) - replaced
    saph = project_saph(
        fock,
        overlap,
        basis,
        n_core=core,
        n_occupied=(mole.nelectron // 2 if n_filled is None else n_filled) - core,
        virtuals=settings.virtuals,
    )
    diagnostics = saph.diagnostics
    if of_minimal is not None:
        diagnostics = replace(
            diagnostics, singular_values=of_minimal.singular_values, projections=of_minimal.projections
        )
    if settings.form == "orthogonal":
        return Projected(saph.matrix, None, saph.functions, diagnostics)
    return Projected(to_nonorthogonal(saph.matrix, minimal.metric), minimal.metric, saph.functions, diagnostics)


def _of_spins(
    fock: FloatArray, overlap: FloatArray, mole: Any, settings: MatrixTarget, of_guess: Sequence[Projected] = ()
) -> list[Projected]:
    """Return :func:`project_matrix` of one Fock matrix [ao, ao], or of those of both spins [spin, ao, ao]."""
    if fock.ndim == 2:
        return [project_matrix(fock, overlap, mole, settings, of_guess[0] if of_guess else None)]
    guesses = of_guess or (None, None)
    parts = zip(fock, guesses, mole.nelec, strict=True)
    return [project_matrix(f, overlap, mole, settings, guess, _n_filled(f, overlap, n)) for f, guess, n in parts]


def _n_filled(fock: FloatArray, overlap: FloatArray, n_electrons: int) -> int:
    """Return how many levels of a spin hold electrons; degenerate ones that share some are all kept."""
    return int(np.count_nonzero(fractional_occupations(eigh(fock, overlap, eigvals_only=True), n_electrons)))


def _joined(parts: Sequence[Projected]) -> Projected:
    """Return one matrix as it is, and those of two spins as channels with the diagnostics of both."""
    if len(parts) == 1:
        return parts[0]
    alpha, beta = parts
    diagnostics = None
    if alpha.diagnostics is not None and beta.diagnostics is not None:
        both = alpha.diagnostics, beta.diagnostics
        diagnostics = Diagnostics(
            singular_values=np.sort(np.concatenate([d.singular_values for d in both]))[::-1],
            projections=np.concatenate([d.projections for d in both]),
            rejected_gap=min(d.rejected_gap for d in both),
            flags=tuple(f"{spin}: {flag}" for spin, d in zip(SPINS, both, strict=True) for flag in d.flags),
        )
    return Projected(to_channels(alpha.matrix, beta.matrix), alpha.metric, None, diagnostics)


def build_target(record: QMRecord, settings: MatrixTarget) -> Target:
    """Return the matrix to learn of a finished calculation.

    With delta learning it is the difference to the same target of the guess, so that a prediction needs only the
    guess; see :func:`project_matrix` for how a SAPH of the lowest levels follows that of the guess.

    Args:
        record: the calculation.
        settings: which matrix is learned.

    Raises:
        ConfigError: if what was given is no record, or no settings of a matrix.
        ArtifactError: if the record lacks the Fock matrix of the guess.
        BasisError: as :func:`project_matrix`.
    """
    from hamlearn.qm.molecule import build_mole

    if not isinstance(record, QMRecord):
        raise ConfigError(f"record is a {type(record).__name__}, expected a QMRecord, such as campaign.load(0)")
    if not isinstance(settings, MatrixTarget):
        raise ConfigError(
            f"settings is a {type(settings).__name__}, expected SaphTarget(), LowdinTarget() or FockTarget(); "
            "properties are read from the structures by PropertyModel.fit"
        )
    basis = record.provenance["basis"]
    mole = build_mole(record.numbers, record.positions, basis, record.charge, record.multiplicity)
    guesses: list[Projected] = []
    if settings.delta != "none":
        guesses = _of_spins(_guess_of(record, settings.delta), record.overlap, mole, settings)
    of_guess = _joined(guesses) if guesses else None
    baseline = None if of_guess is None else of_guess.matrix
    follows = guesses if settings.delta != "core" else ()  # without any screening its levels are other ones
    projected = _joined(_of_spins(record.fock, record.overlap, mole, settings, follows))
    multiplicity = record.multiplicity if record.has_spins else None
    return Target(
        numbers=record.numbers,
        matrix=projected.matrix if baseline is None else projected.matrix - baseline,
        metric=projected.metric,
        orbitals=target_orbitals(settings, basis, record.numbers),
        n_occupied=n_occupied(record.numbers, settings, record.charge, multiplicity, basis),
        baseline=baseline,
        diagnostics=_with_guess(projected.diagnostics, of_guess, settings.delta),
        origin=Origin.of(settings, record.provenance, record.positions),
    )


def guess_focks(target: MatrixTarget) -> tuple[str, ...]:
    """Return the guesses whose Fock matrices a target needs."""
    return () if target.delta == "none" else (target.delta,)


def needs_calculation(target: MatrixTarget) -> bool:
    """Return whether a prediction of this target needs an overlap or a guess from PySCF."""
    return target.has_metric or target.delta != "none"


def predict_side(
    numbers: Sequence[int], positions_bohr: ArrayLike, qm: QMSettings, target: MatrixTarget
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return what a prediction needs beside the model: the metric and the baseline of the target.

    There is no SCF in the basis of the calculations; the guess sto-3g runs one in its own.

    Args:
        numbers: atomic numbers [atom].
        positions_bohr: [atom, 3], Bohr.
        qm: the calculations the model learned from, with the charge of the molecule.
        target: the matrix it learned.

    Returns:
        Metric [target ao, target ao], None if the basis is orthonormal; baseline of the same shape, of open shells
        [channel, target ao, target ao], Hartree, None without delta learning. Both equal those of
        :func:`build_target`; rotation of the molecule: T A T^T.

    Raises:
        BasisError: as :func:`project_matrix`, or if the guess lacks an element.
        SCFError: if the SCF of guess sto-3g does not converge.
    """
    if not needs_calculation(target):
        return None, None
    from hamlearn.qm.guess import guess_fock
    from hamlearn.qm.molecule import mole_of

    mole = mole_of(numbers, positions_bohr, qm)
    overlap = mole.intor_symmetric("int1e_ovlp")
    if target.delta != "none":
        of_guess = _joined(_of_spins(guess_fock(mole, qm, target.delta), overlap, mole, target))
        return of_guess.metric, of_guess.matrix
    if isinstance(target, SaphTarget):
        return build_minimal_basis(mole, overlap, target.minimal_basis).metric, None
    return overlap, None


def _guess_of(record: QMRecord, name: str) -> FloatArray:
    if name in record.guess_focks:
        return record.guess_focks[name]
    kept = ", ".join(record.guess_focks) or "none"
    raise ArtifactError(
        f"delta '{name}' needs the Fock matrix of guess '{name}', the calculation kept: {kept}; "
        f"run the calculations again with guess_focks=('{name}',)"
    )


def _with_guess(of_fock: Diagnostics | None, of_guess: Projected | None, name: str) -> Diagnostics | None:
    """Return the diagnostics of the converged Fock matrix with a word on the guess."""
    if of_fock is None or of_guess is None or of_guess.diagnostics is None:
        return of_fock
    return replace(of_fock, flags=(*of_fock.flags, *(f"guess {name}: {flag}" for flag in of_guess.diagnostics.flags)))
