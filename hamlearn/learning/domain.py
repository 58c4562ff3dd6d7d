"""Whether structures lie inside what a model was trained for."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.angular.elements import symbol
from hamlearn.blocks.keys import families
from hamlearn.config import FeatureSettings, WignerSettings
from hamlearn.density import Batch
from hamlearn.density.gaussian_expansion import seen_pairs
from hamlearn.errors import DomainError, HamlearnWarning
from hamlearn.structures.samples import Family
from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms

LIKENESS = " (wigner.element_likeness lets them be like others)"


@dataclass(frozen=True)
class Domain:
    """What occurred in training.

    Attributes:
        families: of atoms and pairs.
        neighbours: elements (centre, neighbour) within the cut-off; None where any will do.
        cutoff: radius of an atom's environment, Å.
        remedy: what else than other training structures helps against unseen neighbours, for messages.
    """

    families: Collection[Family]
    neighbours: Collection[tuple[int, int]] | None = None
    cutoff: float = 0.0
    remedy: str = ""

    @classmethod
    def of(cls, structures: Sequence[Atoms], settings: FeatureSettings | WignerSettings) -> Domain:
        """Return the domain of a model with these settings, trained on some structures."""
        if isinstance(settings, WignerSettings) and settings.element_likeness is not None:
            return cls(families_of(structures))
        cutoff = settings.cutoff_angstrom
        near = neighbours_of(structures, cutoff)
        return cls(families_of(structures), near, cutoff, LIKENESS if isinstance(settings, WignerSettings) else "")

    def lacks(self, atoms: Atoms) -> str:
        """Return what of a structure did not occur in training, in words; empty if nothing."""
        missing = sorted(_families_in(atoms.numbers) - set(self.families))
        elements = [symbol(f.species_i) for f in missing if f.kind == "on_site"]
        if elements:
            return f"element {', '.join(elements)} not in the training set"
        if missing:
            pairs = (f"{symbol(f.species_i)}-{symbol(f.species_j)}" for f in missing)
            return f"pair {', '.join(pairs)} not in the training set"
        if self.neighbours is None:
            return ""
        unseen = sorted(neighbours_of([atoms], self.cutoff) - set(self.neighbours))
        named = ", ".join(f"{symbol(a)} near {symbol(z)}" for z, a in unseen)
        return f"{named} within {self.cutoff:g} Å not in the training set{self.remedy}" if named else ""

    def check(self, structures: Sequence[Atoms], indices: Sequence[int] | IntArray | None = None) -> None:
        """Refuse what did not occur in training.

        Args:
            structures: geometries to predict.
            indices: what to call the structures; by default 0, 1, 2, ...

        Raises:
            DomainError: listing every structure that is outside, with the reason.
        """
        problems = []
        for index, atoms in zip(range(len(structures)) if indices is None else indices, structures, strict=True):
            if problem := self.lacks(atoms):
                problems.append(f"structure {index} ({atoms.get_chemical_formula()}): {problem}")
        elements = sorted({family.species_i for family in self.families if family.kind == "on_site"})
        refuse(problems, f"the model was trained on elements {[symbol(z) for z in elements]}")


def families_of(structures: Sequence[Atoms]) -> set[Family]:
    """Return the families of atoms and pairs that occur in some structures."""
    out: set[Family] = set()
    for numbers in {tuple(sorted(atoms.numbers.tolist())) for atoms in structures}:
        out |= _families_in(np.array(numbers))
    return out


def neighbours_of(structures: Sequence[Atoms], cutoff: float) -> set[tuple[int, int]]:
    """Return the elements (centre, neighbour) of all pairs of atoms within a cut-off, Å."""
    return set().union(*(seen_pairs(Batch.from_atoms([atoms]), cutoff) for atoms in structures))


def refuse(problems: Sequence[str], why: str) -> None:
    """Raise DomainError with a list of problems, if there are any."""
    if problems:
        listed = "\n  ".join(problems[:20]) + (f"\n  ... {len(problems) - 20} more" if len(problems) > 20 else "")
        raise DomainError(f"{why}; train on molecules that contain what is missing:\n  {listed}")


def warn_of_far_pairs(structures: Sequence[Atoms], pair_cutoff: float) -> None:
    """Warn of pairs beyond the pair cut-off, Å, whose blocks are zero."""
    beyond = []
    for index, atoms in enumerate(structures):
        distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=-1)
        if distances.max(initial=0.0) >= pair_cutoff:
            beyond.append(index)
    if beyond:
        warnings.warn(
            f"{len(beyond)} structures (first: {beyond[:10]}) hold atoms further apart than pair_cutoff_angstrom = "
            f"{pair_cutoff}; their blocks are set to zero",
            HamlearnWarning,
            stacklevel=3,
        )


def _families_in(numbers: IntArray) -> set[Family]:
    """Return the families of one molecule; plus stands for minus, whose blocks may all vanish."""
    counts = {int(z): int((numbers == z).sum()) for z in np.unique(numbers)}
    return {f for f in families(list(counts)) if f.kind != "minus" and (f.kind != "plus" or counts[f.species_i] > 1)}
