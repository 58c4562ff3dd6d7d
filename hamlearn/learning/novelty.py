"""How far molecules lie outside a training set, told by structures that were left out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hamlearn.learning.groups import in_lots
from hamlearn.learning.intervals import Intervals
from hamlearn.learning.novelty_scales import MOST_OTHERS, Scales, differences, scales_of, spread_over
from hamlearn.learning.surroundings import AllPairs, Kind, kinds_of
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_ATOMS = 20_000
"""Of the training set that distances are measured from; more structures are thinned out evenly."""

N_COMPONENTS, ROWS_OF_COMPONENTS = 24, 400
"""Principal components of surroundings that are kept, from so many atoms; what lies outside counts by its length."""

ATOMS_AT_ONCE = 5_000
"""Whose surroundings are made together."""

MOST_FLAGS = 5

FOLDS = 8

Reason = tuple[float, float, str, tuple[float, ...]]
"""Why a molecule is outside: in thresholds, in usual differences, in words, and the atom or distance it is about."""


@dataclass(frozen=True)
class Found:
    """What is new about a molecule.

    Attributes:
        flags: in words; empty inside the domain.
        excess: how far outside, in units of what two training structures of one formula differ by; 0 inside.
    """

    flags: tuple[str, ...] = ()
    excess: float = 0.0


@dataclass(frozen=True, eq=False)
class Environments:
    """Surroundings of the atoms of one element in a training set.

    Attributes:
        mean: [invariant].
        components: principal ones [invariant, component].
        centres: of some atoms, with the length outside the components [centre, component + 1].
    """

    mean: FloatArray
    components: FloatArray
    centres: FloatArray

    @classmethod
    def of(cls, x: FloatArray) -> Environments:
        """Return those of some invariants [atom, invariant], compared with them all."""
        mean = x.mean(axis=0)
        some = (x - mean)[spread_over(len(x), ROWS_OF_COMPONENTS)]
        components = np.linalg.svd(some, full_matrices=False)[2][:N_COMPONENTS].T
        bare = cls(mean, components, np.zeros((0, components.shape[1] + 1)))
        return cls(mean, components, bare.project(x))

    def project(self, x: FloatArray) -> FloatArray:
        """Return components of invariants and the length outside them [atom, component + 1]."""
        centred = x - self.mean
        inside = centred @ self.components
        rest = (centred**2).sum(axis=1) - (inside**2).sum(axis=1)
        return np.column_stack([inside, np.sqrt(rest.clip(min=0.0))])

    def distances(self, x: FloatArray) -> FloatArray:
        """Return the distance of every atom from the nearest centre [atom]."""
        return differences(self.project(x), self.centres).min(axis=1)

    def thinned(self) -> Environments:
        """Return the same with as many centres as are kept."""
        return Environments(self.mean, self.components, self.centres[spread_over(len(self.centres), MOST_OTHERS)])


@dataclass(frozen=True, eq=False)
class Novelty:
    """Distances of atoms' surroundings and of pairs from those that occurred in training.

    A molecule is outside if one of its atoms or pairs is farther from all of its kind in the training set than
    structures left out of it are from the rest (all but one in a hundred; times 1.25 + 5 / n, n structures), or if it
    has more atoms than any.

    Attributes:
        elements: of the training set, ascending.
        most_atoms: of its largest molecule.
        environments: of every element.
        intervals: that hold the lengths of every kind, those of :func:`kinds_of`.
        scales: thresholds of all kinds, and what two structures of one formula differ by.

    What is found is invariant under rotation, inversion and permutation of like atoms.
    """

    elements: tuple[int, ...]
    most_atoms: int
    environments: Mapping[int, Environments]
    intervals: Intervals
    scales: Mapping[Kind, Scales]

    @classmethod
    def of(cls, structures: Sequence[Atoms], order: IntArray) -> Novelty:
        """Return what tells molecules from those of a training set.

        Args:
            structures: training geometries.
            order: random position of each, which deals them out to folds [structure].
        """
        n_atoms = max(1, sum(map(len, structures)))
        chosen = spread_over(len(structures), max(2, MOST_ATOMS * len(structures) // n_atoms))
        some = [structures[k] for k in chosen]
        samples = Samples.of(some)
        elements = tuple(samples.elements)
        pairs = AllPairs.of(samples, elements)
        lots = in_lots([len(atoms) for atoms in some], ATOMS_AT_ONCE)
        x = np.concatenate([AllPairs.of(Samples.of(some[a:b]), elements).environments() for a, b in lots])
        environments, rows = {}, {}
        for z in elements:
            own = samples.of_element(z)
            environments[z] = Environments.of(x[own])
            rows[Kind("environment", z)] = environments[z].centres, samples.structure[own]
        lengths, kinds = pairs.lengths(), kinds_of(elements)
        for k, kind in enumerate(kinds):
            own = np.flatnonzero(lengths.kind == k)
            if len(own):
                rows[kind] = lengths.values[own, None], lengths.owner[own]
        formulas = [structures[k].get_chemical_formula() for k in chosen]
        scales = scales_of(rows, order[chosen] % FOLDS, formulas)
        values = [rows[kind][0][:, 0] if kind in rows else np.zeros(0) for kind in kinds]
        limits = [scales[kind].threshold if kind in rows else 0.0 for kind in kinds]
        kept = {z: own.thinned() for z, own in environments.items()}
        return cls(elements, max(map(len, structures)), kept, Intervals.of(values, limits), scales)

    def find(self, structures: Sequence[Atoms]) -> list[Found]:
        """Return what is new about molecules of elements that were in the training set."""
        lots = in_lots([len(atoms) for atoms in structures], ATOMS_AT_ONCE)
        return [own for start, stop in lots for own in self._find(structures[start:stop])]

    def _find(self, structures: Sequence[Atoms]) -> list[Found]:
        samples, n = Samples.of(structures), len(structures)
        found: list[list[Reason]] = [[] for _ in structures]
        pairs, kinds = AllPairs.of(samples, self.elements), self._kinds
        lengths = pairs.lengths()
        beyond = self.intervals.distances(lengths.values, lengths.kind)
        worst = self._worst(beyond / self._thresholds[lengths.kind], lengths.kind * n + lengths.owner)
        for row in worst:
            kind = kinds[lengths.kind[row]]
            around = self._around(lengths.kind[row], lengths.values[row])
            words = f"{kind.in_words} {lengths.values[row]:.2f} Å; {around}"
            about = (*sorted((kind.first, kind.second)), float(lengths.values[row]))
            found[lengths.owner[row]].append(self._measured(kind, float(beyond[row]), words, about))
        x = pairs.environments()
        for z, environments in self.environments.items():
            own, kind = samples.of_element(z), Kind("environment", z)
            if not len(own):
                continue
            distances = environments.distances(x[own])
            for row in self._worst(distances / self.scales[kind].threshold, samples.structure[own]):
                times = distances[row] / self.scales[kind].largest
                words = f"{kind.in_words} unlike any: {times:.1f} times the largest distance of structures left out"
                found[samples.structure[own[row]]].append(self._measured(kind, float(distances[row]), words, (z,)))
        return [self._found(len(atoms), own) for atoms, own in zip(structures, found, strict=True)]

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return plain values, and tensors by name."""
        scales = [[k.what, k.first, k.second, s.threshold, s.largest, s.typical] for k, s in self.scales.items()]
        tensors = self.intervals.arrays()
        for z, own in self.environments.items():
            tensors |= {f"{z}.mean": own.mean, f"{z}.components": own.components, f"{z}.centres": own.centres}
        named = {f"novelty.{name}": torch.from_numpy(np.ascontiguousarray(x)) for name, x in tensors.items()}
        return {"elements": list(self.elements), "most_atoms": self.most_atoms, "scales": scales}, named

    @classmethod
    def from_state(cls, spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Novelty:
        """Return what has this :meth:`state`; tensors of other names are passed over."""
        arrays = {n.removeprefix("novelty."): t.numpy() for n, t in tensors.items() if n.startswith("novelty.")}
        elements = tuple(map(int, spec["elements"]))
        names = ("mean", "components", "centres")
        environments = {z: Environments(*(arrays[f"{z}.{name}"] for name in names)) for z in elements}
        scales = {Kind(str(w), int(a), int(b)): Scales(*map(float, own)) for w, a, b, *own in spec["scales"]}
        return cls(elements, int(spec["most_atoms"]), environments, Intervals.from_arrays(arrays), scales)

    @cached_property
    def _kinds(self) -> list[Kind]:
        return kinds_of(self.elements)

    @cached_property
    def _thresholds(self) -> FloatArray:
        """Of every kind of lengths; what never occurred is infinitely far from nothing."""
        return np.array([self.scales[kind].threshold if kind in self.scales else 1.0 for kind in self._kinds])

    def _worst(self, scores: FloatArray, group: IntArray) -> IntArray:
        """Return the rows above 1 that are the farthest of their group."""
        rows = np.flatnonzero(scores > 1)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        return rows[np.sort(np.unique(group[rows], return_index=True)[1])]

    def _around(self, kind: int, value: float) -> str:
        """Return what the training set has instead of a length, in words."""
        low, high, below, above = self.intervals.around(kind, value)
        if not np.isfinite(low):
            return "no such pair in training"
        if low < value < high:
            return f"training has none from {below:.2f} to {above:.2f} Å"
        return f"training {low:.2f} ... {high:.2f}"

    def _measured(self, kind: Kind, distance: float, words: str, about: tuple[float, ...]) -> Reason:
        """Return by how many thresholds and how many usual differences something is too far, in words, about what."""
        known = self.scales.get(kind)
        if known is None:
            return np.inf, 0.0, words, about
        return distance / known.threshold, distance / known.typical, words, about

    def _found(self, n_atoms: int, reasons: Sequence[Reason]) -> Found:
        first: dict[tuple[float, ...], str] = {}  # one distance may be too far from its like, and as a nearest one
        for _, _, text, about in sorted(reasons, key=lambda reason: (-reason[0], reason[2])):
            first.setdefault(about, text)
        words = list(first.values())
        if n_atoms > self.most_atoms:
            words.insert(0, f"larger than any training molecule: {n_atoms} atoms, at most {self.most_atoms}")
        more = [f"{len(words) - MOST_FLAGS} more reasons"] if len(words) > MOST_FLAGS + 1 else []
        words = words[:MOST_FLAGS] + more if more else words
        return Found(tuple(words), max((excess for _, excess, *_ in reasons), default=0.0))
