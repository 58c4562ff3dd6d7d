"""The kernel of a Gaussian process in the frames of bonds, and the bonds of a training set it is expanded in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import BondFrameKernel
from hamlearn.features.bond_frame import BondVariables, Sums
from hamlearn.features.bond_rows import Bonds, BondTile
from hamlearn.o3.monomials import Key
from hamlearn.o3.rolls import Points, RollAverage
from hamlearn.o3.tree_contraction import real_rows
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray

CONSTANT = 1.0
"""Prior variance of a constant, in units of that of the function, where one has the symmetry."""


@dataclass(frozen=True, eq=False)
class BondSet:
    """Bonds of one kind, structure by structure.

    Attributes:
        components: variables of every bond, see :meth:`BondContraction.components` [part, row].
        exchanged: the same seen from the other end, for like pairs [part, row].
        weight: falls to 0 at the cut-off [row].
        rotations: D^l of the frames [row, 2l+1, 2l+1].
        sample: position among the pairs of the family, or of the atom among those of its element, ascending [row].
    """

    components: Tensor
    exchanged: Tensor | None
    weight: Tensor
    rotations: list[Tensor]
    sample: IntArray
    _points: dict[bool, Points] = field(default_factory=dict, repr=False)

    def points(self, charges: IntArray, exchanged: bool = False) -> Points:
        """Return the variables laid out for products, made once."""
        if exchanged not in self._points:
            components = self.exchanged if exchanged else self.components
            assert components is not None
            self._points[exchanged] = Points.of(components, charges)
        return self._points[exchanged]

    def __len__(self) -> int:
        """Return the number of bonds."""
        return len(self.sample)

    def select(self, rows: IntArray | slice, sample: IntArray | None = None) -> BondSet:
        """Return some rows, with other samples if they are given."""
        index = torch.arange(len(self))[rows]
        other = None if self.exchanged is None else self.exchanged[:, index]
        rotations = [d[index] for d in self.rotations]
        kept = self.sample[rows] if sample is None else sample
        return BondSet(self.components[:, index], other, self.weight[index], rotations, kept)

    def of_samples(self, start: int, stop: int) -> BondSet:
        """Return the bonds of samples start ... stop - 1, counted anew."""
        first, last = np.searchsorted(self.sample, [start, stop])
        own = slice(int(first), int(last))
        return self.select(own, self.sample[own] - start)

    def only(self, samples: IntArray) -> BondSet:
        """Return the bonds of some samples, ascending, counted anew."""
        rows = np.flatnonzero(np.isin(self.sample, samples))
        return self.select(rows, np.searchsorted(samples, self.sample[rows]))

    @classmethod
    def joined(cls, sets: Sequence[BondSet], counts: Sequence[int]) -> BondSet:
        """Return sets one after another; counts are the numbers of samples in each."""
        starts = np.cumsum([0, *counts[:-1]])
        others = [s.exchanged for s in sets if s.exchanged is not None]
        return cls(
            torch.cat([s.components for s in sets], dim=1),
            torch.cat(others, dim=1) if others else None,
            torch.cat([s.weight for s in sets]),
            [torch.cat(d) for d in zip(*(s.rotations for s in sets), strict=True)],
            np.concatenate([s.sample + start for s, start in zip(sets, starts, strict=True)]),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return everything by name."""
        named = {"components": self.components, "weight": self.weight, "sample": torch.from_numpy(self.sample)}
        other = {} if self.exchanged is None else {"exchanged": self.exchanged}
        return named | other | {f"rotation.{l}": d for l, d in enumerate(self.rotations)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> BondSet:
        """Return the set whose :meth:`tensors` these are."""
        n = sum(name.startswith("rotation.") for name in tensors)
        rotations = [tensors[f"rotation.{l}"] for l in range(n)]
        kept = (tensors["components"], tensors.get("exchanged"), tensors["weight"])
        return cls(*kept, rotations, tensors["sample"].numpy())


@dataclass(frozen=True, eq=False)
class BondBasis:
    """All bonds of some structures.

    Attributes:
        sets: of every kind that occurs.
        counts: numbers of samples, all pairs of the two elements or atoms of the first, of every kind.
    """

    sets: dict[Bonds, BondSet]
    counts: dict[Bonds, int]

    def tensors(self) -> dict[str, Tensor]:
        """Return everything by name."""
        out: dict[str, Tensor] = {}
        for kind, own in self.sets.items():
            named = own.tensors() | {"n_samples": torch.tensor(self.counts[kind])}
            out |= {f"basis.{kind.kind}.{kind.first}.{kind.second}.{name}": x.contiguous() for name, x in named.items()}
        return out

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> BondBasis:
        """Return the basis whose :meth:`tensors` are among these."""
        found: dict[Bonds, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("basis."):
                _, kind, first, second, rest = name.split(".", 4)
                found.setdefault(Bonds(kind, int(first), int(second)), {})[rest] = tensor
        counts = {kind: int(own.pop("n_samples")) for kind, own in found.items()}
        return cls({kind: BondSet.from_tensors(own) for kind, own in found.items()}, counts)


class BondKernel(BondVariables[BondFrameKernel]):
    """k_M(a, b) = mean of D_M(g) F(|x_a - g x_b|) over the rolls and mirrors g of the frame of a bond.

    x are the contracted densities of both ends of a bond a, or of one end for the blocks of that atom; F, a Matern
    function or a Gaussian, sees all orders at once, where features have them one by one. For the Gaussian the
    kernels are those of all products of variables, without an end.

    Args:
        settings: the section ``model.kernel`` of kind bond_frame.

    Attributes:
        basis_: bonds that predictions are expanded in.

    Values transform as components in frames do: a roll of a by phi multiplies them by exp(i M phi), its mirror
    conjugates, whatever roll the frame of b has; permutations of atoms leave them, exchange of ends of like atoms goes
    into another copy.

    Source: kernels as in Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 4.9 and 4.17,
    averaged over a group as in Glielmo, Sollich, De Vita, Phys. Rev. B 95, 214302 (2017), eq. 9.
    """

    SMALLEST_SHARE = 1e-6  # at 1e-5 levels of ethanol are 1% worse, and predictions hardly cheaper

    basis_: BondBasis

    def seen(self, batches: Iterable[Samples]) -> BondBasis:
        """Return all bonds of some structures, of the kinds there were in training."""
        found: dict[Bonds, list[BondSet]] = {kind: [] for kind in self.contractions_}
        counts: dict[Bonds, list[int]] = {kind: [] for kind in self.contractions_}
        for samples in batches:
            tile = self.tile(samples)
            for kind in found:
                found[kind].append(self.of_tile(tile, kind))
                counts[kind].append(n_samples(samples, kind))
        sets = {kind: BondSet.joined(own, counts[kind]) for kind, own in found.items()}
        return BondBasis(sets, {kind: sum(n) for kind, n in counts.items()})

    def of_tile(self, tile: BondTile, kind: Bonds) -> BondSet:
        """Return the bonds of a kind."""
        rows, contraction = tile.rows[kind], self.contractions_[kind]
        other = contraction.components(rows, "j") if kind.is_like else None
        rotations = rows.rotations[: self.charges_[kind] + 1]  # no block needs more
        return BondSet(contraction.components(rows), other, rows.weight, rotations, rows.sample)

    def average(self, keys: Iterable[Key]) -> RollAverage:
        """Return the average over rolls and mirrors."""
        return RollAverage(self.settings.form, self.settings.rolls, tuple(keys))

    def between(
        self, kind: Bonds, a: BondSet, b: BondSet, keys: Sequence[Key], exchanged: bool = False
    ) -> dict[Key, FloatArray]:
        """Return the kernels of bonds in their frames, without weights [row of a, part, row of b, part].

        Args:
            kind: of the bonds.
            a: rows.
            b: columns.
            keys: M, and for M = 0 the symmetry under mirrors.
            exchanged: a seen from the other end.
        """
        charges = self.contractions_[kind].charges
        found = self.average(keys).between(a.points(charges, exchanged), b.points(charges))
        return {key: k.numpy() for key, k in found.items()}

    def n_products(self, kind: Bonds, key: Key) -> int:
        """Return the number of rows of the basis: real and imaginary part for M > 0."""
        return len(self.basis_.sets[kind]) * (2 if key[0] else 1)

    def sums(self, kind: Bonds, weights: Mapping[Key, FloatArray]) -> Sums:
        """Return sum_b k(a, b) w_b with weights [row of the basis, output] of every key."""
        return _KernelSums(self, kind, weights)


class _KernelSums:
    """Kernels with the basis times weights; never held."""

    def __init__(self, kernel: BondKernel, kind: Bonds, weights: Mapping[Key, FloatArray]) -> None:
        self._dtype = getattr(torch, kernel.settings.precision)
        self._charges = kernel.contractions_[kind].charges
        self._basis = Points.of(kernel.basis_.sets[kind].components, self._charges, self._dtype)
        self._average = kernel.average(weights)
        self._weights = {
            key: torch.from_numpy(w.T.reshape(w.shape[1], len(self._basis), 2 if key[0] else 1)).transpose(1, 2)
            for key, w in weights.items()
        }

    def rows(self, components: Tensor, /) -> Tensor:
        """Return the sums of every key in float64, real parts before imaginary ones [part, row]."""
        points = Points.of(components, self._charges, self._dtype)
        return real_rows(self._average.weighted(points, self._basis, self._weights))


def n_samples(samples: Samples, kind: Bonds) -> int:
    """Return the number of samples that bonds of a kind belong to: all pairs of the two elements, or atoms."""
    if kind.kind == "site":
        return int((samples.species == kind.first).sum())
    return len(samples.family(kind.family))
