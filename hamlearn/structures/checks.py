"""Refuse structures that cannot be computed, all of them at once and before any calculation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

from hamlearn.angular.elements import SYMBOLS
from hamlearn.errors import StructureError

SHORTEST_DISTANCE_ANGSTROM = 0.3
_MOST_LINES = 18
_MOST_RANGES = 100


def check_structures(structures: Sequence[Atoms], source: str = "structures", closed_shell: bool = True) -> None:
    """Raise one error that lists every structure no molecular calculation can use.

    A usable structure has atoms of known elements at finite, distinct positions, no periodicity, no charge and an
    even number of electrons. The verdict is invariant under rotation, inversion, translation and permutation.

    Args:
        structures: the structures, positions in Å.
        source: where they come from, for the message.
        closed_shell: also ask for no charge and an even number of electrons, as calculations of matrices do.

    Raises:
        StructureError: if there is no structure, or any is unusable; all their indices are in the message.
    """
    if not len(structures):
        raise StructureError(f"{source}: no structures were given; expected at least one")
    reasons = {i: found for i, atoms in enumerate(structures) if (found := list(_complaints(atoms, closed_shell)))}
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


def _complaints(atoms: Atoms, closed_shell: bool) -> Iterable[str]:
    if not len(atoms):
        yield "no atoms"
        return
    unknown = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers >= len(SYMBOLS)))
    charge = atoms.info.get("charge", 0)
    if len(unknown):
        yield (
            f"atom {index_ranges(unknown)} is no element hamlearn knows "
            f"(atomic number {atoms.numbers[unknown[0]]}, expected 1 to {len(SYMBOLS) - 1})"
        )
    elif closed_shell and not (isinstance(charge, Real) and charge == 0):
        yield f"charge {charge}, expected 0: charged molecules are not supported"
    elif closed_shell and atoms.numbers.sum() % 2:
        yield f"{atoms.numbers.sum()} electrons, an odd number: only closed shells are supported"
    if atoms.pbc.any():
        yield 'periodic, expected a molecule: set pbc="F F F" in the file, or atoms.pbc = False'
    yield from _bad_positions(atoms)


def _bad_positions(atoms: Atoms) -> Iterable[str]:
    lost = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if len(lost):
        yield f"coordinates of atom {index_ranges(lost)} are NaN or infinite"
        return
    close = cKDTree(atoms.positions).query_pairs(SHORTEST_DISTANCE_ANGSTROM, output_type="ndarray")  # [pair, 2]
    if len(close):
        distances = np.linalg.norm(atoms.positions[close[:, 0]] - atoms.positions[close[:, 1]], axis=1)
        i, j = close[distances.argmin()]
        yield (
            f"atoms {i} and {j} overlap: {distances.min():.3f} Å apart, expected at least {SHORTEST_DISTANCE_ANGSTROM}"
        )
