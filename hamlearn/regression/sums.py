"""Data that are linear functionals of local values: sums over structures, forces, virials; y = L y'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from hamlearn.errors import ConfigError
from hamlearn.regression.positive import finite_array
from hamlearn.types import FloatArray

Functional: TypeAlias = FloatArray | sparse.sparray


def apply_functional(functional: Functional, k: FloatArray | Iterable[FloatArray]) -> FloatArray:
    """Return L K [datum, ...], the kernel of data y = L y' with an active set.

    Fits of y use it in place of K_NM: x = (K_MM + (L K)^T Lambda^-1 L K)^-1 (L K)^T Lambda^-1 y.

    Args:
        functional: L [datum, row], sparse or dense. Rows are values, derivatives, or anything else of environments.
        k: their kernel with the active set [row, ...], whole (an array) or in tiles of rows in order, which are
            summed up one after the other.

    Raises:
        ConfigError: if the rows of the kernel do not fit the columns of L, or L is not finite.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 22 and 23.
    """
    columns = sparse.csc_array(functional)
    finite_array(columns.data, "the functional")
    total: FloatArray | None = None
    start = 0
    for tile in [k] if isinstance(k, np.ndarray) else k:
        rows = finite_array(tile, "the kernel")
        if rows.ndim == 0 or start + len(rows) > columns.shape[1]:
            raise _misfit(start + (len(rows) if rows.ndim else 0), columns.shape[1])
        part = columns[:, start : start + len(rows)] @ rows.reshape(len(rows), -1)
        part = part.reshape(-1, *rows.shape[1:])
        total, start = part if total is None else total + part, start + len(rows)
    if total is None or start != columns.shape[1]:
        raise _misfit(start, columns.shape[1])
    return total


def sum_functional(structure: ArrayLike, n_structures: int) -> sparse.csr_array:
    """Return L [structure, row] of E_A = sum_{i in A} e_i.

    Args:
        structure: structure of every row, 0, 1, ... [row].
        n_structures: number of structures; one without rows has a sum of zero.

    Raises:
        ConfigError: if a structure is out of range.
    """
    owner = _indices(structure, n_structures, "structure")
    return sparse.csr_array((np.ones(len(owner)), (owner, np.arange(len(owner)))), shape=(n_structures, len(owner)))


def force_functional(atom: ArrayLike, n_atoms: int) -> sparse.csr_array:
    """Return L [3 atom, 3 pair] of F_j = -sum_i de_i / dr_j, over all environments i that atom j is part of.

    Rows of the kernel are derivatives of e_i with respect to x, y, z of atom j for every pair (i, j), i = j included;
    forces turn as vectors.

    Args:
        atom: j of every pair, counted through all structures [pair].
        n_atoms: number of atoms of all structures.

    Raises:
        ConfigError: if an atom is out of range.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 25 and 27; forces here are minus
    the derivative of the energy.
    """
    return sparse.csr_array(sparse.kron(-sum_functional(atom, n_atoms), np.eye(3)))


def virial_functional(structure: ArrayLike, vectors: ArrayLike, n_structures: int) -> sparse.csr_array:
    """Return L [9 structure, 3 pair] of Xi_ab = -sum_{ij} (r_j - r_i)_a de_i / dr_jb.

    Rows of the kernel as in :func:`force_functional`; Xi (row-major) turns as a tensor and is minus the derivative of
    the energy with respect to strain.

    Args:
        structure: structure of every pair (environment i, atom j) [pair].
        vectors: r_j - r_i of every pair, of the image that e_i depends on, Å [pair, 3].
        n_structures: number of structures.

    Raises:
        ConfigError: if a structure is out of range or vectors do not fit.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), section II D.
    """
    owner, r = _indices(structure, n_structures, "structure"), finite_array(vectors, "the vectors of pairs")
    if r.shape != (len(owner), 3):
        raise ConfigError(f"the vectors of pairs have shape {list(r.shape)}; expected [{len(owner)}, 3]")
    pair, a, b = np.meshgrid(np.arange(len(r)), np.arange(3), np.arange(3), indexing="ij")
    rows, columns = 9 * owner[pair] + 3 * a + b, 3 * pair + b
    entries = (-r[pair, a].ravel(), (rows.ravel(), columns.ravel()))
    return sparse.csr_array(entries, shape=(9 * n_structures, 3 * len(r)))


def sum_rows(k: ArrayLike, structure: ArrayLike, n_structures: int) -> FloatArray:
    """Return K(A, j) = sum_{i in A} k(i, j) [structure, ...], the kernel of sums with an active set.

    Args:
        k: kernel of environments [i, ...].
        structure: structure of every environment, 0, 1, ... [i].
        n_structures: number of structures.

    Raises:
        ConfigError: if structures and kernel do not fit.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 13 to 15.
    """
    return apply_functional(sum_functional(structure, n_structures), np.asarray(k))


def _indices(value: ArrayLike, n: int, name: str) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ConfigError(
            f"the {name} of every row has shape {list(array.shape)}, {array.dtype}; expected integers [n]"
        )
    if len(array) and not (array.min() >= 0 and array.max() < n):
        raise ConfigError(f"{name} {array.min()} to {array.max()} of {n}; expected indices from 0 to {n - 1}")
    return array


def _misfit(n_rows: int, n_columns: int) -> ConfigError:
    return ConfigError(
        f"the kernel has {n_rows} rows, or more, where the functional has {n_columns} columns; give one row of the "
        "kernel for every column"
    )
