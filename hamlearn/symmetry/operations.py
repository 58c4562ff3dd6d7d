"""The operations a molecule has within a tolerance, found on its atoms: permutations first, rotations from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.ties import RELATIVE, first_of_best, tied_ranks
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class Operation(ByValue, Shown):
    """One symmetry operation of a molecule.

    Attributes:
        rotation: orthogonal matrix R [3, 3] in the molecule's own frame, about its centre.
        permutation: atom k goes to the place of atom permutation[k] [atom].
    """

    rotation: FloatArray
    permutation: IntArray


@dataclass(frozen=True, eq=False)
class RoughGroup:
    """A group of operations whose rotations are only as good as the geometry.

    Attributes:
        permutations: [operation, atom].
        rotations: [operation, 3, 3].
    """

    permutations: IntArray
    rotations: FloatArray


def rough_group(numbers: IntArray, x: FloatArray, tolerance: float) -> RoughGroup:
    """Return the largest group found whose averaged geometry is nowhere farther than the tolerance.

    Candidates are made by laying a pair of atoms on every like pair; they are added to the group in order of their
    misfit, each with all its products, as long as the average over the group stays within the tolerance.

    Args:
        numbers: atomic numbers [atom].
        x: positions about the centroid [atom, 3], Å, of a molecule that is not linear.
        tolerance: largest displacement of an atom, Å.
    """
    permutations, rotations = _candidates(numbers, x, tolerance)
    known = {_key(p, r): i for i, (p, r) in enumerate(zip(permutations, rotations, strict=True))}
    members = [known[_key(np.arange(len(x)), np.eye(3))]]
    for candidate in range(len(permutations)):
        if candidate in members:
            continue
        larger = _generated([*members, candidate], permutations, rotations, known)
        if larger and displacement(x, permutations[larger], rotations[larger]) <= tolerance:
            members = larger
    return RoughGroup(permutations[members], rotations[members])


def averaged(x: FloatArray, permutations: IntArray, rotations: FloatArray) -> FloatArray:
    """Return (1/|G|) sum_g R_g^T x_g(k) [atom, 3]: the nearest geometry that has the group, if it is one."""
    return np.asarray(np.einsum("gij,gki->kj", rotations, x[permutations]) / len(rotations))


def displacement(x: FloatArray, permutations: IntArray, rotations: FloatArray) -> float:
    """Return how far averaging moves the atom it moves most."""
    return float(np.linalg.norm(averaged(x, permutations, rotations) - x, axis=1).max())


def _candidates(numbers: IntArray, x: FloatArray, tolerance: float) -> tuple[IntArray, FloatArray]:
    """All operations that leave a root mean square misfit of at most twice the tolerance, best first."""
    first, second = _reference_pair(numbers, x, tolerance)
    images = _like_pairs(numbers, x, first, second, tolerance)
    frame = _frames(x[[first]], x[[second]])[0]
    frames = _frames(x[images[:, 0]], x[images[:, 1]])
    proper = frames @ frame.T
    mirror = np.eye(3) - 2 * np.outer(frame[:, 2], frame[:, 2])
    species = np.multiply(1e3, numbers[:, None], dtype=np.float64)  # a fourth coordinate that keeps unlike atoms apart
    places = cKDTree(np.hstack([x, species]))
    identity = np.arange(len(x)), np.eye(3)
    found: dict[bytes, tuple[float, IntArray, FloatArray]] = {_key(*identity): (0.0, *identity)}
    for start, sign in ((proper, 1.0), (proper @ mirror, -1.0)):
        for rotation in start:
            if (fitted := _fitted(places, species, x, rotation, sign)) is not None and fitted[0] <= 2 * tolerance:
                found.setdefault(_key(fitted[1], fitted[2]), fitted)
    misfits, permutations, rotations = (np.array(part) for part in zip(*found.values(), strict=True))
    ordered = np.argsort(tied_ranks(misfits, scale=tolerance), kind="stable")  # the identity stays first
    return permutations[ordered], rotations[ordered]


def _reference_pair(numbers: IntArray, x: FloatArray, tolerance: float) -> tuple[int, int]:
    """Two atoms, well apart in direction, with the fewest pairs that could be their images."""
    radius = np.linalg.norm(x, axis=1)
    alike = (numbers[:, None] == numbers) & (abs(radius[:, None] - radius) <= 2 * tolerance)
    cost = np.outer(alike.sum(axis=1), alike.sum(axis=1)).astype(float)
    area = np.linalg.norm(np.cross(x[:, None], x[None]), axis=2)
    cost[area < (0.3 - RELATIVE) * area.max()] = np.inf
    first, second = divmod(first_of_best(np.where(cost == cost.min(), area, -1.0).ravel()), len(x))
    return first, second


def _like_pairs(numbers: IntArray, x: FloatArray, first: int, second: int, tolerance: float) -> IntArray:
    radius = np.linalg.norm(x, axis=1)
    like = [
        np.flatnonzero((numbers == numbers[atom]) & (abs(radius - radius[atom]) <= 2 * tolerance))
        for atom in (first, second)
    ]
    pairs = np.stack(np.meshgrid(*like, indexing="ij"), axis=-1).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    distance = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
    return pairs[abs(distance - np.linalg.norm(x[first] - x[second])) <= 4 * tolerance]


def _frames(a: FloatArray, b: FloatArray) -> FloatArray:
    """Right-handed orthonormal frames [pair, 3, 3], columns: along a, in the plane of a and b, normal to it."""
    u = a / np.linalg.norm(a, axis=1, keepdims=True)
    w = np.cross(a, b)
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    return np.stack([u, np.cross(w, u), w], axis=2)


def _fitted(
    places: cKDTree, species: FloatArray, x: FloatArray, rotation: FloatArray, sign: float
) -> tuple[float, IntArray, FloatArray] | None:
    """Misfit, permutation and least-squares rotation of the operation near ``rotation``; None if there is none."""
    permutation = np.zeros(0, dtype=np.int64)
    for _ in range(4):
        nearest = places.query(np.hstack([x @ rotation.T, species]))[1]
        if len(np.unique(nearest)) < len(x):
            return None
        if np.array_equal(nearest, permutation):
            break
        permutation = nearest
        left, _, right = np.linalg.svd(x[permutation].T @ x)
        left[:, 2] *= sign * np.linalg.det(left @ right)
        rotation = left @ right
    misfit = np.sqrt(((x @ rotation.T - x[permutation]) ** 2).sum(axis=1).mean())
    return float(misfit), permutation, rotation


def _key(permutation: IntArray, rotation: FloatArray) -> bytes:
    """A permutation and a handedness name one operation of a molecule that is not linear."""
    return permutation.astype(np.int64).tobytes() + (b"+" if np.linalg.det(rotation) > 0 else b"-")


def _generated(
    generators: list[int], permutations: IntArray, rotations: FloatArray, known: dict[bytes, int]
) -> list[int]:
    """Return the group generated by some candidates; empty if it leaves the candidates."""
    members, frontier = set(generators), list(generators)
    while frontier:
        found: set[int] = set()
        for a in frontier:
            for b in generators:
                product = known.get(_key(permutations[a][permutations[b]], rotations[a] @ rotations[b]))
                if product is None:
                    return []
                found.add(product)
        frontier = list(found - members)
        members |= found
    return sorted(members)
