"""Kernels of atoms and atom pairs for every block of a matrix: t(R) P(k_i(R) + k_j(R)) on O(3), projected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement, zip_longest
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.elements import symbol
from hamlearn.config import KernelSettings, WignerSettings
from hamlearn.density.radial import radial_functions
from hamlearn.errors import ConfigError
from hamlearn.kernels.block_tiles import Kernels, Rotated, Wanted, order_weights, tile_kernels
from hamlearn.kernels.centres import Bonds, Centres
from hamlearn.kernels.environment_kernel import EnvironmentKernel
from hamlearn.structures.families import Family, Kind
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, SpeciesPair

if TYPE_CHECKING:
    from ase import Atoms

ATOMS_OF_ROWS, ATOMS_OF_COLUMNS = 9, 72  # of a tile: what stays in the cache


@dataclass
class BlockKernel:
    """k(ij; i'j') = t(R) P(k_i(R) + k_j(R)) for pairs and P(k_i(R)) for atoms, projected on the (L, sigma) of blocks.

    k_i(R) = <rho_i | R rho_i'> is the kernel of two environments, t(R) that of two bonds: densities of the
    other atom alone. P(x) = sum b^nu x^nu / nu! up to the largest order. Products are not truncated: the grid is exact
    for them. Each k_i is evaluated once for a pair of structures and used by all their blocks. Atoms of different
    elements have kernel 0. For like pairs the kernels of plus and minus are k(ij; i'j') +- k(ij; j'i'). With message
    passing, kernels of single atoms are P(k_i(R)) + sum_{jj'} k(ij; i'j') over all pairs of i and of i'.

    Args:
        settings: densities, orders and mixtures.

    Attributes:
        environments_: fitted densities.
        site_norms_: by species, makes the mean of k_i(1) of a training environment with itself 1.
        bond_norms_: by species pair, does the same for t(1).

    Every kernel obeys k(R A, S B) = s D^L(R) k D^L(S)^T, s = 1 for proper and sigma for improper R S, and is positive
    semi-definite.
    """

    settings: WignerSettings
    environments_: EnvironmentKernel = field(init=False)
    site_norms_: dict[int, float] = field(default_factory=dict)
    bond_norms_: dict[SpeciesPair, float] = field(default_factory=dict)

    def fit(self, structures: Sequence[Atoms]) -> BlockKernel:
        """Find density channels and norms from training structures.

        Raises:
            ConfigError: for mixtures that differ between the two atoms of a like pair.
        """
        check_mixtures(self.settings, structures)
        self.environments_ = EnvironmentKernel(_kernel(self.settings)).fit(structures)
        self.site_norms_, self.bond_norms_ = {}, {}
        centres = self.centres(structures)
        for z, c in centres.densities.items():
            self.site_norms_[z] = _inverse_root(float((c**2).sum()) / len(c))
        for pair, bonds in centres.bonds.items():
            self.bond_norms_[pair] = _inverse_root(float((bonds.radial**2).sum()) / max(len(bonds), 1))
        return self

    def centres(self, structures: Sequence[Atoms]) -> Centres:
        """Return all atoms and pairs of structures; pairs beyond the pair cut-off have kernel 0.

        Raises:
            DomainError: for elements that were not in the training set.
        """
        samples = Samples.of(structures)
        env = self.environments_.environments(structures)
        env = replace(env, densities={z: c * self.site_norms_.get(z, 1.0) for z, c in env.densities.items()})
        bonds, messages = {}, {}
        for pair in combinations_with_replacement(env.species, 2):
            pairs = samples.family(Family("plus" if pair[0] == pair[1] else "cross", *pair))
            vectors = samples.vectors(pairs).numpy()
            r = np.linalg.norm(vectors, axis=1)
            bonds[pair] = Bonds(
                samples.structure[pairs.i],
                samples.row[pairs.i],
                samples.row[pairs.j],
                np.ascontiguousarray((vectors / r[:, None])[:, [1, 2, 0]]),
                self._bond_functions(r) * self.bond_norms_.get(pair, 1.0),
            )
            if self.settings.message_passing:
                messages[pair] = bonds[pair].select(np.flatnonzero(r < self.settings.pair_cutoff_angstrom))
        sites = {z: np.arange(len(own)) for z, own in env.structure.items()}
        return Centres(env, sites, bonds, messages)

    def between(self, a: Centres, b: Centres, wanted: Wanted) -> Kernels:
        """Return k^{L sigma}_{MM'} of all samples of a family [A, 2L+1, B, 2L+1], by (family, (L, sigma)).

        Args:
            a: samples of the rows.
            b: samples of the columns; half the work if ``a is b``.
            wanted: (L, sigma) needed of every family.
        """
        out: Kernels = {}
        for family, irreps in wanted.items():
            for irrep in irreps:
                m = 2 * irrep[0] + 1
                out[family, irrep] = np.zeros((a.count(family), m, b.count(family), m))
        same = a is b
        columns = b.ranges(2 * ATOMS_OF_ROWS if same else ATOMS_OF_COLUMNS)
        lefts = [a.part(*row) for row in (columns if same else a.ranges(ATOMS_OF_ROWS))]
        for position, column in enumerate(columns):
            right, to = b.part(*column)
            rotated: Rotated = {}
            for row, (left, at) in enumerate(lefts[: position + 1] if same else lefts):
                for (family, irrep), k in tile_kernels(self.settings, left, right, wanted, rotated).items():
                    out[family, irrep][at[family], :, to[family]] = k
                    if same and row != position:
                        out[family, irrep][to[family], :, at[family]] = k.transpose(2, 3, 0, 1)
        return out

    def largest(self, kind: Kind) -> float:
        """Return P(1) of atoms or P(2) of pairs: about the largest value of a kernel, by its normalisation."""
        centre, pair = order_weights(self.settings)
        n_atoms = 1 if kind == "on_site" else 2
        weights = centre if kind == "on_site" else pair
        return sum(w * float(n_atoms) ** nu for nu, w in enumerate(weights))

    def tensors(self) -> dict[str, Tensor]:
        """Return what a fitted kernel needs beside its settings, by name."""
        norms = {f"site_norm.{z}": x for z, x in self.site_norms_.items()}
        norms |= {f"bond_norm.{a}.{b}": x for (a, b), x in self.bond_norms_.items()}
        return self.environments_.tensors() | {n: torch.tensor(x, dtype=torch.float64) for n, x in norms.items()}

    @classmethod
    def from_tensors(cls, settings: WignerSettings, tensors: Mapping[str, Tensor]) -> BlockKernel:
        """Return the fitted kernel whose :meth:`tensors` these are; other names are ignored."""
        out = cls(settings)
        out.environments_ = EnvironmentKernel.from_tensors(_kernel(settings), 1.0, tensors)
        for name, value in tensors.items():
            kind, *species = name.split(".")
            if kind == "site_norm":
                out.site_norms_[int(species[0])] = float(value)
            elif kind == "bond_norm":
                out.bond_norms_[int(species[0]), int(species[1])] = float(value)
        return out

    def _bond_functions(self, r: FloatArray) -> FloatArray:
        """Return g with t(R) = sum_l g_l(r) g_l(r') P_l(cosine) [pair, l, function]."""
        functions = radial_functions(self.settings.bond())(torch.from_numpy(r)).numpy()
        return functions * np.sqrt((2 * np.arange(self.settings.max_l + 1) + 1) / (4 * np.pi))[:, None]


def check_mixtures(settings: WignerSettings, structures: Sequence[Atoms]) -> None:
    """Refuse two different mixtures for the two atoms of a like pair: its kernels would not be positive.

    Raises:
        ConfigError: naming the element and the slot.
    """
    like = sorted({int(z) for atoms in structures for z, n in Counter(atoms.numbers.tolist()).items() if n > 1})
    first = order_weights(settings)[1]
    second = first if settings.mixture_j is None else settings.mixture_j
    if like and any(a != b for a, b in zip_longest(first, second, fillvalue=0.0)):
        raise ConfigError(
            f"model.kernel.mixture_j {list(second)} differs from that of the first atom, {first}, but both atoms "
            f"of a pair of {symbol(like[0])} are alike: its kernels would not be positive; give slot j the mixture of "
            "slot i, or drop mixture_j"
        )


def _kernel(settings: WignerSettings) -> KernelSettings:
    """Return settings of a kernel whose environments have the densities of blocks."""
    return KernelSettings(**settings.density().model_dump())


def _inverse_root(x: float) -> float:
    return x**-0.5 if x > 0 else 1.0
