"""One molecule's matrix as a sparse linear map of the values of its blocks, for predictions one at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.angular.ao_order import Orbitals, Shell
from hamlearn.angular.clebsch_gordan import clebsch_gordan
from hamlearn.blocks.blocks import MatrixLayout
from hamlearn.blocks.keys import BlockKey, couplings, families, shell_pairs
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Assembly:
    """H[place] += coefficient x values[source], the map of :func:`hamlearn.blocks.assemble_matrices`.

    Attributes:
        place: in the flattened matrices of all channels [term].
        source: among the values [term].
        coefficient: of the coupling [term].
        shape: of the matrix, [ao, ao], or [channel, ao, ao] where there are several.
    """

    place: IntArray
    source: IntArray
    coefficient: FloatArray
    shape: tuple[int, ...]

    @classmethod
    def of(cls, numbers: IntArray, columns: Sequence[Sequence[BlockKey]], orbitals: Orbitals) -> Assembly:
        """Return the map of a molecule of these atomic numbers [atom].

        Args:
            numbers: atomic numbers [atom].
            columns: keys of the columns of every array [sample x (2L+1), column] of values, all of one family and L.
            orbitals: shells and order of all species.
        """
        layout = MatrixLayout([numbers], orbitals)
        n_ao, sources, start = int(layout.n_ao[0]), dict[BlockKey, IntArray](), 0
        for keys in columns:
            n_rows = keys[0].family.count(numbers) * (2 * keys[0].L + 1)
            own = start + np.arange(n_rows * len(keys)).reshape(-1, 2 * keys[0].L + 1, len(keys))
            sources |= {key: own[:, :, k] for k, key in enumerate(keys)}
            start += own.size
        n_channels = 1 + max((key.channel for key in sources), default=0)
        terms = [
            (channel * n_ao**2 + place, source, value)
            for family in families(sorted(set(numbers.tolist())))
            for a, b in shell_pairs(family, orbitals)
            for channel in range(n_channels)
            for place, source, value in _terms(layout, family, (a, b), channel, sources)
        ]
        nothing = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
        place, source, value = (np.concatenate(x) for x in zip(nothing, *terms, strict=True))
        return cls(place, source, value, (n_ao, n_ao) if n_channels == 1 else (n_channels, n_ao, n_ao))

    def __call__(self, values: FloatArray) -> FloatArray:
        """Return the matrix of all values, the arrays of ``columns`` flattened end to end."""
        flat = np.bincount(self.place, self.coefficient * values[self.source], minlength=math.prod(self.shape))
        return np.asarray(flat, dtype=np.float64).reshape(self.shape)


def _terms(
    layout: MatrixLayout, family: Family, shells: tuple[Shell, Shell], channel: int, sources: dict[BlockKey, IntArray]
) -> list[tuple[IntArray, IntArray, FloatArray]]:
    """Return places, sources and coefficients of the blocks of two shells; with a transpose unless it is the same."""
    a, b = shells
    if family.kind == "minus":
        rows = Family("plus", family.species_i, family.species_j).samples(layout.numbers)
    else:
        rows = family.samples(layout.numbers)
    ends = (family.species_i, a), (family.species_j, b)
    places = [layout.index(rows, *ends)]
    is_like, is_same = family.kind in ("plus", "minus"), family.kind != "cross" and a == b
    if is_like and not is_same:
        places.append(layout.index(rows[:, [0, 2, 1]], *ends))
    out = []
    for L in couplings(family, a, b):
        key, c = BlockKey.of(family, a, b, L, channel), clebsch_gordan(a[1], b[1], L)
        if key not in sources:
            continue
        ma, mb, M = np.nonzero(c)
        value = np.tile(c[ma, mb, M] / (2**0.5 if is_like else 1.0), len(rows))
        for k, both in enumerate(places):
            sign = -1.0 if k == 1 and family.kind == "minus" else 1.0
            for place in both[:1] if family.kind == "on_site" and is_same else both:
                out.append((place[:, ma, mb].ravel(), sources[key][:, M].ravel(), sign * value))
    return out
