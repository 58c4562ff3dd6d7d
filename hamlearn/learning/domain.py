"""Whether structures lie inside what a model was trained for."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.angular.elements import symbol
from hamlearn.blocks.keys import families
from hamlearn.config import DensitySettings
from hamlearn.display import counted, listed
from hamlearn.errors import DomainError, FarPairsWarning
from hamlearn.learning.groups import family_name
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
    def of(cls, structures: Sequence[Atoms], settings: DensitySettings | None, pairs: bool = True) -> Domain:
        """Return the domain of a model of some structures.

        Args:
            structures: training set.
            settings: of the densities; alike elements stand for each other as neighbours. None: any neighbour will do.
            pairs: whether pairs of atoms are learned, or atoms alone.
        """
        found = families_of(structures, pairs)
        if settings is None or settings.element_likeness is not None:
            return cls(found)
        cutoff = settings.cutoff_angstrom
        remedy = " (element_likeness lets them be like others)" if settings.max_channels is not None else ""
        return cls(found, Samples.of(structures).neighbours(cutoff), cutoff, remedy)

    @property
    def elements(self) -> list[int]:
        """Elements that occurred, ascending."""
        return sorted({family.species_i for family in self.families if family.kind == "on_site"})

    def lacks(self, *structures: Atoms, samples: Samples | None = None) -> str:
        """Return what of some structures did not occur in training, in words; empty if nothing.

        Args:
            structures: geometries.
            samples: the same, where they are laid out already.
        """
        pairs = any(family.kind != "on_site" for family in self.families)
        missing = sorted(families_of(structures, pairs) - self._families)
        elements = [family_name(f) for f in missing if f.kind == "on_site"]
        if elements:
            return f"element {', '.join(elements)} not in the training set"
        if missing:
            return f"pair {', '.join(map(family_name, missing))} not in the training set"
        if self.neighbours is None:
            return ""
        samples = Samples.of(structures) if samples is None else samples
        unseen = sorted(samples.neighbours(self.cutoff) - self._neighbours)
        named = ", ".join(f"{symbol(a)} near {symbol(z)}" for z, a in unseen)
        return f"{named} within {self.cutoff:g} Å not in the training set{self.remedy}" if named else ""

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        near = None if self.neighbours is None else [list(pair) for pair in sorted(self.neighbours)]
        known = [list(astuple(family)) for family in sorted(self.families)]
        return {"families": known, "neighbours": near, "cutoff": self.cutoff, "remedy": self.remedy}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Domain:
        """Return the domain whose :meth:`state` this is."""
        known, near = {Family(*family) for family in state["families"]}, state["neighbours"]
        pairs = None if near is None else {(int(z), int(a)) for z, a in near}
        return cls(known, pairs, float(state["cutoff"]), str(state["remedy"]))

    @cached_property
    def _families(self) -> frozenset[Family]:
        return frozenset(self.families)

    @cached_property
    def _neighbours(self) -> frozenset[SpeciesPair]:
        return frozenset(self.neighbours or ())

    def check(
        self,
        structures: Sequence[Atoms],
        indices: Sequence[int] | IntArray | None = None,
        samples: Samples | None = None,
    ) -> None:
        """Refuse structures with what did not occur in training; they are called by their indices, or 0, 1, 2, ...

        ``samples`` are the same structures, where they are laid out already.

        Raises:
            DomainError: listing every structure that is outside, with the reason.
        """
        if not self.lacks(*structures, samples=samples):  # one look at all of them
            return
        found = [(index, atoms, self.lacks(atoms)) for index, atoms in _named(structures, indices)]
        problems = [f"structure {index} ({atoms.get_chemical_formula()}): {why}" for index, atoms, why in found if why]
        known = [symbol(z) for z in self.elements]
        what = f"the model was trained on elements {known}; train on molecules that contain what is missing:"
        raise DomainError(listed([what, *problems], 21, "\n  "))


def family_counts(structures: Sequence[Atoms], pairs: bool = True) -> dict[Family, int]:
    """Return the number of samples of every family that occurs, of atoms and, if asked for, of pairs."""
    compositions = Counter(tuple(sorted(atoms.numbers.tolist())) for atoms in structures)
    known = [f for f in families([z for numbers in compositions for z in numbers]) if pairs or f.kind == "on_site"]
    counts = {f: sum(n * f.count(np.array(numbers)) for numbers, n in compositions.items()) for f in known}
    return {family: n for family, n in counts.items() if n}


def families_of(structures: Sequence[Atoms], pairs: bool = True) -> set[Family]:
    """Return the families that occur; plus stands for minus, whose blocks may all vanish."""
    compositions = {tuple(sorted(atoms.numbers.tolist())) for atoms in structures}
    return set().union(*(_families_of(numbers, pairs) for numbers in compositions))


@lru_cache(maxsize=256)
def _families_of(numbers: tuple[int, ...], pairs: bool) -> frozenset[Family]:
    """Return the families that occur in a molecule of these atomic numbers, but minus."""
    known = [f for f in families(list(numbers)) if f.kind != "minus" and (pairs or f.kind == "on_site")]
    return frozenset(f for f in known if f.count(np.array(numbers)))


def warn_of_far_pairs(
    structures: Sequence[Atoms], pair_cutoff: float, indices: Sequence[int] | IntArray | None = None
) -> None:
    """Warn of structures, by indices in a file if given, with pairs beyond the cut-off, Å, whose blocks are zero."""
    named = ((k, atoms.positions) for k, atoms in _named(structures, indices))
    beyond = [k for k, x in named if np.linalg.norm(x[:, None] - x, axis=-1).max(initial=0.0) >= pair_cutoff]
    if beyond:
        first = f"first{'' if indices is None else ' in the file'}: {sorted(beyond)[:10]}"
        warnings.warn(
            f"atoms further apart than pair_cutoff_angstrom = {pair_cutoff} in {counted(len(beyond), 'structure')} "
            f"({first}); their blocks are set to zero",
            FarPairsWarning,
            stacklevel=3,
        )


def _named(structures: Sequence[Atoms], indices: Sequence[int] | IntArray | None) -> list[tuple[int, Atoms]]:
    """Return structures with what to call them; by default 0, 1, 2, ..."""
    names = range(len(structures)) if indices is None else map(int, indices)
    return list(zip(names, structures, strict=True))
