"""Which levels a minimal basis keeps: all occupied valence levels, and as many virtual ones as it has room for.

Levels are columns; ``cosines`` holds A = S_min^(-1/2) <minimal|level>, whose singular values are the cosines
between the space of some levels and that of the minimal basis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import BasisError
from hamlearn.types import FloatArray

PROJECTION_THRESHOLD = 0.4
"""Smallest norm of the residual, not of its square, at which a level is kept."""
DEGENERACY_HARTREE = 1e-6
CLOSE_LEVELS_HARTREE = 1e-3
CLOSE_CALL = 0.02
FIRST_BUFFER = 8
COVERAGE = 0.8
"""Smallest cosine between candidates and minimal basis. Too few candidates lack one of its symmetries (cosine 0 to
0.65); with enough of them 0.9 is reached, the rest being core levels."""
OCCUPIED_COVERAGE = 0.6
"""Smallest cosine between occupied levels and minimal basis: 0.7 to 1 where the first contractions of the valence
shells are valence functions, 0.1 to 0.5 where they are further core functions, as in def2-TZVP."""
RANK_FLOOR = 1e-6
EQUAL_COSINES = 1e-6
HALVINGS = 8

LOWERED = "too few levels project on the functions of the basis: the threshold was lowered"
NO_LUMO = "the LUMO does not project on the functions of the basis: the gap is that of the levels kept"
SKIPPED = "levels below the highest one kept do not project on the functions of the basis and were left out"
CLOSE_LEVELS = "the highest level kept and the next one nearly cross: the choice may jump between like geometries"
CLOSE_DECISION = "a level was kept or left out by a narrow margin: the choice may jump between like geometries"
CUT = "a degenerate set of levels was cut: the matrix does not have the symmetry of the molecule"
CLOSED_GAP = "HOMO and LUMO are degenerate: the matrix does not have the symmetry of the molecule"
WEAK_OCCUPIED = (
    "the minimal basis does not describe the occupied levels: its functions are no valence functions of this basis set "
    "(minimal_basis minao helps), or core and valence levels mix"
)


@dataclass(frozen=True, eq=False, repr=False)
class KeptLevels(ByValue, Shown):
    """Levels a minimal basis keeps.

    Attributes:
        energies: [minimal], Hartree, ascending.
        mixing: the orbitals kept, as combinations of all valence and virtual orbitals [level, minimal].
        projections: see :class:`~hamlearn.targets.target.Diagnostics`.
        rejected_gap: from the last level kept to the next one, Hartree; inf if there is none.
        flags: in words.
    """

    energies: FloatArray
    mixing: FloatArray
    projections: FloatArray
    rejected_gap: float
    flags: tuple[str, ...]


@dataclass(frozen=True)
class _Walk:
    """Levels accepted and left out on the way up, each with its residual norm."""

    accepted: list[int]
    residuals: list[float]
    rejected_residuals: list[float]


def lowest_levels(energies: FloatArray, cosines: FloatArray, n_occupied: int) -> KeptLevels:
    """Return the occupied levels and the lowest virtual ones that project on what is still free.

    The levels are walked in order of energy by Gram-Schmidt orthogonalisation of their coordinates in the space
    the candidates span in the minimal basis; degenerate ones stand or fall together. Which levels are kept depends
    neither on signs of orbitals nor on rotations within degenerate sets.

    Args:
        energies: of all valence and virtual levels [level], Hartree, ascending.
        cosines: A [minimal, level].
        n_occupied: number of occupied levels; all are kept.

    Raises:
        BasisError: if the levels do not span the minimal basis.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), sec. V B, with guards against rank loss,
    cut degeneracies and levels without projection.
    """
    n_minimal = len(cosines)
    for n_candidates, threshold, sets in _attempts(energies, cosines, n_occupied):
        _, singular, rows = np.linalg.svd(cosines[:, :n_candidates], full_matrices=False)
        rows = rows[singular > RANK_FLOOR * singular[0]]  # the others are noise
        walk = _walk(rows, [s for s in sets if s[-1] < n_candidates], n_occupied, threshold)
        if len(walk.accepted) < n_minimal:
            continue
        if _smallest(cosines[:, walk.accepted]) > RANK_FLOOR:
            return KeptLevels(
                energies=energies[walk.accepted],
                mixing=np.eye(len(energies))[:, walk.accepted],
                projections=np.array(walk.residuals),
                rejected_gap=_next_gap(energies, walk.accepted[-1]),
                flags=(
                    *_walk_flags(energies, walk, n_occupied, threshold),
                    *_occupied_flags(energies, cosines, n_occupied),
                ),
            )
    raise BasisError(
        f"the levels do not span the {n_minimal} functions of the minimal basis with all {n_occupied} occupied "
        "valence levels among them; choose minimal_basis minao, another guess for delta, or target kind lowdin"
    )


def valence_levels(energies: FloatArray, cosines: FloatArray, n_occupied: int) -> KeptLevels:
    """Return the occupied levels and the virtual ones of the space closest to the minimal basis.

    The virtual orbitals' right singular vectors of A with the largest singular values span that space; the levels
    are the eigenvalues of the Fock matrix within it. They are smooth functions of the geometry, but not the
    molecule's lowest virtual levels.

    Args:
        energies: of all valence and virtual levels [level], Hartree, ascending.
        cosines: A [minimal, level].
        n_occupied: number of occupied levels; all are kept.
    """
    n_virtual = len(cosines) - n_occupied
    _, singular, rows = np.linalg.svd(cosines[:, n_occupied:], full_matrices=False)
    span = rows[:n_virtual].T  # [virtual level, kept]
    virtual, rotation = np.linalg.eigh((span.T * energies[n_occupied:]) @ span)
    mixing = np.zeros((len(energies), len(cosines)))
    mixing[:n_occupied, :n_occupied] = np.eye(n_occupied)
    mixing[n_occupied:, n_occupied:] = span @ rotation
    kept = np.concatenate([energies[:n_occupied], virtual])
    sets = degenerate_sets(kept, n_occupied)
    projections = [_smallest(cosines @ mixing[:, members]) for members in sets for _ in members]
    cut = 0 < n_virtual < len(singular) and singular[n_virtual - 1] - singular[n_virtual] < EQUAL_COSINES
    return KeptLevels(
        energies=kept,
        mixing=mixing,
        projections=np.array(projections),
        rejected_gap=np.inf,
        flags=(*((CUT,) if cut else ()), *_occupied_flags(energies, cosines, n_occupied)),
    )


def degenerate_sets(energies: FloatArray, n_occupied: int) -> list[list[int]]:
    """Return the positions of levels grouped by degeneracy; occupied and virtual levels never share a set."""
    jumps = np.flatnonzero(np.diff(energies) >= DEGENERACY_HARTREE) + 1
    starts = sorted({*jumps.tolist(), n_occupied} - {0, len(energies)})
    return [part.tolist() for part in np.split(np.arange(len(energies)), starts)]


def _attempts(
    energies: FloatArray, cosines: FloatArray, n_occupied: int
) -> Iterator[tuple[int, float, list[list[int]]]]:
    """Yield number of candidates, threshold and sets of levels, from the usual to the desperate."""
    n_minimal, n_levels = cosines.shape
    sets = degenerate_sets(energies, n_occupied)
    ends = np.array([members[-1] + 1 for members in sets])
    buffers = [FIRST_BUFFER * 2**k for k in range(n_levels.bit_length())]
    pools = [int(ends[np.searchsorted(ends, min(n_minimal + buffer, n_levels))]) for buffer in buffers]
    for pool in dict.fromkeys(pools):
        if _smallest(cosines[:, :pool]) >= COVERAGE or pool == n_levels:
            yield from ((pool, PROJECTION_THRESHOLD / 2**k, sets) for k in range(HALVINGS))
    alone = [[level] for level in range(n_levels)]
    yield from ((n_levels, PROJECTION_THRESHOLD / 2**k, alone) for k in range(HALVINGS))


def _walk(rows: FloatArray, sets: Sequence[Sequence[int]], n_occupied: int, threshold: float) -> _Walk:
    """Accept sets in order of energy until as many levels as dimensions are found.

    Args:
        rows: coordinates of the levels in the space they span [rank, level].
        sets: degenerate levels.
        n_occupied: levels below are accepted whatever their residual.
        threshold: smallest residual norm of the others; of a set, its smallest singular value.
    """
    span = np.zeros((len(rows), 0))
    walk = _Walk([], [], [])
    for members in sets:
        if len(walk.accepted) == len(rows):
            break
        if len(walk.accepted) + len(members) > len(rows):
            continue
        residual = rows[:, members]
        for _ in range(2):  # twice is enough for orthogonality to rounding
            residual = residual - span @ (span.T @ residual)
        directions, singular, _ = np.linalg.svd(residual, full_matrices=False)
        norm = float(singular[-1])
        if norm < (RANK_FLOOR if members[0] < n_occupied else threshold):
            if members[0] < n_occupied:
                break
            walk.rejected_residuals.append(norm)
            continue
        span = np.hstack([span, directions])
        walk.accepted.extend(members)
        walk.residuals.extend([norm] * len(members))
    return walk


def _walk_flags(energies: FloatArray, walk: _Walk, n_occupied: int, threshold: float) -> list[str]:
    last = walk.accepted[-1]
    gap = _next_gap(energies, last)
    virtual_residuals = walk.residuals[n_occupied:] + walk.rejected_residuals
    checks = {
        LOWERED: threshold < PROJECTION_THRESHOLD,
        NO_LUMO: len(walk.accepted) > n_occupied != walk.accepted[n_occupied],
        SKIPPED: last >= len(walk.accepted),
        CLOSE_LEVELS: DEGENERACY_HARTREE <= gap < CLOSE_LEVELS_HARTREE,
        CLOSE_DECISION: any(abs(residual - threshold) < CLOSE_CALL for residual in virtual_residuals),
        CUT: gap < DEGENERACY_HARTREE,
    }
    return [text for text, raised in checks.items() if raised]


def _occupied_flags(energies: FloatArray, cosines: FloatArray, n_occupied: int) -> list[str]:
    if n_occupied == 0:
        return []
    checks = {
        CLOSED_GAP: _next_gap(energies, n_occupied - 1) < DEGENERACY_HARTREE,
        WEAK_OCCUPIED: _smallest(cosines[:, :n_occupied]) < OCCUPIED_COVERAGE,
    }
    return [text for text, raised in checks.items() if raised]


def _next_gap(energies: FloatArray, level: int) -> float:
    """Return the distance from a level to the next, inf for the highest."""
    return float(energies[level + 1] - energies[level]) if level + 1 < len(energies) else np.inf


def _smallest(matrix: FloatArray) -> float:
    """Return the smallest singular value; of one column it is its norm."""
    return float(np.linalg.svd(matrix, compute_uv=False)[-1])
