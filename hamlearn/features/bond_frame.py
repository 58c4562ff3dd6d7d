"""N-centre features of any order in the frame of a bond: contracted densities of its ends, multiplied and chosen."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import BondDensity, BondFrameFeatures
from hamlearn.density import DensityExpansion
from hamlearn.errors import ArtifactError
from hamlearn.features.bond_rows import Bonds, BondTile
from hamlearn.features.bond_variables import BondContraction, Moments, distance_functions
from hamlearn.o3.monomials import Key, MonomialTree, Variables
from hamlearn.o3.tree_contraction import TreeContraction
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray

Settings = TypeVar("Settings", bound=BondDensity)

MOST_PRODUCTS = 6000
"""Of one symmetry, unless settings or memory say otherwise."""

SITE_THRESHOLD = 10.0
"""Features of sites are fewer for as good an answer: one density, and bonds that hardly change."""


FIRST_SHARE = 1e-6
"""As SMALLEST_SHARE of variables that are stretched: what hardly varies may be what matters."""


class SlopesOf(Protocol):
    """What finds how steep blocks are along variables."""

    def __call__(self, variables: BondVariables[Any], /) -> dict[Bonds, list[Tensor]]:
        """Return mean products of derivatives by the variables of every |m| of kinds of bonds [variable, variable]."""


class Sums(Protocol):
    """Weighted sums of what is made of the variables of bonds."""

    def rows(self, components: Tensor, /) -> Tensor:
        """Return the sums of every key, real parts before imaginary ones where there are both [part, row]."""


class BondVariables(ABC, Generic[Settings]):
    """Densities in the frames of bonds, contracted per pair of elements and |m| to what varies in a training set.

    Args:
        settings: densities and cut-offs.

    Attributes:
        contractions_: of every kind of bonds that occurs.
        charges_: largest |M| that is wanted of it.

    Variables of charge m turn by exp(i m phi) with the roll of a frame, and become their complex conjugates by mirrors
    and inversion; permutations of atoms leave them.

    Source: contraction as in Nigam, Pozdnyakov, Ceriotti, J. Chem. Phys. 153, 121101 (2020).
    """

    SMALLEST_SHARE: ClassVar[float]
    """Of the total variance; components that carry less are dropped."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.expansion_ = DensityExpansion(settings)
        self.contractions_: dict[Bonds, BondContraction] = {}
        self.charges_: dict[Bonds, int] = {}
        self._of_distance = distance_functions(settings)

    @property
    def max_l(self) -> int:
        """Largest l of harmonics."""
        return max([self.settings.max_l, *self.charges_.values()])

    def fit(self, batches: Iterable[Samples], charges: Mapping[Bonds, int], slopes_of: SlopesOf | None = None) -> Self:
        """Learn radial functions, variables and what is made of them, one batch of structures at a time.

        Args:
            batches: training structures.
            charges: largest |M| that is wanted of every kind of bonds; kinds that do not occur are left out.
            slopes_of: what finds how steep blocks are along the variables, see :meth:`BondContraction.stretched`;
                None: variables count as they vary.
        """
        batches = list(batches)
        self.expansion_ = DensityExpansion(self.settings).fit(batches)
        moments = {kind: Moments(kind) for kind in charges}
        for samples in batches:
            for kind, rows in self._tile(samples, list(charges), 0).rows.items():
                moments[kind].add(rows)
        found = {kind: m for kind, m in moments.items() if m.n_rows}
        smallest = min(self.SMALLEST_SHARE, 1.0 if slopes_of is None else FIRST_SHARE)
        self.contractions_ = {kind: m.contraction(self.settings.length, smallest) for kind, m in found.items()}
        self.charges_ = {kind: charges[kind] for kind in self.contractions_}
        if slopes_of is not None:
            for kind, slopes in slopes_of(self).items():
                own = self.contractions_[kind]
                self.contractions_[kind] = own.stretched(slopes, self.settings.relevance, self.SMALLEST_SHARE)
        self._plant()
        return self

    def tile(self, samples: Samples) -> BondTile:
        """Return the bonds of some structures, of all kinds there were in training.

        Raises:
            DomainError: for elements or neighbours that were not in the training set.
        """
        return self._tile(samples, list(self.contractions_), max(self.charges_.values(), default=0))

    def neighbours(self, z: int) -> list[Bonds]:
        """Return the kinds of bonds that an element is seen along."""
        return sorted(kind for kind in self.contractions_ if kind.kind == "site" and kind.first == z)

    def state(self) -> dict[str, Tensor]:
        """Return what was learned, by name."""
        out = self.expansion_.state()
        for kind, contraction in self.contractions_.items():
            named = contraction.state() | {"max_charge": torch.tensor(self.charges_[kind])} | self._chosen(kind)
            named |= self._fingerprint(kind)
            out |= {f"bond.{kind.kind}.{kind.first}.{kind.second}.{name}": x for name, x in named.items()}
        return out

    @classmethod
    def from_state(cls, settings: Settings, state: Mapping[str, Tensor]) -> Self:
        """Rebuild from :meth:`state`; other names are passed over."""
        out = cls(settings)
        out.expansion_ = DensityExpansion.from_state(settings, None, state)
        found: dict[Bonds, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            if name.startswith("bond."):
                _, kind, first, second, rest = name.split(".", 4)
                found.setdefault(Bonds(kind, int(first), int(second)), {})[rest] = tensor
        known = {bonds: own.pop("products", None) for bonds, own in found.items()}
        for bonds, own in found.items():
            out.charges_[bonds] = int(own.pop("max_charge"))
            out._choose(bonds, own)
            out.contractions_[bonds] = BondContraction.from_state(own)
        out._plant()
        for bonds, fingerprint in known.items():
            if fingerprint is not None and not torch.equal(fingerprint, out._fingerprint(bonds)["products"]):
                raise ArtifactError(
                    f"the products of {bonds} are not those the model was fitted with; it was made by a version that "
                    "chose others: train it again"
                )
        return out

    def _fingerprint(self, kind: Bonds) -> dict[str, Tensor]:
        """Return by name what tells which products weights belong to; nothing where there are none."""
        return {}

    def _chosen(self, kind: Bonds) -> dict[str, Tensor]:
        """Return by name what was chosen beside the variables."""
        return {}

    def _choose(self, kind: Bonds, named: dict[str, Tensor]) -> None:
        """Take what :meth:`_chosen` returned out of named tensors."""

    def _tile(self, samples: Samples, kinds: Sequence[Bonds], max_L: int) -> BondTile:
        return BondTile(self.settings, (self.expansion_, self._of_distance), samples, kinds, max_L)

    @abstractmethod
    def n_products(self, kind: Bonds, key: Key) -> int:
        """Return how many weights the sums of a key take."""

    @abstractmethod
    def sums(self, kind: Bonds, weights: Mapping[Key, FloatArray]) -> Sums:
        """Return sums with weights [weight, output] of every key."""

    def _plant(self) -> None:
        """Prepare what is made of the variables of every kind of bonds."""


class BondFrame(BondVariables[BondFrameFeatures]):
    """rho_i^nu x g_ij x rho_j^nu' of all orders to a total one, contracted per pair of elements and |M|.

    The frame of a bond leaves a roll about it and mirrors through planes that hold it, O(2): Clebsch-Gordan coupling
    becomes addition of charges, and all (L, sigma) of one |M| share their features. Atoms are seen along each of their
    bonds, and the features of all bonds are added up.

    Args:
        settings: the section ``model.features`` of kind bond_frame.

    Attributes:
        most_: largest number of products of one symmetry of every kind of bonds, where settings leave it open.

    Source: N-centre features of Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 8 and 10 to 15.
    """

    SMALLEST_SHARE = 1e-5

    def __init__(self, settings: BondFrameFeatures) -> None:
        super().__init__(settings)
        self.trees_: dict[Bonds, MonomialTree] = {}
        self.most_: dict[Bonds, int] = {}

    def products(self, tile: BondTile, kind: Bonds, exchanged: bool = False) -> dict[Key, Tensor]:
        """Return the chosen products of a kind of bonds [feature, row]; those asked for last are kept in the tile."""
        if tile.kept_of != kind:
            tile.kept_of, tile.kept = kind, {}
        if exchanged not in tile.kept:
            components = self.contractions_[kind].components(tile.rows[kind], "j" if exchanged else "i")
            tile.kept[exchanged] = self.trees_[kind].features(components)
        return tile.kept[exchanged]

    def has_products(self, kind: Bonds, key: Key) -> bool:
        """Return whether there are products of a symmetry at all, however small."""
        charges, degree = self.contractions_[kind].charges, self.trees_[kind].degree
        if key == (0, -1):  # the imaginary part of a product of two that differ
            return degree > 1 and int((charges > 0).sum()) > 1
        sums = {0}
        for _ in range(degree):
            sums |= {total + sign * int(m) for total in sums for m in np.unique(charges) for sign in (1, -1)}
        return len(charges) > 0 and key[0] in sums

    def n_products(self, kind: Bonds, key: Key) -> int:
        """Return the number of products of a key."""
        return self.trees_[kind].n_features(key)

    def sums(self, kind: Bonds, weights: Mapping[Key, FloatArray]) -> Sums:
        """Return the sums of products with weights [product, output] of every key."""
        return TreeContraction(self.trees_[kind], weights)

    def _fingerprint(self, kind: Bonds) -> dict[str, Tensor]:
        tree = self.trees_[kind]
        digest = hashlib.sha256(b"".join(tree.factors(key)[0].astype(np.int64).tobytes() for key in tree.keys))
        return {"products": torch.tensor(list(digest.digest()), dtype=torch.uint8)}

    def _chosen(self, kind: Bonds) -> dict[str, Tensor]:
        return {"most": torch.tensor(self.most_[kind])} if kind in self.most_ else {}

    def _choose(self, kind: Bonds, named: dict[str, Tensor]) -> None:
        if "most" in named:
            self.most_[kind] = int(named.pop("most"))

    def _plant(self) -> None:
        """Choose the products of every kind of bonds."""
        s = self.settings
        for kind, contraction in self.contractions_.items():
            order, threshold = s.max_nu_pair, s.threshold
            most = s.max_features or self.most_.get(kind, MOST_PRODUCTS)
            if kind.kind == "site":  # features of all bonds and |M| stand side by side
                order, threshold = s.max_nu_centre - 1, SITE_THRESHOLD * s.threshold
                most = max(1, most // (len(self.neighbours(kind.first)) * (self.charges_[kind] + 1)))
            wanted = range(self.charges_[kind] + 1)
            variables = Variables(contraction.charges, contraction.variances)
            self.trees_[kind] = MonomialTree(variables, tuple(wanted), order, threshold, most)
