"""What tells a molecule from others, whatever the learner: surroundings of atoms, nearest and all distances.

Nothing here is fitted or set: thresholds of saved models stay valid, and those of different learners agree. Densities
and kernels of features depend on settings, and on radial functions that are fitted to a training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch

from hamlearn.angular.elements import symbol
from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray

CUTOFF, N_RADIAL, MAX_L = 4.5, 5, 3
FIRST, LAST, WIDTH = 0.8, 3.8, 0.6
"""Centres of the first and the last Gaussian of distances and their width, Å."""


@dataclass(frozen=True, order=True)
class Kind:
    """What is compared with its like.

    Attributes:
        what: "environment" of atoms, "nearest" atom of an element, or "distance" of two elements.
        first: element of the atoms.
        second: element of the others, not smaller for distances; 0 for environments.
    """

    what: str
    first: int
    second: int = 0

    @property
    def in_words(self) -> str:
        """Return a name for messages; a length may follow."""
        if self.what == "environment":
            return f"surroundings of {symbol(self.first)}"
        if self.what == "nearest":
            return f"{symbol(self.second)} nearest to {symbol(self.first)} at"
        return f"{symbol(self.first)}-{symbol(self.second)} distance"


@dataclass(frozen=True, eq=False)
class Lengths:
    """Distances of atoms, Å, those of all kinds in one list.

    Attributes:
        values: [length].
        kind: position in a list of kinds [length].
        owner: structure [length].
    """

    values: FloatArray
    kind: IntArray
    owner: IntArray


def kinds_of(elements: Sequence[int]) -> list[Kind]:
    """Return all kinds of lengths of some elements, ascending: distances, then nearest atoms."""
    pairs = [Kind("distance", a, b) for a in elements for b in elements if a <= b]
    return [*pairs, *(Kind("nearest", a, b) for a in elements for b in elements)]


@dataclass(frozen=True, eq=False)
class AllPairs:
    """All pairs of atoms in molecules, each once.

    Attributes:
        i, j: atoms, i before j [pair].
        vectors: from i to j [pair, 3], Å.
        r: their lengths [pair].
        slot: position of the element of every atom in a list of elements [atom].
        structure: of every atom [atom].
        n_elements: in the list.
    """

    i: IntArray
    j: IntArray
    vectors: FloatArray
    r: FloatArray
    slot: IntArray
    structure: IntArray
    n_elements: int

    @classmethod
    def of(cls, samples: Samples, elements: Sequence[int]) -> AllPairs:
        """Return those of some structures of these elements, which are ascending."""
        ends = np.append(samples.first, len(samples.species))
        both = [start + _pairs(stop - start) for start, stop in pairwise(ends.tolist())]
        i, j = np.concatenate(both, axis=1) if both else np.zeros((2, 0), dtype=np.int64)
        positions = samples.positions.detach().cpu().double().numpy()
        vectors = positions[j] - positions[i]
        slot = np.searchsorted(elements, samples.species)
        return cls(i, j, vectors, np.linalg.norm(vectors, axis=1), slot, samples.structure, len(elements))

    def lengths(self) -> Lengths:
        """Return all distances, and those of every atom to its nearest of every element; kinds as :func:`kinds_of`.

        Invariant under rotation and inversion; permutations of atoms reorder them.
        """
        i, j, r, n, slot = self.i, self.j, self.r, self.n_elements, self.slot
        low, high = np.minimum(slot[i], slot[j]), np.maximum(slot[i], slot[j])
        pair = low * n - low * (low - 1) // 2 + high - low
        nearest = np.full(len(slot) * n, np.inf)
        np.minimum.at(nearest, i * n + slot[j], r)
        np.minimum.at(nearest, j * n + slot[i], r)
        found = np.flatnonzero(np.isfinite(nearest))
        atom, other = found // n, found % n
        return Lengths(
            np.concatenate([r, nearest[found]]),
            np.concatenate([pair, n * (n + 1) // 2 + slot[atom] * n + other]),
            self.structure[np.concatenate([i, atom])],
        )

    def environments(self) -> FloatArray:
        """Return p_l(aq, bk) = sum_m c_aqlm c_bklm of the density of neighbours of every atom [atom, invariant].

        c_aqlm sums a Gaussian of the distance, which goes to 0 at 4.5 Å, times Y_lm over neighbours of element a. Those
        of l have the weight (2l+1)^-1/2, and those of (a, q) other than (b, k) count twice in squared distances.

        Invariant under rotation and inversion, follows permutations.

        Source: Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), eq. 31.
        """
        near, n, n_atoms = self.r < CUTOFF, self.n_elements, len(self.slot)
        i, j = (np.concatenate(both) for both in ((self.i[near], self.j[near]), (self.j[near], self.i[near])))
        r = torch.from_numpy(self.r[near])
        there = spherical_harmonics(torch.from_numpy(self.vectors[near]), MAX_L)
        centres = torch.linspace(FIRST, LAST, N_RADIAL, dtype=torch.float64)
        radial = torch.exp(-0.5 * ((r[:, None] - centres) / WIDTH) ** 2)
        terms = there[:, :, None] * (radial * (0.5 + 0.5 * torch.cos(torch.pi * r / CUTOFF))[:, None])[:, None]
        signs = torch.tensor([(-1.0) ** l for l in range(MAX_L + 1) for _ in range(2 * l + 1)], dtype=terms.dtype)
        both_ends = torch.cat([terms, signs[:, None] * terms])
        place = torch.from_numpy(i * n + self.slot[j])
        c = terms.new_zeros((n_atoms * n, *terms.shape[1:])).index_add_(0, place, both_ends)
        c = c.unflatten(0, (n_atoms, n)).transpose(1, 2).flatten(2)  # [atom, lm, element x radial]
        first, second, twice = _upper(n * N_RADIAL)
        by_l = [c[:, l * l : (l + 1) ** 2] for l in range(MAX_L + 1)]
        squares = [(own.transpose(1, 2) @ own)[:, first, second] * (own.shape[1] ** -0.5) for own in by_l]
        return torch.cat([twice * p for p in squares], dim=1).numpy()


@cache
def _pairs(n: int) -> IntArray:
    """Return i < j of n atoms [2, pair]."""
    return np.stack(np.triu_indices(n, 1))


@cache
def _upper(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the elements of the upper triangle, and the roots of how often they stand in a whole matrix."""
    first, second = torch.triu_indices(n, n)
    return first, second, 1 + (2**0.5 - 1) * (first != second)
