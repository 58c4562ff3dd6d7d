"""What hamlearn and other libraries make of the same molecules, for benchmarks side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms

from hamlearn.config import BondFrameFeatures, CoupledFeatures
from hamlearn.features.bond_frame import BondFrame
from hamlearn.features.bond_rows import Bonds
from hamlearn.features.featurizer import Featurizer
from hamlearn.learning.domain import family_counts
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, Irrep

CUTOFF, PAIR_CUTOFF, SMOOTHING, WIDTH, MAX_L, MAX_N = 4.5, 6.0, 0.5, 0.3, 4, 8
IRREPS = [(0, 1), (1, 1), (1, -1), (2, 1), (2, -1)]
PAIRS = ("plus", "minus", "cross")
CHECKED, OUTPUTS = 3, 12  # molecules whose numbers are compared; weighted sums of every symmetry

Molecules = Sequence[Atoms]


@dataclass(frozen=True)
class Work:
    """What is made of some molecules, as arrays or tensors.

    Attributes:
        name: of it.
        ours: by hamlearn, if it has it.
        theirs: by a library, if it has it.
        deviation: of the two.
    """

    name: str
    ours: Callable[[Molecules], Iterable[Any]] | None = None
    theirs: Callable[[Molecules], Iterable[Any]] | None = None
    deviation: float = float("nan")


class Ours:
    """Features of hamlearn, with what is fitted to all molecules."""

    def __init__(self, molecules: Molecules) -> None:
        settings = CoupledFeatures(
            cutoff_angstrom=CUTOFF, pair_cutoff_angstrom=PAIR_CUTOFF, smearing_angstrom=WIDTH, max_l=MAX_L,
            cutoff_width_angstrom=SMOOTHING, max_n=MAX_N, optimal=False, max_channels=None,
        )  # fmt: skip
        samples = Samples.of(molecules)
        self.featurizer = Featurizer(settings).fit([samples])
        self.families = sorted(family_counts(molecules))
        pairs = [f for f in self.families if f.kind in ("plus", "cross")]
        kinds = [Bonds("pair", f.species_i, f.species_j) for f in pairs]
        kinds += [Bonds("site", a, b) for a in samples.elements for b in samples.elements]
        self.frame = BondFrame(BondFrameFeatures()).fit([samples], dict.fromkeys(kinds, 2))
        weights = {
            kind: {key: np.random.default_rng(0).normal(size=(tree.n_features(key), OUTPUTS)) for key in tree.keys}
            for kind, tree in self.frame.trees_.items()
        }
        self.sums_of = {kind: self.frame.sums(kind, w) for kind, w in weights.items()}

    def densities(self, molecules: Molecules) -> Iterable[Any]:
        """Return densities by element [atom, lm, channel]."""
        return self.featurizer.expansion_.densities(Samples.of(molecules)).values()

    def bonds(self, molecules: Molecules) -> Iterable[Any]:
        """Return g_ij of every pair once [pair, lm, n]."""
        samples, made = Samples.of(molecules), self.featurizer.expansion_.pair_functions
        pairs = [f for f in self.families if f.kind in ("plus", "cross")]
        return [made(samples, samples.family(f), (f.species_i, f.species_j)) for f in pairs]

    def features(self, kinds: Sequence[str], irreps: Sequence[Irrep]) -> Callable[[Molecules], Iterable[Any]]:
        """Return what makes the features of some kinds of families [sample, 2L+1, feature]."""
        families = [f for f in self.families if f.kind in kinds]

        def make(molecules: Molecules) -> Iterable[Any]:
            tile = self.featurizer.features(Samples.of(molecules))
            return [tile(family, irrep) for family in families for irrep in irreps]

        return make

    def components(self, molecules: Molecules) -> dict[Bonds, torch.Tensor]:
        """Return contracted densities in the frames of all bonds, by kind [part, row]."""
        rows = self.frame.tile(Samples.of(molecules)).rows
        return {kind: self.frame.contractions_[kind].components(own) for kind, own in rows.items()}

    def variables(self, molecules: Molecules) -> Iterable[torch.Tensor]:
        """Return the same, end to end."""
        return self.components(molecules).values()

    def monomials(self, molecules: Molecules) -> Iterable[torch.Tensor]:
        """Return all products of them that are kept, of |M| <= 2 [product, row]."""
        made = [self.frame.trees_[kind].features(x) for kind, x in self.components(molecules).items()]
        return [torch.view_as_real(x) if x.is_complex() else x for by_key in made for x in by_key.values()]

    def sums(self, molecules: Molecules) -> Iterable[torch.Tensor]:
        """Return weighted sums of all of them, without making any [output, row]."""
        every = self.components(molecules).items()
        made = [self.sums_of[kind](components) for kind, components in every]
        return [torch.view_as_real(x) if x.is_complex() else x for by_key in made for x in by_key.values()]


def deviation(ours: Any, theirs: Sequence[Any]) -> float:
    """Return the largest deviation of scalar products, best factors of theirs, relative to the largest of ours."""
    one, *others = (gram(np.asarray(x)) for x in (ours, *theirs))
    columns = np.stack([np.ones_like(one), *others], axis=1)
    left = one - columns @ np.linalg.lstsq(columns, one, rcond=None)[0]
    return float(np.abs(left).max() / np.abs(one).max())


def gram(features: FloatArray) -> FloatArray:
    """Return scalar products of all rows [sample, M], end to end."""
    rows = features.reshape(-1, features.shape[-1])
    return (rows @ rows.T).ravel()
