"""Random molecules of given point groups, and textbook decompositions, for the tests of symmetry."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.symmetry.characters import standard_group

FINITE = (
    *("C1", "Cs", "Ci", "C2", "C3", "C4", "C5", "C6", "S4", "S6", "S8"),
    *("C2v", "C3v", "C4v", "C5v", "C6v", "C2h", "C3h", "C4h", "C5h", "C6h"),
    *("D2", "D3", "D4", "D5", "D6", "D2h", "D3h", "D4h", "D5h", "D6h", "D2d", "D3d", "D4d", "D5d", "D6d"),
    *("T", "Td", "Th", "O", "Oh", "I", "Ih"),
)
LINEAR = ("Cinfv", "Dinfh")

VALENCE = {
    "water": "3A1 + B1 + 2B2",
    "ammonia": "3A1 + 2E",
    "methane": "2A1 + 2T2",
    "ethene": "3Ag + B2g + 2B3g + 3B1u + 2B2u + B3u",
    "ethane": "3A1g + 2Eg + 3A2u + 2Eu",
    "allene": "4A1 + 4B2 + 4E",
    "benzene": "3A1g + A2g + B2g + E1g + 4E2g + A2u + 3B1u + B2u + 4E1u + E2u",
    "acetylene": "3Sigma_g+ + Pi_g + 3Sigma_u+ + Pi_u",
    "carbon_dioxide": "3Sigma_g+ + Pi_g + 3Sigma_u+ + 2Pi_u",
    "C60": "3Ag + 5T1g + 5T2g + 8Gg + 11Hg + Au + 7T1u + 7T2u + 8Gu + 9Hu",
}
"""Irreps of the valence orbitals (H 1s, others 2s 2p) of the built-in molecules."""


def random_molecule(name: str, seed: int) -> Atoms:
    """Two or three orbits of unlike atoms in general position, so that nothing more symmetric comes out."""
    rng = np.random.default_rng(seed)
    if name in LINEAR:
        return _moved(_linear(name, rng), rng)
    rotations = standard_group(name).rotations
    numbers: list[int] = []
    positions = np.zeros((0, 3))
    for number in (1, 6, 7, 8) if len(rotations) == 1 else (1, 6) if len(rotations) > 20 else (1, 6, 8):
        orbit = _orbit(rotations, positions, rng)
        numbers += [number] * len(orbit)
        positions = np.vstack([positions, orbit])
    return _moved(Atoms(numbers, positions), rng)


def _orbit(rotations, others, rng):
    """The images of a random point, nowhere near each other or the atoms there are."""
    while True:
        point = rng.normal(size=3)
        point *= rng.uniform(1.3, 3.0) * len(rotations) ** 0.3 / np.linalg.norm(point)
        both = np.vstack([others, rotations @ point])
        if (np.linalg.norm(both[:, None] - both, axis=2) + 9 * np.eye(len(both))).min() > 0.5:
            return rotations @ point


def _linear(name, rng):
    steps = np.cumsum(rng.uniform(1.0, 1.6, size=3))
    if name == "Cinfv":
        return Atoms([1, 6, 8], np.outer(steps, [0, 0, 1]))
    return Atoms([1, 6, 8, 8, 6, 1], np.outer([*-steps[::-1], *steps], [0, 0, 1]))


def _moved(atoms, rng):
    turned = rotate(atoms, random_rotation(rng, improper=bool(rng.integers(2))))
    return permute(translate(turned, rng.normal(size=3)), rng.permutation(len(atoms)))
