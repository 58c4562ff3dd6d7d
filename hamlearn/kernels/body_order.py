"""Kernels of pairs and triangles of atoms: energies that are sums over distances and over triples of distances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from scipy import sparse

from hamlearn.density.cutoff import shifted_cosine
from hamlearn.errors import ConfigError, StructureError
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

Species = tuple[int, ...]

TILE = 1_000_000
"""Gaussians between clusters that are held at a time."""


@dataclass(frozen=True)
class _Clusters:
    """Pairs or triangles of the same species in many structures, with p distances and D descriptors each.

    Attributes:
        sums: adds up the clusters of every structure [structure, n].
        q: descriptors [n, D].
        weight: product of the cut-off functions of the distances [n].
        q_slope: derivatives of q with respect to distances [n, D, p].
        weight_slope: the same of the weight [n, p].
        to_positions: derivatives with respect to positions from those with respect to distances [3 atom, n p].
    """

    sums: sparse.csc_array
    q: FloatArray
    weight: FloatArray
    q_slope: FloatArray
    weight_slope: FloatArray
    to_positions: sparse.csc_array


@dataclass(frozen=True)
class _ClusterKernel(ABC):
    cutoff_angstrom: float
    width: float
    cutoff_width_angstrom: float = 0.5

    size: ClassVar[int]

    def __post_init__(self) -> None:
        sizes = (self.cutoff_angstrom, self.width, self.cutoff_width_angstrom)
        if not (np.isfinite(sizes).all() and min(sizes) > 0 and self.cutoff_width_angstrom <= self.cutoff_angstrom):
            raise ConfigError(
                f"cutoff_angstrom {sizes[0]}, width {sizes[1]}, cutoff_width_angstrom {sizes[2]}; expected positive "
                "numbers, and a cut-off at least as large as its width"
            )

    def values(self, structures: Sequence[Atoms], references: Sequence[Atoms]) -> FloatArray:
        """Return K(A, B) [structure, reference], summed over the clusters of both.

        Args:
            structures: A; free molecules.
            references: B.

        Raises:
            StructureError: if atoms coincide.
        """
        out = np.zeros((len(structures), len(references)))
        for a, rows, sums, _ in self._tiles(structures, references):
            out += a.sums[:, rows] @ (a.weight[rows, None] * sums)
        return out

    def gradients(self, structures: Sequence[Atoms], references: Sequence[Atoms]) -> FloatArray:
        """Return dK(A, B) / dr, Å^-1, for x, y, z of every atom of every A in order [3 atom, reference].

        Args:
            structures: A; free molecules.
            references: B.

        Raises:
            StructureError: if atoms coincide.
        """
        out = np.zeros((3 * sum(map(len, structures)), len(references)))
        for a, rows, sums, moments in self._tiles(structures, references):
            slope = a.weight_slope[rows, :, None] * sums[:, None]  # [cluster, p, reference]
            for d, moment in enumerate(moments):
                pull = a.weight[rows, None] * (moment - a.q[rows, d, None] * sums) / self.width**2
                slope += a.q_slope[rows, d, :, None] * pull[:, None]
            p = slope.shape[1]
            out += a.to_positions[:, rows.start * p : rows.stop * p] @ slope.reshape(-1, len(references))
        return out

    def _tiles(
        self, structures: Sequence[Atoms], references: Sequence[Atoms]
    ) -> Iterator[tuple[_Clusters, slice, FloatArray, list[FloatArray]]]:
        """Yield clusters a of A, a range of them, sum_b w_b g(a, b) [rows, reference] and the same with q_b, each D."""
        ours = self._clusters(structures)
        theirs = ours if references is structures else self._clusters(references)
        for species in ours.keys() & theirs.keys():
            a, b = ours[species], theirs[species]
            step = max(1, TILE // len(b.q))
            for start in range(0, len(a.q), step):
                rows = slice(start, min(start + step, len(a.q)))
                squared = sum((a.q[rows, d, None] - b.q[:, d]) ** 2 for d in range(b.q.shape[1]))
                gaussians = np.exp(-squared / (2 * self.width**2)) * b.weight
                yield a, rows, (b.sums @ gaussians.T).T, [(b.sums @ (gaussians * q).T).T for q in b.q.T]

    def _clusters(self, structures: Sequence[Atoms]) -> dict[Species, _Clusters]:
        """Return all clusters of atoms closer to each other than the cut-off, by species."""
        if not len(structures):
            return {}
        found = [self._members(atoms) for atoms in structures]
        offsets = np.cumsum([0, *map(len, structures)])
        members = np.concatenate([m + offset for m, offset in zip(found, offsets, strict=False)])  # [n, size]
        structure = np.repeat(np.arange(len(found)), [len(m) for m in found])
        positions = np.concatenate([atoms.positions for atoms in structures])
        numbers = np.concatenate([atoms.numbers for atoms in structures])
        out: dict[Species, _Clusters] = {}
        kinds, kind = np.unique(numbers[members], axis=0, return_inverse=True)
        for index, species in enumerate(kinds):
            these = np.flatnonzero(kind.ravel() == index)
            key = tuple(species.tolist())
            out[key] = self._describe(key, members[these], structure[these], positions, len(structures))
        return out

    def _members(self, atoms: Atoms) -> IntArray:
        """Return the atoms of every cluster [cluster, size], those of like species last."""
        members = _all_clusters(len(atoms), self.size)
        distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=-1)
        i, j = _edges(self.size)
        members = members[(distances[members[:, i], members[:, j]] < self.cutoff_angstrom).all(axis=1)]
        z = atoms.numbers
        order = np.argsort(z[members], axis=1, kind="stable")
        members = np.take_along_axis(members, order, axis=1)
        odd_last = (z[members[:, 0]] == z[members[:, 1]]) & (z[members[:, -1]] != z[members[:, 0]])
        members[odd_last] = np.roll(members[odd_last], 1, axis=1)
        return members

    def _describe(
        self, species: Species, members: IntArray, structure: IntArray, positions: FloatArray, n_structures: int
    ) -> _Clusters:
        i, j = _edges(self.size)
        vectors = positions[members[:, j]] - positions[members[:, i]]  # [n, p, 3]
        d = np.linalg.norm(vectors, axis=-1)
        if not d.all():
            cluster = int(np.flatnonzero((d == 0).any(axis=1))[0])
            raise StructureError(f"structure {structure[cluster]} holds atoms at the same place; remove or move one")
        f = shifted_cosine(torch.from_numpy(d), self.cutoff_angstrom, self.cutoff_width_angstrom).numpy()
        f_slope = _cosine_slope(d, self.cutoff_angstrom, self.cutoff_width_angstrom)
        n, p = d.shape
        others = np.stack([np.delete(f, edge, axis=1).prod(axis=1) for edge in range(p)], axis=1)
        q, q_slope = self._descriptors(d, species)
        rows = 3 * np.stack([members[:, j], members[:, i]])[..., None] + np.arange(3)  # [end, n, p, 3]
        columns = np.broadcast_to(np.arange(n * p).reshape(n, p, 1), rows.shape)
        units = np.stack([vectors, -vectors]) / d[..., None]
        return _Clusters(
            sparse.csc_array((np.ones(n), (structure, np.arange(n))), shape=(n_structures, n)),
            q,
            f.prod(axis=1),
            q_slope,
            f_slope * others,
            sparse.csc_array((units.ravel(), (rows.ravel(), columns.ravel())), shape=(3 * len(positions), n * p)),
        )

    @abstractmethod
    def _descriptors(self, d: FloatArray, species: Species) -> tuple[FloatArray, FloatArray]:
        """Return descriptors [n, D] of distances [n, p] that no order of like atoms changes, and slopes [n, D, p]."""


@dataclass(frozen=True)
class PairKernel(_ClusterKernel):
    """K(A, B) = sum_{pairs of A, of B} f(r) f(r') exp(-(r - r')^2 / 2 width^2), pairs of the same two species.

    Models on it are sums of pair potentials. Symmetric and positive semi-definite; invariant under rotations,
    inversion and permutations, its gradients turn as vectors.

    Args:
        cutoff_angstrom: distance at which f and its derivative reach zero, Å.
        width: of the Gaussian, Å.
        cutoff_width_angstrom: f falls from 1 to 0 as a cosine over this distance, Å.

    Raises:
        ConfigError: for lengths that are not positive or a cut-off narrower than its switch.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), section II E.
    """

    size: ClassVar[int] = 2

    def _descriptors(self, d: FloatArray, species: Species) -> tuple[FloatArray, FloatArray]:
        return d, np.ones((len(d), 1, 1))


@dataclass(frozen=True)
class TriangleKernel(_ClusterKernel):
    """K(A, B) = sum_{triangles of A, of B} f f' exp(-|q - q'|^2 / 2 width^2), triangles of the same three species.

    f is the product of the cut-off functions of the three distances, q holds as much of them as no order of like
    atoms changes: of three species the distances; of one atom and two alike (r1 + r2, (r1 - r2)^2, r12); of three
    alike sum, summed squared and summed cubed deviation from the mean; in Å, Å^2 and Å^3. Models on it are sums of
    three-body potentials. Symmetric and positive semi-definite; invariant under rotations, inversion and
    permutations, its gradients turn as vectors.

    Args:
        cutoff_angstrom: largest side of a triangle, where f and its derivative reach zero, Å.
        width: of the Gaussian, in the units of q.
        cutoff_width_angstrom: f falls from 1 to 0 as a cosine over this distance, Å.

    Raises:
        ConfigError: for lengths that are not positive or a cut-off narrower than its switch.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), section II E; Bartók, Csányi, Int. J.
    Quantum Chem. 115, 1051 (2015).
    """

    size: ClassVar[int] = 3

    def _descriptors(self, d: FloatArray, species: Species) -> tuple[FloatArray, FloatArray]:
        distinct, one, zero = len(set(species)), np.ones(len(d)), np.zeros(len(d))
        if distinct == 3:
            return d, np.broadcast_to(np.eye(3), (len(d), 3, 3))
        if distinct == 2:
            r1, r2, r12 = d.T
            slope = np.array([[one, one, zero], [2 * (r1 - r2), 2 * (r2 - r1), zero], [zero, zero, one]])
            return np.stack([r1 + r2, (r1 - r2) ** 2, r12], axis=1), slope.transpose(2, 0, 1)
        x = d - d.mean(axis=1, keepdims=True)
        square = x**2
        slope = np.stack([np.ones_like(d), 2 * x, 3 * (square - square.mean(axis=1, keepdims=True))], axis=1)
        return np.stack([d.sum(axis=1), square.sum(axis=1), (x**3).sum(axis=1)], axis=1), slope


@lru_cache(maxsize=64)
def _all_clusters(n: int, size: int) -> IntArray:
    return np.array(list(combinations(range(n), size)), dtype=np.int64).reshape(-1, size)


def _edges(size: int) -> tuple[IntArray, IntArray]:
    """Return the two ends of the distances of a cluster: 01 of a pair; 01, 02, 12 of a triangle."""
    return np.triu_indices(size, k=1)


def _cosine_slope(r: FloatArray, cutoff: float, width: float) -> FloatArray:
    """Return the derivative of :func:`hamlearn.density.cutoff.shifted_cosine`."""
    return -0.5 * np.pi / width * np.sin(np.pi * np.clip((r - cutoff + width) / width, 0.0, 1.0))
