"""Whether structures lie inside what a model was trained for."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hamlearn.angular.elements import symbol
from hamlearn.blocks.keys import families
from hamlearn.errors import DomainError, HamlearnWarning
from hamlearn.structures.samples import Family

if TYPE_CHECKING:
    from ase import Atoms

IntArray = NDArray[np.int64]


def families_of(structures: Sequence[Atoms]) -> set[Family]:
    """Return the families of atoms and pairs that occur in some structures."""
    out: set[Family] = set()
    for numbers in {tuple(sorted(atoms.numbers.tolist())) for atoms in structures}:
        out |= _families_in(np.array(numbers))
    return out


def check_domain(
    structures: Sequence[Atoms],
    known: Collection[Family],
    pair_cutoff: float,
    indices: Sequence[int] | IntArray | None = None,
) -> None:
    """Refuse unseen elements and pairs of elements; warn of pairs beyond the pair cut-off, whose blocks are zero.

    Args:
        structures: geometries to predict.
        known: families that occurred in training.
        pair_cutoff: Å.
        indices: what to call the structures; by default 0, 1, 2, ...

    Raises:
        DomainError: listing every structure that is outside, with the reason.
    """
    elements = sorted({family.species_i for family in known if family.kind == "on_site"})
    problems, beyond = [], []
    for index, atoms in zip(range(len(structures)) if indices is None else indices, structures, strict=True):
        problem = outside(atoms.numbers, known)
        if problem:
            problems.append(f"structure {index} ({atoms.get_chemical_formula()}): {problem}")
        distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=-1)
        if distances.max(initial=0.0) >= pair_cutoff:
            beyond.append(int(index))
    if problems:
        listed = "\n  ".join(problems[:20]) + (f"\n  ... {len(problems) - 20} more" if len(problems) > 20 else "")
        raise DomainError(
            f"the model was trained on elements {[symbol(z) for z in elements]}; train on molecules that "
            f"contain what is missing:\n  {listed}"
        )
    if beyond and indices is None:
        warnings.warn(
            f"{len(beyond)} structures (first: {beyond[:10]}) hold atoms further apart than pair_cutoff_angstrom = "
            f"{pair_cutoff}; their blocks are set to zero",
            HamlearnWarning,
            stacklevel=2,
        )


def outside(numbers: IntArray, known: Collection[Family]) -> str:
    """Return what of a molecule does not occur in known families, in words; empty if nothing."""
    missing = sorted(_families_in(numbers) - set(known))
    elements = [symbol(f.species_i) for f in missing if f.kind == "on_site"]
    if elements:
        return f"element {', '.join(elements)} not in the training set"
    pairs = [f"{symbol(f.species_i)}-{symbol(f.species_j)}" for f in missing]
    return f"pair {', '.join(pairs)} not in the training set" if pairs else ""


def _families_in(numbers: IntArray) -> set[Family]:
    """Return the families of one molecule; plus stands for minus, whose blocks may all vanish."""
    counts = {int(z): int((numbers == z).sum()) for z in np.unique(numbers)}
    return {f for f in families(list(counts)) if f.kind != "minus" and (f.kind != "plus" or counts[f.species_i] > 1)}
