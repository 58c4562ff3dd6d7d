"""Whether structures lie inside what a model was trained for."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.angular.elements import symbol
from hamlearn.blocks.keys import families
from hamlearn.errors import DomainError, HamlearnWarning
from hamlearn.structures.samples import Family

if TYPE_CHECKING:
    from ase import Atoms


def check_domain(structures: Sequence[Atoms], known: Collection[Family], pair_cutoff: float) -> None:
    """Refuse unseen elements and pairs of elements; warn of pairs beyond the pair cut-off, whose blocks are zero.

    Args:
        structures: geometries to predict.
        known: families that occurred in training.
        pair_cutoff: Å.

    Raises:
        DomainError: listing every structure that is outside, with the reason.
    """
    elements = {family.species_i for family in known if family.kind == "on_site"}
    pairs = {(family.species_i, family.species_j) for family in known if family.kind != "on_site"}
    problems, beyond = [], []
    for index, atoms in enumerate(structures):
        problem = _outside(np.asarray(atoms.numbers), elements, pairs)
        if problem:
            problems.append(f"structure {index} ({atoms.get_chemical_formula()}): {problem}")
        distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=-1)
        if distances.max(initial=0.0) >= pair_cutoff:
            beyond.append(index)
    if problems:
        listed = "\n  ".join(problems[:20]) + (f"\n  ... {len(problems) - 20} more" if len(problems) > 20 else "")
        raise DomainError(
            f"the model was trained on elements {[symbol(z) for z in sorted(elements)]}; train on molecules that "
            f"contain what is missing:\n  {listed}"
        )
    if beyond:
        warnings.warn(
            f"{len(beyond)} structures (first: {beyond[:10]}) hold atoms further apart than pair_cutoff_angstrom = "
            f"{pair_cutoff}; their blocks are set to zero",
            HamlearnWarning,
            stacklevel=2,
        )


def _outside(numbers: np.ndarray, elements: set[int], pairs: set[tuple[int, int]]) -> str:
    """Return what of a molecule the model has not seen, in words; empty if nothing."""
    unseen = sorted({int(z) for z in numbers} - elements)
    if unseen:
        return "element " + ", ".join(symbol(z) for z in unseen) + " not in the training set"
    counts = {int(z): int((numbers == z).sum()) for z in np.unique(numbers)}
    needed = {
        (f.species_i, f.species_j)
        for f in families(list(counts))
        if f.kind == "cross" or (f.kind == "plus" and counts[f.species_i] > 1)
    }
    missing = sorted(needed - pairs)
    if missing:
        return "pair " + ", ".join(f"{symbol(a)}-{symbol(b)}" for a, b in missing) + " not in the training set"
    return ""
