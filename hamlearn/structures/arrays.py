"""Many structures as arrays, as files of models keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms


def structures_as_arrays(structures: Sequence[Atoms]) -> dict[str, Any]:
    """Return sizes [structure], numbers [atom] and positions [atom, 3] of all atoms, Å; no labels and cells."""
    return {
        "sizes": np.array([len(atoms) for atoms in structures], dtype=np.int64),
        "numbers": np.concatenate([np.zeros(0, dtype=np.int64), *(atoms.numbers for atoms in structures)]),
        "positions": np.concatenate([np.zeros((0, 3)), *(atoms.positions for atoms in structures)]),
    }


def structures_of_arrays(arrays: Mapping[str, Any]) -> list[Atoms]:
    """Return the structures whose :func:`structures_as_arrays` these are."""
    ends = np.cumsum(arrays["sizes"])[:-1]
    numbers, positions = (np.split(arrays[name], ends) for name in ("numbers", "positions"))
    return [Atoms(z, x) for z, x in zip(numbers, positions, strict=True)][: len(arrays["sizes"])]
