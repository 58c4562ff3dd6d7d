"""Structures that are the same molecule at the same geometry, turned, mirrored, moved or with like atoms exchanged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from hamlearn.types import FloatArray, IntArray

TOLERANCE_ANGSTROM = 1e-3
"""Largest difference of any distance; files keep fewer digits than that of turned molecules, vibrations are larger."""


def distinct_geometries(structures: Sequence[Atoms]) -> IntArray:
    """Return for each structure the number of its geometry, equal for equal ones [structure].

    Two are equal if they have the same elements and, pair of elements by pair of elements, the same sorted distances
    to 1e-3 Å: invariant under rotation, inversion, translation and permutation.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    members = defaultdict(list)
    for index, atoms in enumerate(structures):
        members[tuple(sorted(atoms.numbers.tolist()))].append(index)
    labels, first = np.zeros(len(structures), dtype=np.int64), 0
    for indices in members.values():
        distances = np.array([_sorted_distances(structures[index]) for index in indices])  # [structure, pair]
        rounded = np.round(distances / TOLERANCE_ANGSTROM)
        _, chosen, place = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        pairs = cKDTree(distances[chosen]).query_pairs(TOLERANCE_ANGSTROM, p=np.inf, output_type="ndarray")
        n = len(chosen)
        graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
        n_found, found = connected_components(graph, directed=False)
        labels[indices] = first + found[place.ravel()]
        first += n_found
    return labels


def repeated_in_words(structures: Sequence[Atoms], n_train: int) -> str:
    """Return a sentence on test structures that are training structures too; empty if there are none.

    Args:
        structures: training set, then test set.
        n_train: size of the training set.
    """
    labels = distinct_geometries(structures)
    n_test = len(labels) - n_train
    repeated = int(np.isin(labels[n_train:], labels[:n_train]).sum())
    if not repeated:
        return ""
    return (
        f"{repeated} of {n_test} test structures are equal to a training structure, as they are or turned, mirrored or "
        f"with like atoms exchanged ({len(labels)} structures, {len(set(labels.tolist()))} distinct geometries): the "
        "errors are too small; remove repeated structures from the file"
    )


def _sorted_distances(atoms: Atoms) -> FloatArray:
    """Return all distances [pair], Å, by pair of elements, then by length; one zero for a single atom."""
    i, j = np.triu_indices(len(atoms), k=1)
    lengths = np.linalg.norm(atoms.positions[i] - atoms.positions[j], axis=1)
    low, high = np.sort([atoms.numbers[i], atoms.numbers[j]], axis=0)
    return np.append(lengths[np.lexsort((lengths, high, low))], 0.0)
