"""How far the atoms of candidates are from known atoms, in the metric of a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.job import SILENT, Job
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.kernels.block_tiles import Kernels
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
        self._owners = np.concatenate([self._centres.owners(family) for family in self._wanted])
        self._own = self._norms(self._centres)
        self._nearest = {family: own.copy() for family, own in self._own.items()}
        self.smallest = SAME * float(np.sqrt(np.mean(np.concatenate(list(self._own.values())))))

    def distances(self) -> FloatArray:
        """Return D of every candidate [candidate]."""
        nearest = np.concatenate(list(self._nearest.values())).clip(min=0.0)
        return np.sqrt(np.bincount(self._owners, nearest) / np.bincount(self._owners))

    def add_known(self, known: Centres) -> None:
        """Take in atoms that are known."""
        tiles = KernelTiles(self.kernel, self._centres, known, self._wanted)
        self._approach(known, tiles.tiles(self._job.executor))

    def add(self, index: int) -> None:
        """Take in the atoms of a candidate."""
        one = self._centres.part(index, index + 1)[0]
        self._approach(one, [(0, self._centres.n_structures, self.kernel.between(self._centres, one, self._wanted))])

    def _approach(self, others: Centres, tiles: Iterable[tuple[int, int, Kernels]]) -> None:
        """Lower the squared distances of all atoms to those from others, given their kernels tile by tile."""
        norms = self._norms(others)
        for start, stop, kernels in tiles:
            for family, nearest in self._nearest.items():
                rows = slice(*np.searchsorted(self._centres.owners(family), [start, stop]))
                to_nearest = (norms[family] - 2 * kernels[family, SCALAR][:, 0, :, 0]).min(axis=1, initial=np.inf)
                nearest[rows] = np.minimum(nearest[rows], self._own[family][rows] + to_nearest)

    def _norms(self, centres: Centres) -> dict[Family, FloatArray]:
        """Return k(i, i) of all atoms of the candidates' elements."""
        present = sorted({int(k) for family in self._wanted for k in centres.owners(family)})
        parts = self_kernels(self.kernel, centres, present, self._wanted)
        return {
            family: np.concatenate([np.zeros(0), *(part[family, SCALAR][:, 0, :, 0].diagonal() for part in parts)])
            for family in self._wanted
        }
