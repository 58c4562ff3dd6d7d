"""Neighbour densities, their single terms and their derivatives, in contracted radial functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.elements import symbol
from hamlearn.angular.harmonics import harmonics_with_gradients, spherical_harmonics
from hamlearn.config import DensitySettings
from hamlearn.density.contraction import coupled, covariance_of, joint, pair_means, separate, stacked, summed
from hamlearn.density.radial import RadialFunctions, radial_functions
from hamlearn.errors import DomainError
from hamlearn.structures.samples import Pairs, Samples
from hamlearn.types import IntArray, SpeciesPair


@dataclass(frozen=True)
class Gradients:
    """dc(i)/dr_j of every neighbour j of the atoms of one species; dc(i)/dr_i is minus their sum.

    Attributes:
        row: row of the centre among the atoms of its species, ascending [pair].
        centre: flat index of the centre [pair].
        neighbour: flat index of the neighbour [pair].
        values: [pair, 3 (x, y, z), (max_l + 1)^2, q].
    """

    row: IntArray
    centre: IntArray
    neighbour: IntArray
    values: Tensor


@dataclass
class DensityExpansion:
    """c_{q l m}(i) = sum_j f(r_ij) R_ql(r_ij) Y_lm(r_ij) over the neighbours j of i, and its single terms g_ij.

    Fitting finds the contractions R_ql of the radial functions that carry most of the densities of the training set:
    for each species of neighbour by itself, with channels side by side (max_channels null) and a scale that makes the
    mean squared norm of the densities of each centre species 1, or for all species of neighbours together, with one
    scale for all densities.

    Attributes:
        settings: cut-off, widths, radial functions and sizes.
        pair_cutoff_angstrom: of g_ij; None where they are not needed.
        contraction_: (centre species, neighbour species) -> [l, primitive, q], scaled.
        pair_: the same for g_ij of (smaller, larger) species.
        scale_: the one scale of a joint contraction, contained in it.

    Densities and g_ij transform as A -> D^l(R) A for R in O(3), are invariant to translations and follow permutations.
    They are differentiable functions of ``Samples.positions``, of its dtype and on its device.
    """

    settings: DensitySettings
    pair_cutoff_angstrom: float | None = None
    contraction_: dict[SpeciesPair, Tensor] = field(default_factory=dict)
    pair_: dict[SpeciesPair, Tensor] = field(default_factory=dict)
    scale_: float = 1.0

    @property
    def n_primitive(self) -> int:
        """Number of radial functions before contraction."""
        return self._radial.n_functions

    @cached_property
    def neighbours(self) -> set[SpeciesPair]:
        """Elements (centre, neighbour) that the densities of the training set hold, or that are like those."""
        return {pair for pair, contraction in self.contraction_.items() if contraction.any()}

    @cached_property
    def most_channels(self) -> int:
        """Number of channels of the widest density of any species."""
        return max((self.n_channels(z) for z, _ in self.contraction_), default=0)

    def n_channels(self, z: int) -> int:
        """Return the number of channels of the density around a species; 0 if it never has neighbours."""
        return self._n_q(z) * len(self._slots(z))

    def fit(self, batches: Iterable[Samples]) -> DensityExpansion:
        """Find contractions and scales from the structures of all batches, one batch at a time."""
        batches = list(batches)
        for name in ("neighbours", "most_channels", "_of_lm"):  # of an earlier fit
            vars(self).pop(name, None)
        species = sorted({z for samples in batches for z in samples.elements})
        total: dict[int, Tensor] = {}
        count: dict[int, int] = {}
        for samples in batches:
            primitive = self._primitive_densities(samples, species)
            for z in samples.elements:
                c = primitive[samples.of_element(z)]
                total[z] = total.get(z, 0.0) + covariance_of(c, self.settings.max_l)
                count[z] = count.get(z, 0) + len(c)
        if self._is_joint:
            self.contraction_, self.scale_ = joint(total, sum(count.values()), species, self.settings)
        else:
            own = {z: c.unflatten(2, (len(species), -1)).unflatten(1, (len(species), -1)) for z, c in total.items()}
            blocks = {(z, a): own[z][:, k, :, k] / count[z] for z in sorted(own) for k, a in enumerate(species)}
            means = {pair: mean for pair, mean in blocks.items() if mean.any()}
            self.contraction_ = separate(means, {(z, a): z for z, a in means}, self.settings)
        if self.pair_cutoff_angstrom is not None:
            means = pair_means(batches, self._pair_radial, self.settings.max_l)
            self.pair_ = separate(means, {pair: pair for pair in means}, self.settings)
        return self

    def densities(self, samples: Samples) -> dict[int, Tensor]:
        """Return the density of every atom, by species of the atom [atom, (max_l + 1)^2, q].

        Args:
            samples: atoms; they keep their order within a species.

        Raises:
            DomainError: for elements or neighbours that were not in the training set.
        """
        self._check(samples)
        if self._is_joint:
            return self._joint_densities(samples)
        out = {}
        for z, pairs in self._by_centre(samples):
            rows, n_atoms = samples.row[pairs.i], len(samples.of_element(z))
            slots = self._slots(z)
            terms = self._terms(samples, pairs, z)
            out[z] = summed(terms, rows, n_atoms, self._slot(samples.species[pairs.j], slots), len(slots))
        return out

    def single_neighbours(self, samples: Samples) -> dict[int, tuple[Pairs, Tensor]]:
        """Return what every neighbour adds to the density, by species of the centre [pair, (max_l + 1)^2, q]."""
        self._check(samples)
        out = {}
        for z, pairs in self._by_centre(samples):
            terms = self._terms(samples, pairs, z)
            out[z] = pairs, self._side_by_side(terms, z, samples.species[pairs.j])
        return out

    def gradients(self, samples: Samples) -> dict[int, Gradients]:
        """Return the derivatives of every density with respect to the positions of its neighbours, by species, Å^-1."""
        self._check(samples)
        out = {}
        for z, pairs in self._by_centre(samples):
            vectors, species = samples.vectors(pairs), samples.species[pairs.j]
            r = torch.linalg.norm(vectors, dim=1)
            y, dy = harmonics_with_gradients(vectors, self.settings.max_l)  # [pair, lm], [pair, 3, lm]
            functions = self._radial.with_slopes(r)
            radial, slope = (self._contracted(f, z, species)[:, self._l_of_lm] for f in functions)  # [pair, lm, q]
            unit = vectors / r[:, None]
            values = dy[..., None] * radial[:, None] + unit[:, :, None, None] * (slope * y[..., None])[:, None]
            values = self._side_by_side(values, z, species)
            out[z] = Gradients(samples.row[pairs.i], pairs.i, pairs.j, values)
        return out

    def pair_functions(self, samples: Samples, pairs: Pairs, species: SpeciesPair) -> Tensor:
        """Return g_ij = f(r_ij) R_nl(r_ij) Y_lm(r_ij) [pair, (max_l + 1)^2, n]; zero beyond the pair cut-off.

        Args:
            samples: atoms.
            pairs: of one pair of species.
            species: of i and j, the smaller atomic number first.

        Raises:
            DomainError: for a pair of species that was not in the training set.
        """
        if species not in self.pair_:
            raise DomainError(
                f"pairs of elements {species} were never seen in training; add molecules with both to the training set"
            )
        vectors = samples.vectors(pairs)
        primitive = self._pair_radial(torch.linalg.norm(vectors, dim=1))
        radial = torch.einsum("pln,lnq->plq", primitive, self.pair_[species].to(primitive))
        return self._with_harmonics(radial, vectors)

    def uncontracted(self) -> DensityExpansion:
        """Return the expansion that leaves nothing of a density out, on the same scale.

        The channels of a fit carry every kernel with a training density, but not what is new in an environment: that
        is what the kernel of an environment with itself needs, where uncertainties start from.
        """
        n = self.n_primitive
        if self._is_joint:
            species = sorted({z for z, _ in self.contraction_})
            columns = (self.scale_ * coupled(species, self.settings, n)).T.split(n)
            own = {(z, a): u for z in species for a, u in zip(species, columns, strict=True)}
        else:
            own = {p: torch.linalg.norm(u[0, :, 0]) * torch.eye(n).to(u) for p, u in self.contraction_.items()}
        each_l = {pair: u.repeat(self.settings.max_l + 1, 1, 1) for pair, u in own.items()}
        return DensityExpansion(self.settings, self.pair_cutoff_angstrom, each_l, self.pair_, self.scale_)

    def state(self) -> dict[str, Tensor]:
        """Return what was learned, by name."""
        out = {f"density.{z}.{a}": u for (z, a), u in self.contraction_.items()}
        out |= {f"pair.{z}.{a}": u for (z, a), u in self.pair_.items()}
        return out | ({"scale": torch.tensor(self.scale_, dtype=torch.float64)} if self._is_joint else {})

    @classmethod
    def from_state(
        cls, settings: DensitySettings, pair_cutoff_angstrom: float | None, state: Mapping[str, Tensor]
    ) -> DensityExpansion:
        """Return the fitted expansion whose :meth:`state` this is; other names are ignored."""
        out = cls(settings, pair_cutoff_angstrom, scale_=float(state.get("scale", 1.0)))
        for name, tensor in state.items():
            kind, *species = name.split(".")
            if kind in ("density", "pair"):
                (out.contraction_ if kind == "density" else out.pair_)[int(species[0]), int(species[1])] = tensor
        return out

    @property
    def _is_joint(self) -> bool:
        return self.settings.max_channels is not None

    @cached_property
    def _radial(self) -> RadialFunctions:
        return radial_functions(self.settings)

    @cached_property
    def _pair_radial(self) -> RadialFunctions:
        settings = self.settings.density().model_copy(update={"cutoff_angstrom": self.pair_cutoff_angstrom})
        return radial_functions(settings)

    @cached_property
    def _l_of_lm(self) -> Tensor:
        with torch.inference_mode(False):
            return torch.tensor([l for l in range(self.settings.max_l + 1) for _ in range(2 * l + 1)])

    def _check(self, samples: Samples) -> None:
        cutoff = self.settings.cutoff_angstrom
        unknown = sorted(set(samples.elements) - {z for z, _ in self.contraction_}) if self._is_joint else []
        if unknown:
            raise DomainError(f"elements {unknown} were not in the training set; add such molecules to it")
        missing = sorted(samples.neighbours(cutoff) - self.neighbours)
        if missing:
            named = ", ".join(f"{symbol(a)} near {symbol(z)}" for z, a in missing)
            remedy = ", or set element_likeness" if self._is_joint else ""
            raise DomainError(
                f"{named} within {cutoff:g} Å: no training structure has such neighbours; add some{remedy}"
            )

    def _by_centre(self, samples: Samples) -> Iterator[tuple[int, Pairs]]:
        """Yield every species and the pairs around its atoms."""
        pairs = samples.within(self.settings.cutoff_angstrom)
        centre = samples.species[pairs.i]
        for z in samples.elements:
            yield z, pairs.select(centre == z)

    def _n_q(self, z: int) -> int:
        """Number of contracted radial functions around a species."""
        return next((u.shape[2] for (centre, _), u in self.contraction_.items() if centre == z), 0)

    def _slots(self, z: int) -> list[int]:
        """Return the species of neighbours whose channels stand side by side; one for all in a joint contraction."""
        species = sorted(a for centre, a in self.contraction_ if centre == z)
        return species[:1] if self._is_joint else species

    def _slot(self, species: IntArray, slots: list[int]) -> IntArray:
        """Return which of the blocks of channels each neighbour adds to [pair]."""
        return np.zeros(len(species), dtype=np.int64) if len(slots) <= 1 else np.searchsorted(slots, species)

    def _side_by_side(self, values: Tensor, z: int, species: IntArray) -> Tensor:
        """Return values of single neighbours [pair, ..., q] among the channels of all slots, the others zero."""
        slots = self._slots(z)
        if len(slots) <= 1:
            return values
        out = values.new_zeros((*values.shape[:-1], len(slots), values.shape[-1]))
        out[torch.arange(len(values)), ..., torch.from_numpy(self._slot(species, slots)), :] = values
        return out.flatten(-2)

    def _terms(self, samples: Samples, pairs: Pairs, z: int) -> Tensor:
        """Return f(r) R_ql(r) Y_lm(r) of the neighbours of one species of centres [pair, lm, q]."""
        vectors = samples.vectors(pairs)
        primitive = self._radial(torch.linalg.norm(vectors, dim=1))
        return self._with_harmonics(self._contracted(primitive, z, samples.species[pairs.j]), vectors)

    def _with_harmonics(self, radial: Tensor, vectors: Tensor) -> Tensor:
        """Return R(r) Y_lm(r) [pair, lm, q] of radial values [pair, l, q]."""
        return radial[:, self._l_of_lm] * spherical_harmonics(vectors, self.settings.max_l)[:, :, None]

    def _contracted(self, primitive: Tensor, z: int, species: IntArray) -> Tensor:
        """Return radial functions of neighbours of several species, contracted for one centre [pair, l, q]."""
        out = primitive.new_zeros((*primitive.shape[:2], self._n_q(z)))
        for a in np.unique(species):
            chosen = torch.from_numpy(np.flatnonzero(species == a))
            contraction = self.contraction_[z, int(a)].to(primitive)
            out[chosen] = torch.einsum("pln,lnq->plq", primitive[chosen], contraction)
        return out

    def _primitive_densities(self, samples: Samples, species: list[int]) -> Tensor:
        """Return densities before contraction, channels by species of the neighbour [atom, lm, species x primitive]."""
        pairs = samples.within(self.settings.cutoff_angstrom)
        vectors = samples.vectors(pairs)
        terms = self._with_harmonics(self._radial(torch.linalg.norm(vectors, dim=1)), vectors)
        return summed(terms, pairs.i, len(samples.species), self._slot(samples.species[pairs.j], species), len(species))

    def _joint_densities(self, samples: Samples) -> dict[int, Tensor]:
        """Return the densities of all atoms, contracted after neighbours are summed over."""
        primitive = self._primitive_densities(samples, sorted({a for _, a in self.contraction_}))
        out = {}
        for z in samples.elements:
            own = primitive[samples.of_element(z)].transpose(0, 1)  # [lm, atom, species x primitive]
            out[z] = (own @ self._of_lm[z].to(own)).transpose(0, 1)
        return out

    @cached_property
    def _of_lm(self) -> dict[int, Tensor]:
        """The joint contraction around every species [lm, species x primitive, q]."""
        with torch.inference_mode(False):  # whoever asks first, derivatives may be asked for later
            return {z: u[self._l_of_lm] for z, u in stacked(self.contraction_).items()}
