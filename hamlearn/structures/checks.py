"""Refuse structures that cannot be computed, all of them at once and before any calculation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real

import numpy as np
from ase import Atoms

from hamlearn.angular.elements import SYMBOLS
from hamlearn.errors import StructureError
from hamlearn.ties import first_of_best

SHORTEST_DISTANCE_ANGSTROM = 0.3
SMALLEST_CHARGE = 0.5
"""Sums of the partial charges of a neutral molecule are rounded, those of an ion are whole numbers, e."""
_MOST_LINES = 18
_MOST_RANGES = 100


def check_structures(structures: Sequence[Atoms], source: str = "structures", closed_shell: bool = True) -> None:
    """Raise one error that lists every structure no molecular calculation can use.

    A usable structure has atoms of known elements at finite, distinct positions, no periodicity, no charge, an even
    number of electrons and no unpaired ones. The verdict is invariant under rotation, inversion, translation and
    permutation.

    Args:
        structures: the structures, positions in Å.
        source: where they come from, for the message.
        closed_shell: also ask for a neutral singlet, as calculations of matrices do: no charge, an even number of
            electrons, and nothing else in ``info`` (charge, multiplicity, spin), initial charges or magnetic moments.

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
    if len(unknown):
        yield (
            f"atom {index_ranges(unknown)} is no element hamlearn knows "
            f"(atomic number {atoms.numbers[unknown[0]]}, expected 1 to {len(SYMBOLS) - 1})"
        )
    elif closed_shell:
        yield from _open_shells(atoms)
    if atoms.pbc.any():
        yield 'periodic, expected a molecule: set pbc="F F F" in the file, or atoms.pbc = False'
    yield from _bad_positions(atoms)


def _open_shells(atoms: Atoms) -> Iterable[str]:
    """Say what is no neutral singlet: a calculation of one would not be that of the molecule that is meant.

    ``info["spin"]`` is 2S or S, zero for singlets either way; programs that write the multiplicity call it so. A spin
    of 1 is a singlet only where ``info["multiplicity"]`` says the same.
    """
    charge, multiplicity, spin = (atoms.info.get(name) for name in ("charge", "multiplicity", "spin"))
    n_electrons = int(atoms.numbers.sum())
    charges, moments = atoms.get_initial_charges(), atoms.get_initial_magnetic_moments()
    if charge is not None and not _is(charge, 0):
        yield f"charge {charge}, expected 0: charged molecules are not supported"
    elif abs(charges.sum()) > SMALLEST_CHARGE:
        yield f"initial charges that add up to {charges.sum():.3g}, expected 0: charged molecules are not supported"
    elif n_electrons % 2:
        yield f"{n_electrons} electrons, an odd number: only closed shells are supported"
    if multiplicity is not None and not _is(multiplicity, 1):
        yield f"multiplicity {multiplicity}, expected 1: only closed shells are supported"
    elif spin is not None and not _is(spin, 0) and not (_is(spin, 1) and _is(multiplicity, 1)):
        yield (f"spin {spin}, expected 0 (2S): only closed shells are supported; if 1 is the multiplicity, call it so")
    if moments.any():
        yield "initial magnetic moments, expected none: only closed shells are supported; remove them"


def _is(value: object, number: int) -> bool:
    return isinstance(value, Real) and value == number


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
