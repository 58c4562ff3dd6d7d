"""One self-consistent calculation: geometry -> QMRecord."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, eigh, eigvalsh

from hamlearn.config import QMSettings
from hamlearn.errors import SCFError
from hamlearn.qm.guess import check_guesses, fock_of_guess, start_density, symmetrised
from hamlearn.qm.method import describe_method, mean_field
from hamlearn.qm.molecule import basis_hash, build_mole, formula
from hamlearn.qm.record import FloatArray, QMRecord

MAX_CYCLES = 50  # of the first attempts; the slower ones get twice as many
FIRST_ATTEMPT = "diis"
SMALLEST_OVERLAP = 1e-6  # below, PySCF drops functions and the Fock matrix loses its meaning


@dataclass(frozen=True)
class Converged:
    """A mean field that reached self-consistency.

    Attributes:
        mean_field: the PySCF object.
        fock: [ao, ao], Hartree, of the final density, without DIIS or level shift.
        density: [ao, ao].
        attempt: which step of the ladder succeeded.
        first_fock: Fock matrix of the density the first attempt started from [ao, ao], Hartree; None if that
            attempt broke down before it was built.
    """

    mean_field: Any
    fock: FloatArray
    density: FloatArray
    attempt: str
    first_fock: FloatArray | None


def run_scf(
    numbers: ArrayLike, positions_bohr: ArrayLike, settings: QMSettings, guess_focks: Sequence[str] = ()
) -> QMRecord:
    """Return the Fock and overlap matrices of one molecule.

    The Fock matrices of the final density and of the starting guess are those the SCF itself builds. Levels come
    from eigh(F, S): the orbital energies PySCF stores belong to the Fock matrix of the cycle before.

    Args:
        numbers: atomic numbers [atom].
        positions_bohr: [atom, 3], Bohr.
        settings: method, functional, basis, guess, threshold.
        guess_focks: further guesses (see :mod:`hamlearn.qm.guess`) whose Fock matrix to keep.

    Returns:
        The record; its ``guess_focks`` hold the guess of the settings and those asked for.

    Raises:
        SCFError: if no step of the ladder converged, or the basis is nearly linearly dependent.
    """
    check_guesses(guess_focks)
    numbers = np.asarray(numbers, dtype=np.int64)
    positions = np.array(positions_bohr, dtype=np.float64)
    mole = build_mole(numbers, positions, settings.basis)
    overlap = _checked_overlap(mole, numbers)
    result = converge(mole, settings)
    guesses: dict[str, FloatArray] = {}
    for name in dict.fromkeys((settings.guess, *guess_focks)):
        if name == settings.guess != "core" and result.first_fock is not None:
            guesses[name] = result.first_fock
        else:  # the core guess stands for no density at all, see hamlearn.qm.guess
            guesses[name] = fock_of_guess(result.mean_field, settings.basis, name)
    return QMRecord(
        numbers=numbers,
        positions=positions,
        fock=result.fock,
        overlap=overlap,
        guess_focks=guesses,
        orbital_energies=eigh(result.fock, overlap, eigvals_only=True),
        occupations=np.where(np.arange(len(overlap)) < mole.nelectron // 2, 2.0, 0.0),
        energy=float(result.mean_field.e_tot),
        dipole=np.asarray(result.mean_field.dip_moment(mole, result.density, unit="AU", verbose=0)),
        provenance=_provenance(numbers, settings, result),
    )


def converge(mole: Any, settings: QMSettings) -> Converged:
    """Climb the ladder of ever slower and safer solvers until one converges.

    Raises:
        SCFError: if none does.
    """
    first: dict[str, Any] = {}
    said = []
    for attempt, field, start in _ladder(mole, settings):
        final: dict[str, Any] = {}
        field.post_kernel = final.update
        if attempt == FIRST_ATTEMPT:
            field.pre_kernel = first.update
        try:
            field.kernel(dm0=start_density(field, settings.basis, start))
        except (LinAlgError, ArithmeticError, ValueError, RuntimeError) as error:
            said.append(f"{attempt}: {error}")
            continue
        finally:  # the hooks hold the field, which holds them and all integrals: memory would wait for the collector
            field.pre_kernel = field.post_kernel = None
        if field.converged:
            density = final["dm"] if "dm" in final else field.make_rdm1()
            fock = final["fock"] if "fock" in final else field.get_fock(dm=density)
            first_fock = symmetrised(first["h1e"] + first["vhf"]) if first else None
            return Converged(field, symmetrised(fock), np.asarray(density), attempt, first_fock)
        said.append(f"{attempt}: {field.max_cycle} cycles")
    raise SCFError(f"not converged to {settings.conv_tol:g} Hartree ({'; '.join(said)})")


def _ladder(mole: Any, settings: QMSettings) -> Iterator[tuple[str, Any, str]]:
    """Yield name, mean field and starting guess of every attempt."""
    other = "atom" if settings.guess == "minao" else "minao"
    for attempt, start in ((FIRST_ATTEMPT, settings.guess), (f"guess {other}", other)):
        field = mean_field(mole, settings)
        field.max_cycle = MAX_CYCLES
        yield attempt, field, start
    field = mean_field(mole, settings)
    field.set(level_shift=0.5, diis_space=12, max_cycle=2 * MAX_CYCLES)
    yield "level shift", field, settings.guess
    field = mean_field(mole, settings).newton()
    field.max_cycle = 2 * MAX_CYCLES
    yield "second order", field, settings.guess


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
        "pyscf": pyscf.__version__,
    }
