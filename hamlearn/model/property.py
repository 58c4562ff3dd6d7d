"""A learned property of molecules: geometry in, energy with forces, dipole or polarizability out."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.config import KernelRidgeSettings, KernelSettings, ModelSettings, PropertyTarget
from hamlearn.errors import ConfigError
from hamlearn.job import SILENT, Job
from hamlearn.learning.registry import learner_class, new_learner
from hamlearn.learning.tasks import PropertyTask
from hamlearn.model.base import LEARNER, Model
from hamlearn.model.folder import describe_training
from hamlearn.observables.properties import PropertyPrediction, property_metrics
from hamlearn.structures import Structures, as_structures
from hamlearn.targets.labels import in_own_shape, read_labels
from hamlearn.types import FloatArray, IntArray

OF_ENVIRONMENTS = KernelRidgeSettings(kernel=KernelSettings())
ROUNDING = 1e-12
"""Spread of labels below, relative to the largest, is that of equal ones."""


class PropertyModel(Model):
    """Learns a scalar, vector or tensor of molecules as a sum over their atoms.

    Args:
        target: which property, and where the structures carry it.
        model: the learner and its settings; by default kernels of environments.

    Attributes:
        task_: what is added to every prediction, and the unit of what is learned.
        learner_, training_: the fitted learner; size, formulas and hash of the training set.

    Predictions obey y(R A) = s D^L(R) y(A) for R in O(3), s = 1 for proper and sigma for improper R, and do not change
    under translations and permutations of like atoms. Forces are the exact negative gradient: they rotate as vectors,
    and total force and torque vanish.

    Raises:
        ConfigError: for a target that is no property, or a learner that cannot learn it.
    """

    KIND: ClassVar[str] = "property_model"
    PARAMETERS: ClassVar = {
        "target": (PropertyTarget, "PropertyTarget(key=...); use HamiltonianModel for matrices"),
        "model": LEARNER,
    }
    TASK: ClassVar = PropertyTask

    target: PropertyTarget
    task_: PropertyTask

    def __init__(self, target: PropertyTarget, model: ModelSettings = OF_ENVIRONMENTS) -> None:
        self.target, self.model = target, model
        self._check_parameters()

    @property
    def has_forces(self) -> bool:
        """Whether forces were learned."""
        return self.target.forces_key is not None

    @property
    def hyperparameters_(self) -> dict[str, float]:
        """What a fit of kernels chose by cross-validation: a, b and c0 of the mixture, and its error."""
        return self.learner_.chosen_numbers()

    def fit(
        self,
        structures: Structures,
        targets: ArrayLike | None = None,
        job: Job = SILENT,
        functional: ArrayLike | None = None,
    ) -> Self:
        """Fit on structures and their property.

        Args:
            structures: geometries, Å, with labels in ``info``, ``arrays`` or a calculator's results unless they are
                given; a path, one of them or a list.
            targets: the property of each structure in its own shape, or the data of a functional; None: what the
                structures carry. Forces are read from these in any case.
            job: who hears of the progress.
            functional: A in ``targets`` = A y, where sums of the property y of the structures are known rather than
                those of each, such as energies of reactions [datum, structure].

        Raises:
            StructureError: if a geometry or a label is not acceptable.
            ConfigError: if settings do not fit together, or more memory is needed than allowed.
        """
        structures = self._given(structures, job, "the training set")
        if functional is not None and (self.has_forces or not learner_class(self.model).LEARNS_FUNCTIONALS):
            raise ConfigError(
                "a functional of several structures is learned by kernels without forces; use model.kind kernel, and "
                "drop target.forces_key"
            )
        labels = read_labels(structures, self.target, values=targets, functional=functional)
        task = PropertyTask(self.target)
        data = task.encode(structures, labels)
        settings = self.model.model_copy(update={"error_bars": self.has_error_bars})
        learner = new_learner(settings).fit(structures, data, job)
        of_structures = labels.values if labels.functional is None else labels.functional.T @ labels.values
        self.task_, self.learner_, self.training_ = task, learner, describe_training(structures, of_structures)
        return self

    def predict(
        self, structures: Structures, forces: bool = False, std: bool = False, job: Job = SILENT
    ) -> list[PropertyPrediction]:
        """Predict the property of new molecules.

        Args:
            structures: geometries, Å; a path, one of them or a list.
            forces: also return the negative gradients of an energy.
            std: also return standard deviations.
            job: where to compute.

        Raises:
            StructureError: if a geometry is not acceptable.
            DomainError: for elements or neighbours that were not in the training set.
            ConfigError: before a fit, or if forces are asked of a property or learner that has none.
        """
        structures = self._given(structures, job)
        slopes: list[tuple[FloatArray, ...]] = [()] * len(structures)
        if forces:
            self.check_forces()
            answers, gradients = self.learner_.predict_with_gradients(structures, job, std)
            ends = np.cumsum([len(atoms) for atoms in structures])[:-1]
            of_each = np.split(-self.task_.scale * gradients, ends)
            slopes = [(f, f.T @ atoms.positions) for f, atoms in zip(of_each, structures, strict=True)]
        else:
            predict = self.learner_.predict_with_covariance if std else self.learner_.predict
            answers = predict(structures, job)
        own = in_own_shape(self.task_.decode(answers, structures), self.target.l)
        stds = self.task_.decode_stds(answers) if std else [None] * len(structures)
        return [PropertyPrediction(y, s, *slope) for y, s, slope in zip(own, stds, slopes, strict=True)]

    def predict_all(
        self, structures: Structures, job: Job = SILENT, error_bars: bool = True
    ) -> list[PropertyPrediction]:
        """Predict the property, with forces if they were learned and standard deviations if there are any."""
        return self.predict(structures, self.has_forces, error_bars and self.has_error_bars, job)

    def _deviation(
        self, before: PropertyPrediction, after: PropertyPrediction, order: IntArray, rotation: FloatArray
    ) -> float:
        expected = np.asarray(before.value) * self.target.sigma
        for axis in range(self.target.l):
            expected = np.moveaxis(np.tensordot(rotation, expected, (1, axis)), 0, axis)
        worst = np.abs(after.value - expected).max()
        if before.forces is not None and after.forces is not None:
            worst = max(worst, np.abs(after.forces - before.forces[order] @ rotation.T).max())
        return float(worst / self.task_.scale)

    def predict_parts(self, structures: Structures) -> FloatArray:
        """Return what every part of the kernel adds, y_p(A) = sum_B w_p K_p(A, B) x_B [n_parts, structure, 2L+1].

        With the baseline, the parts add up to the prediction. Parts of a mixture are its orders of correlation: order
        nu holds terms of nu neighbours and all smaller numbers. They transform as the property.

        Parts of kernel.additive follow, in its order.

        Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), on sums of models.
        """
        return self.task_.scale * self.learner_.predict_parts(self._given(structures))

    def score(self, structures: Structures, targets: ArrayLike | None = None) -> float:
        """Return R^2 = 1 - (RMSE / spread)^2 of given targets, or what structures carry; 0 where all are equal."""
        structures = as_structures(structures)
        of_values = self.target.model_copy(update={"forces_key": None})
        predictions, labels = self.predict(structures), read_labels(structures, of_values, values=targets)
        found = property_metrics(predictions, labels, self.target)
        if found["value_spread"] <= ROUNDING * np.abs(labels.values).max(initial=0.0):
            return 0.0
        return 1.0 - (found["value_rmse"] / found["value_spread"]) ** 2

    def check_forces(self) -> None:
        """Raise ConfigError unless the model was fitted and can give forces."""
        if self.target.irrep != (0, 1):
            raise ConfigError(
                f"forces belong to energies (l 0, sigma 1), but {self.target.key} has l, sigma {self.target.irrep}"
            )
        if not self.learner_.differentiable:
            raise ConfigError(
                f"{self.learner_.chosen().without_derivatives()} has no derivatives with respect to positions, so that "
                "there are no forces; train by ridge regression, or with kernels of kind wigner or order, summed over "
                "atoms, without messages"
            )
