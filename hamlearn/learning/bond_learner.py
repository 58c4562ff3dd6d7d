"""What learners in the frames of bonds share: what they fit together, its state, and the reach of their pairs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor

from hamlearn.config import BondDensity, ModelSettings
from hamlearn.learning.bond_problems import Problem, alphas_of, problems_of
from hamlearn.learning.domain import Domain
from hamlearn.learning.fitted import Fitted, fitted_tensors, read_fitted
from hamlearn.learning.groups import Group
from hamlearn.learning.protocols import Learner
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

Settings = TypeVar("Settings", bound=ModelSettings)


class BondLearner(Learner[Settings]):
    """A learner of the components of blocks in the frames of bonds.

    Attributes:
        problems_: what was fitted together.
        fits_: weights and posterior of every problem, in their order.
        offsets_: what was subtracted from the targets of every group before the fit [target].
    """

    HAS_ERROR_BARS = True

    problems_: list[Problem]
    fits_: list[Fitted]
    offsets_: dict[Group, FloatArray]

    @property
    @abstractmethod
    def density(self) -> BondDensity:
        """Settings of the densities and of the bonds."""

    @property
    def pair_cutoff(self) -> float:
        """Largest distance of pairs of atoms that have blocks, Å."""
        return self.density.pair_cutoff_angstrom

    def domains(self, structures: Sequence[Atoms], pairs: bool = True) -> list[Domain]:
        """Return the domain of a model of some structures."""
        return [Domain.of(structures, self.density, pairs)]

    def regularisation(self) -> dict[Group, FloatArray]:
        """Return the relative regularisation chosen for every target, the largest of all |M| [target]."""
        return alphas_of(self.problems_, [fit.alphas for fit in self.fits_], self._n_targets)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the domain, and variables, weights, posteriors and offsets."""
        domain = self.domain_.state()
        offsets = {f"offset.{k}": torch.from_numpy(x) for k, x in enumerate(self.offsets_.values())}
        return {"domain": domain}, self._variables_state() | fitted_tensors(dict(enumerate(self.fits_))) | offsets

    @classmethod
    def from_state(
        cls, settings: Settings, groups: Mapping[Group, int], spec: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Self:
        """Return the fitted learner whose :meth:`state` this is."""
        out = cls(settings)
        out.domain_ = Domain.from_state(spec["domain"])
        fits = read_fitted(range(len(problems_of(list(groups)))), tensors).values()
        offsets = {group: tensors[f"offset.{k}"].numpy() for k, group in enumerate(groups)}
        out._restore(tensors, list(fits), offsets)
        return out

    @abstractmethod
    def _variables_state(self) -> dict[str, Tensor]:
        """Return what was learned of the variables, by name."""

    @abstractmethod
    def _restore(self, tensors: Mapping[str, Tensor], fits: list[Fitted], offsets: dict[Group, FloatArray]) -> None:
        """Answer by these fits, with the variables of these tensors."""

    @property
    def _n_targets(self) -> dict[Group, int]:
        return {group: len(offset) for group, offset in self.offsets_.items()}
