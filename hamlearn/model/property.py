"""A learned property of molecules: geometry in, energy with forces, dipole or polarizability out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.config import KernelSettings, ModelSettings, TargetSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels import EnvironmentKernel, Environments
from hamlearn.kernels.structure_kernel import make_kernel
from hamlearn.learning.functionals import Basis, DerivativeBasis, Functional, StructureBasis, structure_diagonal
from hamlearn.learning.property_choice import candidates, choose_kernel
from hamlearn.learning.property_domain import check_elements, check_neighbours, check_settings
from hamlearn.learning.property_tiles import structure_tiles
from hamlearn.learning.property_training import TrainingSet, train
from hamlearn.model.saved import describe_training
from hamlearn.observables.properties import PropertyPrediction
from hamlearn.regression.property_fit import Solution
from hamlearn.structures import check_structures
from hamlearn.targets.composition import Baseline, baseline_kind
from hamlearn.targets.labels import Labels, in_own_shape, read_labels
from hamlearn.types import Echo, FloatArray, Irrep

if TYPE_CHECKING:
    from ase import Atoms

MOST_TO_CHOOSE = 200
"""Structures (the first) on which the settings of kernel.grid are compared."""


@dataclass
class PropertyModel:
    """Learns a scalar, vector or tensor of molecules as a sum of kernels of their atoms' environments.

    Args:
        target: which property, and where the structures carry it.
        kernel: kernel of environments; after a fit with a grid the settings it chose.
        model: basis and regression.

    Attributes:
        kernel_: the fitted kernel.
        basis_: what the property is expanded in.
        solution_: weights, mixture of orders, uncertainty.
        baseline_: what is added to every prediction.
        scale_: unit of the weights, in the unit of the property.
        hyperparameters_: a, b and c0 of the mixture, the weights of kernel.additive, and cv_error, the cross-validated
            error of the data that chose them, in units of their spreads.
        training_: size, formulas and hash of the training set.

    Predictions obey y(R A) = s D^L(R) y(A) for R in O(3), s = 1 for proper and sigma for improper R, and do not change
    under translations and permutations of like atoms. Forces are the exact negative gradient: they rotate as vectors,
    and total force and torque vanish.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024); sparse bases and derivatives: Ceriotti,
    Willatt, Csányi, Handbook of Materials Modeling (2018).
    """

    target: TargetSettings
    kernel: KernelSettings = field(default_factory=KernelSettings)
    model: ModelSettings = field(default_factory=lambda: ModelSettings(kind="kernel"))
    kernel_: EnvironmentKernel = field(init=False, repr=False)
    basis_: Basis = field(init=False, repr=False)
    solution_: Solution = field(init=False, repr=False)
    baseline_: Baseline = field(init=False, repr=False)
    scale_: float = field(init=False, repr=False)
    hyperparameters_: dict[str, float] = field(init=False, default_factory=dict, repr=False)
    training_: dict[str, object] = field(init=False, default_factory=dict, repr=False)
    _functional: Functional | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if self.target.kind != "property" or self.model.kind != "kernel":
            raise ConfigError(
                f"a PropertyModel got target.kind {self.target.kind} and model.kind {self.model.kind}, expected "
                "property and kernel; use HamiltonianModel for matrices"
            )

    @property
    def irrep(self) -> Irrep:
        """(L, sigma) of the property."""
        return self.target.l, self.target.sigma

    @property
    def has_forces(self) -> bool:
        """Whether forces were learned."""
        return self.target.forces_key is not None

    @property
    def basis_kind(self) -> str:
        """What the property is expanded in: full, sparse or derivatives."""
        return self.model.basis or ("sparse" if self.has_forces or self.model.active is not None else "full")

    @property
    def elements_(self) -> list[int]:
        """Elements of the training set, ascending."""
        return sorted({z for z, _ in self.kernel_.expansion_.contraction_})

    @property
    def neighbours_(self) -> set[tuple[int, int]]:
        """Elements (centre, neighbour) of the training set."""
        return {pair for pair, contraction in self.kernel_.expansion_.contraction_.items() if contraction.any()}

    def fit(self, structures: Sequence[Atoms], echo: Echo = None, label: str = "fit") -> PropertyModel:
        """Fit on structures that carry the property.

        Args:
            structures: geometries, Å, with labels in ``info``, ``arrays`` or a calculator's results.
            echo: receives lines about the progress; None for silence.
            label: begins these lines.

        Raises:
            StructureError: if a geometry or a label is not acceptable.
            ConfigError: if settings do not fit together, or more memory is needed than allowed.
        """
        check_structures(structures, "the training set", closed_shell=False)
        labels = read_labels(structures, self.target)
        check_settings(self.target, self.kernel, self.model, structures)
        self.baseline_ = Baseline(baseline_kind(self.target)).fit(structures, labels.values[:, 0])
        if self.kernel.grid:
            options = candidates(self.kernel)
            self.kernel = choose_kernel(
                structures[:MOST_TO_CHOOSE], self.target, options, self.model, cross_validated_error, echo
            )
        self.kernel_ = make_kernel(self.kernel, self.model.memory_gb).fit(structures)
        fitted = train(self.kernel_, self.basis_kind, self.irrep, self._normalised(structures, labels), echo, label)
        self.basis_, self.solution_, self.hyperparameters_ = fitted.basis, fitted.solution, fitted.hyperparameters
        self.training_ = describe_training(structures, list(labels.values))
        self._functional = None
        return self

    def predict(self, structures: Sequence[Atoms], forces: bool = False, std: bool = False) -> list[PropertyPrediction]:
        """Predict the property of new molecules.

        Args:
            structures: geometries, Å.
            forces: also return the negative gradients of an energy.
            std: also return standard deviations.

        Raises:
            StructureError: if a geometry is not acceptable.
            DomainError: for elements that were not in the training set.
            ConfigError: before a fit, or if forces are asked of a property or kernel that has none.
        """
        self.check_fitted()
        check_structures(structures, "the structures to predict", closed_shell=False)
        check_elements(structures, self.elements_)
        check_neighbours(structures, self.neighbours_, self.kernel)
        if forces:
            self.check_forces()
        baseline = self.baseline_.values(structures)
        out: list[PropertyPrediction] = []
        for tile in structure_tiles(structures, self.kernel, self.model.memory_gb, len(self.solution_.weights)):
            with_gradients = forces or (std and isinstance(self.basis_, DerivativeBasis))
            env = self.kernel_.environments(structures[tile], gradients=with_gradients)
            values, gradients = self._evaluate(env)
            values[:, 0] += baseline[tile]
            spreads = self._std(env, structures[tile]) if std else [None] * len(values)
            own = in_own_shape(values, self.target.l)
            split: Sequence[FloatArray | None] = [None] * len(values)
            if forces and gradients is not None:
                split = np.split(-gradients, np.cumsum([len(atoms) for atoms in structures[tile]])[:-1])
            out += [PropertyPrediction(*row) for row in zip(own, spreads, split, strict=True)]
        return out

    def predict_parts(self, structures: Sequence[Atoms]) -> FloatArray:
        """Return what every part of the kernel adds, y_p(A) = sum_B w_p K_p(A, B) x_B [n_parts, structure, 2L+1].

        With the baseline, the parts add up to the prediction. Parts of a mixture are its orders of correlation: order
        nu holds terms of nu neighbours and all smaller numbers. They transform as the property.

        Parts of kernel.additive follow, in its order.

        Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), on sums of models.
        """
        self.check_fitted()
        check_structures(structures, "the structures to predict", closed_shell=False)
        check_elements(structures, self.elements_)
        check_neighbours(structures, self.neighbours_, self.kernel)
        env = self.kernel_.environments(structures, gradients=isinstance(self.basis_, DerivativeBasis))
        mixture, weights = self.solution_.mixture, self.solution_.weights
        if isinstance(self.basis_, StructureBasis):
            parts = mixture[:, None] * (self.basis_.parts(env) @ weights)
        else:
            parts = np.stack([self.basis_.values(env, part) @ weights for part in np.diag(mixture)])
        return self.scale_ * parts.reshape(len(parts), len(structures), -1)

    def check_fitted(self) -> None:
        """Raise ConfigError before a fit."""
        if not hasattr(self, "solution_"):
            raise ConfigError("this PropertyModel was not fitted; call fit first, or load a saved model")

    def check_forces(self) -> None:
        """Raise ConfigError unless the model can give forces."""
        if self.irrep != (0, 1):
            raise ConfigError(
                f"forces belong to energies (l 0, sigma 1), but {self.target.key} has l, sigma {self.irrep}"
            )
        if not make_kernel(self.kernel, self.model.memory_gb).differentiable:
            raise ConfigError(
                f"{_in_words(self.kernel)} have no derivatives, so that there are no forces; train with kernel.kind "
                "wigner or order, summed over atoms, without messages"
            )

    def save(self, folder: str | Path) -> None:
        """Write the model to a new folder: model.yaml, tensors.safetensors, MODEL_CARD.md.

        Raises:
            ConfigError: before a fit.
            ArtifactError: if the folder exists and is not empty; nothing is overwritten.
        """
        from hamlearn.model.property_folder import save_model

        self.check_fitted()
        save_model(self, Path(folder))

    def _normalised(self, structures: Sequence[Atoms], labels: Labels) -> TrainingSet:
        """Return bare geometries and labels without the baseline, in units of their spread."""
        values = labels.values.copy()
        values[:, 0] -= self.baseline_.values(structures)
        centre = values.mean() if self.irrep == (0, 1) else 0.0
        spread = float(np.sqrt(np.mean((values - centre) ** 2)))
        self.scale_ = spread if spread > 1e-12 * np.abs(labels.values).max(initial=0.0) else 1.0
        gradients = None if labels.forces is None else -labels.forces / self.scale_
        geometries = [type(atoms)(atoms.numbers, atoms.positions) for atoms in structures]
        return TrainingSet(geometries, values / self.scale_, gradients, self.model)

    def _evaluate(self, env: Environments) -> tuple[FloatArray, FloatArray | None]:
        """Return values [structure, 2L+1], without the baseline, and gradients [atom, 3] if ``env`` has them."""
        solution = self.solution_
        if self.irrep != (0, 1) or not self.kernel_.differentiable:
            values = self.basis_.values(env, solution.mixture) @ solution.weights
            return self.scale_ * values.reshape(env.n_structures, -1), None
        if self._functional is None:
            self._functional = self.basis_.functional(solution.weights)
        f = self._functional
        energies, gradients = self.kernel_.energies_and_gradients(
            env, f.environments, f.coefficients, f.directions, solution.mixture.tolist()
        )
        return self.scale_ * energies[:, None], None if gradients is None else self.scale_ * gradients

    def _std(self, env: Environments, structures: Sequence[Atoms]) -> list[float]:
        mixture = self.solution_.mixture
        diagonal = structure_diagonal(self.kernel_, structures, self.irrep, mixture)
        std = self.solution_.std(diagonal, self.basis_.values(env, mixture)).reshape(len(structures), -1)
        return [self.scale_ * float(x) for x in np.sqrt((std**2).mean(axis=1))]


def _in_words(kernel: KernelSettings) -> str:
    """Return what makes a kernel have no derivatives."""
    if kernel.message_nu is not None:
        return "kernels with messages"
    return f"kernels of kind {kernel.kind}" if kernel.kind == "soap" else f"kernels of structure {kernel.structure}"


def cross_validated_error(
    target: TargetSettings, kernel: KernelSettings, model: ModelSettings, structures: Sequence[Atoms]
) -> float:
    """Return the cross-validated error of a model of some structures, in units of the spread of the labels."""
    return PropertyModel(target, kernel, model).fit(structures).hyperparameters_["cv_error"]
