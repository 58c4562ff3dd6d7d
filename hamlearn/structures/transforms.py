"""Rotate, invert, permute, translate and distort structures: new structures, only positions and order change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from hamlearn.errors import ConfigError
from hamlearn.types import FloatArray, IntArray

_ORTHOGONALITY = 1e-8


def rotate(atoms: Atoms, rotation: ArrayLike) -> Atoms:
    """Return the structure at x' = R x, about the origin.

    Args:
        atoms: a structure, Å.
        rotation: orthogonal matrix R [3, 3], proper or improper.

    Raises:
        ConfigError: if R is not orthogonal to 1e-8.
    """
    r = np.asarray(rotation, dtype=np.float64)
    if r.shape != (3, 3) or not np.allclose(r @ r.T, np.eye(3), rtol=0, atol=_ORTHOGONALITY):
        raise ConfigError(f"the rotation {r.tolist()} is no orthogonal 3 x 3 matrix; orthogonalise it first")
    return with_positions(atoms, atoms.positions @ r.T)


def invert(atoms: Atoms) -> Atoms:
    """Return the structure at x' = -x."""
    return with_positions(atoms, -atoms.positions)


def translate(atoms: Atoms, vector_angstrom: ArrayLike) -> Atoms:
    """Return the structure at x' = x + t, t [3] in Å."""
    t = np.asarray(vector_angstrom, dtype=np.float64)
    if t.shape != (3,) or not np.isfinite(t).all():
        raise ConfigError(f"the translation {t.tolist()} is no vector of three finite numbers")
    return with_positions(atoms, atoms.positions + t)


def permute(atoms: Atoms, order: Sequence[int] | IntArray) -> Atoms:
    """Return the structure whose atom k, with all that ``arrays`` says of it, is atom ``order[k]`` of the old one.

    Raises:
        ConfigError: if ``order`` is no permutation of the atoms.
    """
    if sorted(order) != list(range(len(atoms))):
        raise ConfigError(f"the order {list(order)} is no permutation of 0 to {len(atoms) - 1}")
    return atoms[np.asarray(order, dtype=np.int64)]


def distort(atoms: Atoms, amplitude_angstrom: float, seed: int | np.random.Generator) -> Atoms:
    """Return the structure with a Gaussian displacement on every coordinate.

    Args:
        atoms: a structure, Å.
        amplitude_angstrom: standard deviation of each coordinate, Å.
        seed: of the displacements, or the generator that draws them.

    Raises:
        ConfigError: for an amplitude that is negative or not finite.

    The distribution of the displacements is isotropic and the same for all atoms.
    """
    if not 0 <= amplitude_angstrom < np.inf:
        raise ConfigError(f"amplitude_angstrom is {amplitude_angstrom}; expected a finite number, at least 0")
    noise = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    return with_positions(atoms, atoms.positions + amplitude_angstrom * noise)


def random_rotation(rng: np.random.Generator, improper: bool = False) -> FloatArray:
    """Return a Haar-distributed rotation [3, 3], times the inversion (determinant -1) if ``improper``.

    Source: F. Mezzadri, Notices Amer. Math. Soc. 54, 592 (2007): QR of a Gaussian matrix, signs of R made positive.
    """
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q * np.linalg.det(q).round() * (-1.0 if improper else 1.0))


def with_positions(atoms: Atoms, positions: FloatArray) -> Atoms:
    """Return a copy, free of constraints, at other positions [atom, 3], Å."""
    copy = atoms.copy()
    copy.set_constraint()
    copy.positions = positions
    return copy


def shuffle_like_atoms(numbers: IntArray, rng: np.random.Generator) -> IntArray:
    """Return a random order of the atoms, for :func:`permute`, that leaves the list of elements as it is [atom]."""
    order = np.arange(len(numbers))
    for z in np.unique(numbers):
        members = np.flatnonzero(numbers == z)
        order[members] = rng.permutation(members)
    return order
