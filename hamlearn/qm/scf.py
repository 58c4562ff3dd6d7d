"""Self-consistency by a ladder of ever safer solvers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, eigh

from hamlearn.config import QMSettings
from hamlearn.errors import SCFError
from hamlearn.lazy import lazily
from hamlearn.qm.atomic_density import atomic_density
from hamlearn.qm.method import DEGENERATE_HARTREE, mean_field
from hamlearn.qm.stability import (
    MINIMUM,
    NEGATIVE,
    SADDLE,
    UNKNOWN,
    ZERO,
    described,
    frontier_gap,
    has_equal_spins,
    lowest_curvature,
    not_analysed,
    rotated_orbitals,
)
from hamlearn.types import FloatArray

MAX_CYCLES = 50  # of the first attempts; the slower ones get twice as many
FIRST_ATTEMPT = "diis"
DESCENT = ", then down from a saddle point"
MOST_DESCENTS = 5
OTHER_STARTS = ("atom", "core")
SAME_ENERGY, SAME_DENSITY = 1e-7, 1e-3
DEGENERATE_GUESS = "the density the SCF starts from has degenerate frontier levels"
BROKEN = "the states below it break the symmetry of the molecule, so that there are several"
BROKEN_SPIN = "the states below it have other densities of one spin than of the other, so that there are several"
KEPT = "kept, as qm.pyscf.leave_saddle_points is false"
ZERO_MODE = "turning some orbitals costs no energy, as where a state lacks a symmetry of the molecule"


@dataclass(frozen=True, eq=False)
class Converged:
    """A mean field that reached self-consistency.

    Attributes:
        mean_field: the PySCF object.
        fock: [ao, ao], Hartree, of the final density, without DIIS or level shift; of open shells [spin, ao, ao], in
            ROHF, too, whose orbitals diagonalise a mixture of both.
        density: of the same shape.
        attempt: which step of the ladder succeeded.
        first_fock: Fock matrix of the density the first attempt started from, of the same shape, Hartree; None if
            that attempt broke down before it was built.
        stability: what kind of state it is, as :func:`hamlearn.qm.stability.described` has it; empty if not asked.
    """

    mean_field: Any
    fock: FloatArray
    density: FloatArray
    attempt: str
    first_fock: FloatArray | None
    stability: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def energy(self) -> float:
        """Total energy, Hartree."""
        return float(self.mean_field.e_tot)

    def has_degenerate_guess(self) -> bool:
        """Return whether closed shells had to choose among degenerate levels of the density they started from."""
        if self.first_fock is None or self.first_fock.ndim == 3:
            return False
        levels = eigh(self.first_fock, self.mean_field.get_ovlp(), eigvals_only=True)
        return frontier_gap(levels, self.mean_field.mol.nelectron // 2) < DEGENERATE_HARTREE


def converge(
    mole: Any, settings: QMSettings, start_density: Callable[[Any, str, str], Any] = atomic_density
) -> Converged:
    """Climb the ladder of ever slower and safer solvers until one converges, and go on from saddle points to a minimum.

    Args:
        mole: the molecule in its basis.
        settings: method, threshold and the guess to begin with.
        start_density: makes the density of a guess from mean field, basis and name; by default those of atoms.

    Raises:
        SCFError: if none does.
    """
    first = _climb(_ladder(mole, settings), settings, start_density)
    if not first.has_degenerate_guess():
        found = descended(first, settings, keep_symmetry=True)
        return replace(found, first_fock=first.first_fock)
    found = descended(first, settings, keep_symmetry=False)
    for name in OTHER_STARTS:  # which state the SCF comes to depends on the orientation; the lowest does not
        with suppress(SCFError):
            attempt = f"guess {name}", mean_field(mole, settings), name
            other = descended(_climb([attempt], settings, start_density), settings, keep_symmetry=False)
            found = min(found, other, key=lambda state: round(state.energy / SAME_ENERGY))
    known = {**found.stability, "not_unique": DEGENERATE_GUESS}
    return replace(found, first_fock=first.first_fock, stability=known)


def _climb(
    ladder: Iterable[tuple[str, Any, str]], settings: QMSettings, start_density: Callable[[Any, str, str], Any]
) -> Converged:
    """Return the first state that an attempt of a ladder converges to.

    Raises:
        SCFError: if none does.
    """
    first: dict[str, Any] = {}
    said = []
    for attempt, field, start in ladder:
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
            # solvents come on top of what PySCF calls the potential of the electrons
            parts = (first["h1e"], first["vhf"], getattr(first["vhf"], "v_solvent", 0.0)) if first else ()
            first_fock = symmetrised(sum(parts)) if parts else None
            return _converged(field, final, attempt, first_fock)
        said.append(f"{attempt}: {field.max_cycle} cycles")
    raise SCFError(f"not converged to {settings.conv_tol:g} Hartree ({'; '.join(said)})")


def _converged(field: Any, final: Mapping[str, Any], attempt: str, first_fock: FloatArray | None = None) -> Converged:
    """Return the state of a field; ``final`` holds its density and Fock matrix where its solver has left them."""
    density = final["dm"] if "dm" in final else field.make_rdm1()
    fock = final["fock"] if "fock" in final else field.get_fock(dm=density)
    if hasattr(fock, "focka"):
        fock = np.stack([fock.focka, fock.fockb])
    return Converged(field, symmetrised(fock), np.asarray(density), attempt, first_fock)


def descended(state: Converged, settings: QMSettings, keep_symmetry: bool) -> Converged:
    """Return the minimum that lies below a saddle point, or a state as it is, with what is known of its stability.

    Args:
        state: where to begin.
        settings: of the calculation.
        keep_symmetry: stay at a saddle point where the states below break the symmetry of the molecule: there are
            several then, and the geometry does not tell which one to take.
    """
    start = state
    for count in range(MOST_DESCENTS + 1):
        if why := not_analysed(state.mean_field, suspicious=count > 0):
            return replace(state, stability=described(UNKNOWN, why, count))
        try:
            curvature, direction = lowest_curvature(state.mean_field, state.fock)
        except (NotImplementedError, LookupError, ValueError, RuntimeError, LinAlgError) as error:
            return replace(state, stability=described(UNKNOWN, f"no second derivatives: {error}", count))
        if curvature > NEGATIVE:
            turns_freely = curvature < ZERO
            if turns_freely and count and keep_symmetry:
                return replace(start, stability=described(SADDLE, BROKEN))
            not_unique = ZERO_MODE if turns_freely else ""
            return replace(state, stability=described(MINIMUM, "", count, not_unique))
        if settings.pyscf is not None and not settings.pyscf.leave_saddle_points:
            return replace(state, stability=described(SADDLE, KEPT, count))
        if has_equal_spins(state.mean_field):
            return replace(state, stability=described(SADDLE, BROKEN_SPIN, count))
        lower = sorted(_lower(state, direction, settings), key=lambda below: below.energy)
        if not lower:
            return replace(state, stability=described(SADDLE, "no lower state was found", count))
        if keep_symmetry and _are_different_but_equal(lower):
            return replace(start, stability=described(SADDLE, BROKEN))
        state = lower[0]
    return replace(state, stability=described(SADDLE, "as were all states below it", MOST_DESCENTS))


def _are_different_but_equal(states: Sequence[Converged]) -> bool:
    """Return whether two states have the same energy and other densities."""
    if len(states) < 2 or states[1].energy - states[0].energy > SAME_ENERGY:
        return False
    return bool(np.abs(states[1].density - states[0].density).max() > SAME_DENSITY)


def _lower(state: Converged, direction: FloatArray, settings: QMSettings) -> Iterator[Converged]:
    """Yield the states that lie below a saddle point, on one side and on the other."""
    name = f"{state.attempt.removesuffix(DESCENT)}{DESCENT}"
    for step in (direction, -direction):
        below = _like(state.mean_field, settings).newton()
        below.max_cycle = 2 * MAX_CYCLES
        try:
            below.kernel(rotated_orbitals(state.mean_field, step), state.mean_field.mo_occ)
            if not below.converged or below.e_tot > state.energy - SAME_ENERGY:
                continue
            start = partial(_density_of, below)
            exact = _climb([(name, _like(below, settings), "")], settings, start)
        except (LinAlgError, ArithmeticError, ValueError, RuntimeError):
            continue
        except SCFError:
            yield _converged(below, {}, name)
        else:  # the second-order solver is less exact than DIIS, which may go astray
            yield exact if abs(exact.energy - below.e_tot) < SAME_ENERGY else _converged(below, {}, name)


def _density_of(field: Any, *_: Any) -> Any:
    return field.make_rdm1()


def _like(field: Any, settings: QMSettings) -> Any:
    """Return a mean field of the same molecule that has its integrals."""
    other = mean_field(field.mol, settings)
    other._eri = field._eri
    return other


def _ladder(mole: Any, settings: QMSettings) -> Iterator[tuple[str, Any, str]]:
    """Yield name, mean field and starting guess of every attempt."""
    other = "atom" if settings.guess == "minao" else "minao"
    for attempt, start in ((FIRST_ATTEMPT, settings.guess), (f"guess {other}", other)):
        field = mean_field(mole, settings)
        if settings.pyscf is None or settings.pyscf.max_cycle is None:
            field.max_cycle = MAX_CYCLES
        yield attempt, field, start
    field = mean_field(mole, settings)
    field.set(level_shift=0.5, diis_space=12, max_cycle=2 * MAX_CYCLES)
    yield "level shift", field, settings.guess
    field = mean_field(mole, settings).newton()
    field.max_cycle = 2 * MAX_CYCLES
    yield "second order", field, settings.guess


def symmetrised(matrix: Any) -> FloatArray:
    """Return (A + A^T) / 2 of one or many as a plain array: PySCF's carry a rounding residue and tags."""
    plain = np.array(matrix, dtype=np.float64)
    return 0.5 * (plain + plain.swapaxes(-1, -2))


__getattr__, _ = lazily("hamlearn.qm", {"calculation": ("run_scf",)})  # scripts of older versions import it from here
