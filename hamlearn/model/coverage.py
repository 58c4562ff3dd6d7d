"""How far the atoms of candidates are from known atoms, in the metric of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.job import SILENT, Job
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.learning.tiles import KernelTiles, self_kernels
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

SCALAR = (0, 1)
SAME = 1e-6
"""Distance of copies, relative to the norm of an atom: the root of what rounding leaves of squares."""


class Coverage:
    """D(A) = sqrt(mean over atoms i of A of min over known atoms j of one element of k(i,i) + k(j,j) - 2 k(i,j)).

    k is the invariant kernel of single atoms. Known are atoms, not structures: an active set has no whole structures,
    and a molecule is covered if each of its atoms is, by whichever molecule. Before anything is known, the nearest
    atom is one without neighbours and with kernel 0, at the distance sqrt(k(i,i)).

    Args:
        kernel: fitted.
        candidates: geometries, Å.
        job: where kernels with known atoms are computed.

    Invariant under rotation, inversion and permutation.
    """

    def __init__(self, kernel: BlockKernel, candidates: Sequence[Atoms], job: Job = SILENT) -> None:
        self.kernel, self._job = kernel, job
        self._centres = kernel.centres(candidates)
        self._wanted = {Family("on_site", z, z): [SCALAR] for z in self._centres.sites}
        self._own = self._norms(self._centres)
        self._nearest = {family: own.copy() for family, own in self._own.items()}
        self.smallest = SAME * float(np.sqrt(np.mean(np.concatenate(list(self._own.values())))))

    def distances(self) -> FloatArray:
        """Return D of every candidate [candidate]."""
        n = self._centres.n_structures
        total, count = np.zeros(n), np.zeros(n)
        for family, nearest in self._nearest.items():
            owners = self._centres.owners(family)
            np.add.at(total, owners, nearest.clip(min=0.0))
            np.add.at(count, owners, 1)
        return np.sqrt(total / count)

    def add_known(self, known: Centres) -> None:
        """Take in atoms that are known."""
        norms = self._norms(known)
        tiles = KernelTiles(self.kernel, self._centres, known, self._wanted)
        for start, stop, kernels in tiles.tiles(self._job.executor):
            where = self._centres.part(start, stop)[1]
            for family in self._wanted:
                self._approach(family, where[family], kernels[family, SCALAR], norms[family])

    def add(self, index: int) -> None:
        """Take in the atoms of a candidate."""
        part, where = self._centres.part(index, index + 1)
        kernels = self.kernel.between(self._centres, part, self._wanted)
        for family, own in self._own.items():
            self._approach(family, slice(None), kernels[family, SCALAR], own[where[family]])

    def _approach(self, family: Family, rows: slice, k: FloatArray, norms: FloatArray) -> None:
        """Lower the squared distances of some atoms to those from others, k their kernel [row, 1, column, 1]."""
        to_nearest = (norms - 2 * k[:, 0, :, 0]).min(axis=1, initial=np.inf)
        nearest = self._nearest[family]
        nearest[rows] = np.minimum(nearest[rows], self._own[family][rows] + to_nearest)

    def _norms(self, centres: Centres) -> dict[Family, FloatArray]:
        """Return k(i, i) of all atoms of the candidates' elements."""
        present = np.unique(np.concatenate([centres.owners(family) for family in self._wanted]))
        parts = self_kernels(self.kernel, centres, present.tolist(), self._wanted)
        return {
            family: np.concatenate([np.zeros(0), *(part[family, SCALAR][:, 0, :, 0].diagonal() for part in parts)])
            for family in self._wanted
        }
