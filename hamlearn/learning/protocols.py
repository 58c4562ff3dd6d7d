"""What every learner offers: fit, predict, error bars, predictions of structures left out, and its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import ModelSettings, WignerSettings
from hamlearn.errors import ConfigError, NotFittedError
from hamlearn.job import SILENT, Job
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.learning.data import Data
from hamlearn.learning.domain import Domain
from hamlearn.learning.groups import Answers, Group, HeldOut
from hamlearn.structures.arrays import structures_as_arrays, structures_of_arrays
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

Settings = TypeVar("Settings", bound=ModelSettings)


class FoundByFit:
    """An object with attributes that a fit finds, whose names end in an underscore; before it they are refused."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            what = type(self).__name__
            if name.startswith("_") or not name.endswith("_"):
                raise AttributeError(f"{what} has no attribute {name}")
            raise NotFittedError(f"this {what} was not fitted; call fit first, or load a saved model")


class Learner(FoundByFit, ABC, Generic[Settings]):
    """Learns rows of groups, blocks of matrices or sums over structures, from geometries.

    ``fit`` and ``predict`` must be written; all else has defaults: no error bars, no derivatives, no parts, and a state
    that is the training set, for a ``fit`` that calls ``remember``. One that writes ``predict_with_covariance`` says
    so by ``HAS_ERROR_BARS = True``, one that follows ``Data.functional`` by ``LEARNS_FUNCTIONALS = True``.

    A learner keeps its settings as they are; what a fit finds ends in an underscore. Its predictions must transform as
    the group says: rows (sample, M) of (L, sigma) as h(R A) = s D^L(R) h(A), s = 1 for proper and sigma for improper R.

    Args:
        settings: of the kind the learner is registered for.

    Attributes:
        domain_: what occurred in training. Every prediction begins with a check of it.
        structures_: training geometries, and
        data_: their rows, of a learner that remembers them.
        held_out_: predictions of structures by a model that has not seen them, where the last fit was asked for them.
        feature_seconds_: time the last fit spent on features apart from the fit itself.
    """

    HAS_ERROR_BARS: ClassVar[bool] = False
    """Whether ``predict_with_covariance`` is offered, after a fit with ``model.error_bars``."""

    LEARNS_FUNCTIONALS: ClassVar[bool] = False
    """Whether ``Data.functional`` is followed."""

    structures_: Sequence[Atoms]
    data_: Data
    held_out_: list[HeldOut]
    feature_seconds_: float
    domain_: Domain

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.held_out_, self.feature_seconds_ = [], 0.0

    @property
    def max_l(self) -> int:
        """Largest l of the harmonics used; the conventions of a saved model are compared up to it."""
        return 0

    def check(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool = False) -> None:
        """Refuse what cannot be fitted, before anything is computed.

        Args:
            structures: training geometries.
            n_targets: number of targets of every group.
            held_out: whether structures will be left out.
        """

    def domains(self, structures: Sequence[Atoms], pairs: bool = True) -> list[Domain]:
        """Return the domain of a model of some structures, with or without pairs of atoms; several where a grid leaves
        open what atoms see.
        """
        return [Domain.of(structures, None, pairs)]

    def chosen(self) -> Settings:
        """Return the settings with all that the last fit chose frozen in."""
        return self.settings

    @classmethod
    def smaller(cls, settings: Settings, structures: Sequence[Atoms]) -> Settings:
        """Return settings that fit fewer structures, as the points of a learning curve need, with nothing to choose."""
        return settings

    @abstractmethod
    def fit(self, structures: Sequence[Atoms], data: Data, job: Job, held_out: bool = False) -> Self:
        """Learn all groups.

        Args:
            structures: training geometries, Å.
            data: rows of every group.
            job: where to compute, and who hears of the progress.
            held_out: also keep predictions of structures by a model that has not seen them, with covariances.
        """

    @abstractmethod
    def predict(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return the rows of every group of new geometries.

        Raises:
            DomainError: for elements, pairs of elements or neighbours not in the training set.
        """

    def predict_with_covariance(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return the same with covariances [target, row, row] of every structure and group.

        Raises:
            ConfigError: if the model was fitted without error bars.
        """
        self.domain_.check(structures)
        raise ConfigError("the model was fitted without error bars; set model.error_bars: true and fit it again")

    @property
    def pair_cutoff(self) -> float:
        """Largest distance of pairs of atoms that have blocks, Å."""
        return float("inf")

    @property
    def differentiable(self) -> bool:
        """Whether derivatives of sums with respect to positions are offered."""
        return False

    def predict_with_gradients(
        self, structures: Sequence[Atoms], job: Job, covariance: bool = False
    ) -> tuple[Answers, FloatArray]:
        """Return the rows of a sum, with covariances if asked for, and its derivatives [atom, 3], Å^-1.

        Raises:
            ConfigError: if there are none.
        """
        raise ConfigError(f"a fit of model.kind {self.settings.kind} like this one has no derivatives; drop the forces")

    def predict_parts(self, structures: Sequence[Atoms]) -> FloatArray:
        """Return what every part of a model of sums adds [part, structure, 2L+1]; they add up to the prediction.

        Raises:
            ConfigError: if the model has no parts.
        """
        raise ConfigError(f"model.kind {self.settings.kind} has no parts; those of kernels have")

    def regularisation(self) -> dict[Group, FloatArray]:
        """Return the relative regularisation chosen for every target [target], for reports; empty if there is none."""
        return {}

    def remembered(self) -> tuple[BlockKernel, Centres] | None:
        """Return the kernel and the training samples the learner keeps, from which candidates can be far; or None."""
        return None

    def metric(self) -> WignerSettings:
        """Return the kernel of single atoms that measures distances where nothing is remembered."""
        return WignerSettings(max_nu_pair=0)

    def chosen_numbers(self) -> dict[str, float]:
        """Return hyperparameters that the last fit found by cross-validation, by name, for results of runs."""
        return {}

    def in_words(self) -> list[str]:
        """Return lines for the model card and the report that say what was fitted."""
        return []

    def remember(self, structures: Sequence[Atoms], data: Data) -> None:
        """Keep the training set and its domain; then :meth:`state` and :meth:`from_state` are there already."""
        (self.domain_,) = self.domains(structures, pairs=not any(group.is_sum for group in data.groups))
        self.structures_ = structures_of_arrays(structures_as_arrays(structures))
        self.data_ = data

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return all that predictions need beside the settings: plain values, as YAML holds them, and tensors.

        By default the training set, as :meth:`remember` kept it.
        """
        arrays = {**structures_as_arrays(self.structures_), **self.data_.arrays()}
        return {}, {name: torch.from_numpy(np.array(x)) for name, x in arrays.items()}

    @classmethod
    def from_state(
        cls, settings: Settings, groups: Mapping[Group, int], spec: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Self:
        """Return the fitted learner whose :meth:`state` this is; by default it is fitted again.

        Args:
            settings: of the fit.
            groups: number of targets of every group, in the order of the fit.
            spec: plain values.
            tensors: by name.
        """
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        structures = structures_of_arrays(arrays)
        return cls(settings).fit(structures, Data.of_arrays(list(groups), len(structures), arrays), SILENT)
