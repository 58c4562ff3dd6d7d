"""Types that every room uses, defined once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

Irrep: TypeAlias = tuple[int, int]
"""(L, sigma): under R in O(3), A -> s D^L(R) A with s = 1 for proper and sigma for improper R."""

SpeciesPair: TypeAlias = tuple[int, int]
"""Atomic numbers of a centre and a neighbour, or of the two atoms of a pair, the smaller one first."""

Echo: TypeAlias = Callable[[str], object] | None
"""Receives lines about the progress; None for silence."""
