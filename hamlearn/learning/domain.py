"""Whether structures lie inside what a model was trained for."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.angular.elements import symbol
from hamlearn.blocks.keys import families
from hamlearn.config import DensitySettings
from hamlearn.display import counted
from hamlearn.errors import DomainError, FarPairsWarning
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.types import IntArray, SpeciesPair

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Domain:
    """What occurred in training.

    Attributes:
        families: of atoms, and of pairs where they are learned.
        neighbours: elements (centre, neighbour) within the cut-off; None where any will do.
        cutoff: radius of an atom's environment, Å.
        remedy: what else than other training structures helps against unseen neighbours, for messages.
    """

    families: Collection[Family]
    neighbours: Collection[SpeciesPair] | None = None
    cutoff: float = 0.0
    remedy: str = ""

    @classmethod
    def of(
        cls,
        structures: Sequence[Atoms],
        settings: DensitySettings,
        pairs: bool = True,
    ) -> Domain:
        """Return the domain of a model of some structures.

        Args:
            structures: training set.
            settings: of the densities; alike elements stand for each other as neighbours.
            pairs: whether pairs of atoms are learned, or atoms alone.
        """
        families = {f for f in families_of(structures) if pairs or f.kind == "on_site"}
        if settings.element_likeness is not None:
            return cls(families)
        cutoff = settings.cutoff_angstrom
        remedy = " (element_likeness lets them be like others)" if settings.max_channels is not None else ""
        return cls(families, neighbours_of(structures, cutoff), cutoff, remedy)

    @property
    def elements(self) -> list[int]:
        """Elements that occurred, ascending."""
        return sorted({family.species_i for family in self.families if family.kind == "on_site"})

    def lacks(self, atoms: Atoms) -> str:
        """Return what of a structure did not occur in training, in words; empty if nothing."""
        missing = sorted(_families_in(atoms.numbers) - set(self.families))
        elements = [symbol(f.species_i) for f in missing if f.kind == "on_site"]
        if elements:
            return f"element {', '.join(elements)} not in the training set"
        if missing and any(family.kind != "on_site" for family in self.families):
            pairs = (f"{symbol(f.species_i)}-{symbol(f.species_j)}" for f in missing)
            return f"pair {', '.join(pairs)} not in the training set"
        if self.neighbours is None:
            return ""
        unseen = sorted(neighbours_of([atoms], self.cutoff) - set(self.neighbours))
        named = ", ".join(f"{symbol(a)} near {symbol(z)}" for z, a in unseen)
        return f"{named} within {self.cutoff:g} Å not in the training set{self.remedy}" if named else ""

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        near = None if self.neighbours is None else [list(pair) for pair in sorted(self.neighbours)]
        families = [[f.kind, f.species_i, f.species_j] for f in sorted(self.families)]
        return {"families": families, "neighbours": near, "cutoff": self.cutoff, "remedy": self.remedy}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Domain:
        """Return the domain whose :meth:`state` this is."""
        near = state["neighbours"]
        return cls(
            {Family(*family) for family in state["families"]},
            None if near is None else {(int(z), int(a)) for z, a in near},
            float(state["cutoff"]),
            str(state["remedy"]),
        )

    def check(self, structures: Sequence[Atoms], indices: Sequence[int] | IntArray | None = None) -> None:
        """Refuse what did not occur in training.

        Args:
            structures: geometries to predict.
            indices: what to call the structures; by default 0, 1, 2, ...

        Raises:
            DomainError: listing every structure that is outside, with the reason.
        """
        if self._holds(structures):
            return
        problems = []
        for index, atoms in zip(range(len(structures)) if indices is None else indices, structures, strict=True):
            if problem := self.lacks(atoms):
                problems.append(f"structure {index} ({atoms.get_chemical_formula()}): {problem}")
        if problems:
            listed = "\n  ".join(problems[:20]) + (f"\n  ... {len(problems) - 20} more" if len(problems) > 20 else "")
            raise DomainError(
                f"the model was trained on elements {[symbol(z) for z in self.elements]}; train on molecules that "
                f"contain what is missing:\n  {listed}"
            )

    def _holds(self, structures: Sequence[Atoms]) -> bool:
        """Return whether all that occurs in some structures, looked at together, occurred in training."""
        of_pairs = any(family.kind != "on_site" for family in self.families)
        found = {family for family in families_of(structures) if of_pairs or family.kind == "on_site"}
        near = self.neighbours
        return found <= set(self.families) and (near is None or neighbours_of(structures, self.cutoff) <= set(near))


def families_of(structures: Sequence[Atoms]) -> set[Family]:
    """Return the families of atoms and pairs that occur in some structures."""
    out: set[Family] = set()
    for numbers in {tuple(sorted(atoms.numbers.tolist())) for atoms in structures}:
        out |= _families_in(np.array(numbers))
    return out


def neighbours_of(structures: Sequence[Atoms], cutoff: float) -> set[tuple[int, int]]:
    """Return the elements (centre, neighbour) of all pairs of atoms within a cut-off, Å."""
    return Samples.of(structures).neighbours(cutoff)


def warn_of_far_pairs(
    structures: Sequence[Atoms], pair_cutoff: float, indices: Sequence[int] | IntArray | None = None
) -> None:
    """Warn of pairs beyond the pair cut-off, Å, whose blocks are zero.

    Args:
        structures: geometries, Å.
        pair_cutoff: largest distance of pairs that have blocks, Å.
        indices: positions of the structures in their file; by default they are counted as given.
    """
    beyond = []
    for index, atoms in zip(range(len(structures)) if indices is None else indices, structures, strict=True):
        distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=-1)
        if distances.max(initial=0.0) >= pair_cutoff:
            beyond.append(int(index))
    if beyond:
        first = f"first{'' if indices is None else ' in the file'}: {sorted(beyond)[:10]}"
        warnings.warn(
            f"atoms further apart than pair_cutoff_angstrom = {pair_cutoff} in {counted(len(beyond), 'structure')} "
            f"({first}); their blocks are set to zero",
            FarPairsWarning,
            stacklevel=3,
        )


def _families_in(numbers: IntArray) -> set[Family]:
    """Return the families of one molecule; plus stands for minus, whose blocks may all vanish."""
    counts = {int(z): int((numbers == z).sum()) for z in np.unique(numbers)}
    return {f for f in families(list(counts)) if f.kind != "minus" and (f.kind != "plus" or counts[f.species_i] > 1)}
