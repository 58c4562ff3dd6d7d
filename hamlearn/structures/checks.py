"""Refuse structures that cannot be computed, all of them at once and before any calculation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms

from hamlearn.angular.elements import SYMBOLS
from hamlearn.config import QMSettings
from hamlearn.errors import StructureError
from hamlearn.structures.charges import ElectronicState, electronic_problems, electronic_state
from hamlearn.ties import first_of_best

SHORTEST_DISTANCE_ANGSTROM = 0.3
_MOST_LINES = 18
_MOST_RANGES = 100
DEFAULT_QM = QMSettings()


def check_structures(
    structures: Sequence[Atoms], source: str = "structures", closed_shell: bool = True, qm: QMSettings = DEFAULT_QM
) -> None:
    """Raise one error that lists every structure no molecular calculation can use.

    A usable structure has atoms of known elements at finite, distinct positions, no periodicity, and a charge and
    multiplicity that fit its electrons and the method. The verdict is invariant under rotation, inversion, translation
    and permutation.

    Args:
        structures: the structures, positions in Å.
        source: where they come from, for the message.
        closed_shell: whether electrons count, as for calculations of matrices; not for properties, which are known.
        qm: how the matrices are computed; see :mod:`hamlearn.structures.charges` for what is asked of the electrons.

    Raises:
        StructureError: if there is no structure, or any is unusable; all their indices are in the message.
    """
    if not len(structures):
        raise StructureError(f"{source}: no structures were given; expected at least one")
    calculations = qm if closed_shell else None
    reasons = {i: found for i, atoms in enumerate(structures) if (found := list(_complaints(atoms, calculations)))}
    if not reasons:
        return
    lines = [
        f"{source}: {len(reasons)} of {len(structures)} structures cannot be used "
        f"(counted from 0): {index_ranges(reasons)}"
    ]
    lines += [f"  {i}: {'; '.join(found)}" for i, found in list(reasons.items())[:_MOST_LINES]]
    if len(reasons) > _MOST_LINES:
        lines.append(f"  ... and {len(reasons) - _MOST_LINES} more")
    raise StructureError("\n".join([*lines, "Repair or remove them, and run again."]))


def common_state(structures: Sequence[Atoms], qm: QMSettings, source: str = "structures") -> ElectronicState:
    """Return the charge and multiplicity that all structures have: a model learns those of one state.

    Raises:
        StructureError: if they differ, with the indices of each; or as :func:`~.charges.electronic_state`.
    """
    places: dict[ElectronicState, list[int]] = {}
    for index, atoms in enumerate(structures):
        places.setdefault(electronic_state(atoms, qm), []).append(index)
    if len(places) > 1:
        found = "; ".join(f"{state.in_words}: {index_ranges(members)}" for state, members in places.items())
        raise StructureError(
            f"{source}: several charges or multiplicities (counted from 0): {found}. A model learns molecules of one "
            "charge and one multiplicity; put each into a file of its own"
        )
    return next(iter(places))


def index_ranges(indices: Iterable[int]) -> str:
    """Return ascending indices in short, such as ``'0-3, 7, 9-10'``."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    texts = [f"{first}-{last}" if last > first else f"{first}" for first, last in ranges[:_MOST_RANGES]]
    return ", ".join(texts) + (", ..." if len(ranges) > _MOST_RANGES else "")


def _complaints(atoms: Atoms, qm: QMSettings | None) -> Iterable[str]:
    if not len(atoms):
        yield "no atoms"
        return
    unknown = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers >= len(SYMBOLS)))
    if len(unknown):
        yield (
            f"atom {index_ranges(unknown)} is no element hamlearn knows "
            f"(atomic number {atoms.numbers[unknown[0]]}, expected 1 to {len(SYMBOLS) - 1})"
        )
    elif qm is not None:
        yield from electronic_problems(atoms, qm)
    if atoms.pbc.any():
        yield 'periodic, expected a molecule: set pbc="F F F" in the file, or atoms.pbc = False'
    yield from _bad_positions(atoms)


def _bad_positions(atoms: Atoms) -> Iterable[str]:
    from scipy.spatial import cKDTree

    lost = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if len(lost):
        yield f"coordinates of atom {index_ranges(lost)} are NaN or infinite"
        return
    close = cKDTree(atoms.positions).query_pairs(SHORTEST_DISTANCE_ANGSTROM, output_type="ndarray")  # [pair, 2]
    if len(close):
        distances = np.linalg.norm(atoms.positions[close[:, 0]] - atoms.positions[close[:, 1]], axis=1)
        i, j = close[first_of_best(-distances)]
        yield (
            f"atoms {i} and {j} overlap: {distances.min():.3f} Å apart, expected at least {SHORTEST_DISTANCE_ANGSTROM}"
        )
