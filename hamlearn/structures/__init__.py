"""Geometries in: read and check files, rotate and distort, sample along normal modes, built-in molecules, splits.

A structure is an ``ase.Atoms`` with positions in Å; nothing is added to it and nothing but positions is ever changed.
"""

from __future__ import annotations

from hamlearn.structures.checks import check_structures
from hamlearn.structures.given import Structures, as_structure, as_structures
from hamlearn.structures.library import MOLECULES, molecule
from hamlearn.structures.normal_modes import NormalModes, normal_modes, sample_normal_modes
from hamlearn.structures.read import read_structures
from hamlearn.structures.splits import split, training_orders
from hamlearn.structures.transforms import distort, invert, permute, random_rotation, rotate, translate

__all__ = [
    "MOLECULES",
    "NormalModes",
    "Structures",
    "as_structure",
    "as_structures",
    "check_structures",
    "distort",
    "invert",
    "molecule",
    "normal_modes",
    "permute",
    "random_rotation",
    "read_structures",
    "rotate",
    "sample_normal_modes",
    "split",
    "training_orders",
    "translate",
]
