"""Structures in tiles whose densities, derivatives and kernels fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hamlearn.config import KernelSettings

if TYPE_CHECKING:
    from ase import Atoms

MOST_STRUCTURES = 64
SHARE = 0.1
"""Of the memory a tile may take: intermediates are several times as large."""


def structure_tiles(
    structures: Sequence[Atoms], kernel: KernelSettings, memory_gb: float, n_basis: int
) -> Iterator[slice]:
    """Yield ranges of structures, each of at least one.

    Args:
        structures: geometries.
        kernel: sets the size of a density and its derivatives.
        memory_gb: of the whole job.
        n_basis: number of kernels of every value and every derivative.
    """
    start, used = 0, 0.0
    for k, atoms in enumerate(structures):
        n = len(atoms)
        gradients = 3.0 * n * n * (kernel.max_l + 1) ** 2 * kernel.max_channels
        needed = 8e-9 * (gradients + n_basis * (3 * n + kernel.max_nu + 1))
        if k > start and (used + needed > SHARE * memory_gb or k - start == MOST_STRUCTURES):
            yield slice(start, k)
            start, used = k, 0.0
        used += needed
    if structures:
        yield slice(start, len(structures))
