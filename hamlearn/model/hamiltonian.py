"""A learned Hamiltonian: geometry in, matrix and everything that follows from it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import BlockCovariance, Blocks, assemble_matrices, split_matrices
from hamlearn.config import FeatureSettings, ModelSettings, QMSettings, TargetSettings, WignerSettings
from hamlearn.errors import ConfigError
from hamlearn.learning.domain import warn_of_far_pairs
from hamlearn.learning.groups import covariance_gigabytes, in_lots
from hamlearn.learning.kernel_learner import KernelBlockModel
from hamlearn.learning.registry import Regressor, new_regressor
from hamlearn.learning.tiles import remove_kernels
from hamlearn.model.saved import describe_training
from hamlearn.observables import (
    Prediction,
    calibration_factor,
    calibration_metrics,
    errors_with_stds,
    reference_prediction,
)
from hamlearn.parallel import open_executor
from hamlearn.structures import check_structures
from hamlearn.targets import Target, n_occupied, needs_calculation, predict_side
from hamlearn.types import Echo, FloatArray, IntArray
from hamlearn.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

FEW = 20
"""Structures left out below which the 68 % quantile of as many errors is wrong by a fifth or more."""

Side = tuple[FloatArray | None, FloatArray | None]
"""Metric and baseline of a molecule, None where the target has none."""


@dataclass
class HamiltonianModel:
    """Learns the Hamiltonian of molecules from their geometries, block by block, with exact symmetry.

    Args:
        qm: how the matrices were computed; needed for what a prediction computes analytically (overlap, guess).
        target: which matrix is learned.
        features: neighbour densities and features.
        wigner: kernels, in place of features with model.kind wigner.
        model: regression.
        scratch: folder that keeps the kernels of fits and predictions, gigabytes for a thousand molecules, until
            :meth:`forget_kernels`: a fit that was killed goes on, and models of other targets with the same orbitals
            find them. None: those of a fit go to a temporary folder. Not saved with the model.

    Attributes:
        block_model_: the fitted regressors.
        orbitals_: shells and order of every species.
        training_: size, formulas and hash of the training set.
        calibration_: factors of the standard deviations of levels and gap, from structures left out in
            cross-validation; 1 without error bars.

    Predictions obey H(R A) = T H(A) T^T for R in O(3), T block-diagonal in Wigner matrices, follow permutations of
    the atoms and do not change under translations.
    """

    qm: QMSettings = field(default_factory=QMSettings)
    target: TargetSettings = field(default_factory=TargetSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    wigner: WignerSettings = field(default_factory=WignerSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    scratch: str | Path | None = None
    block_model_: Regressor = field(init=False)
    orbitals_: Orbitals = field(init=False)
    training_: dict[str, object] = field(init=False, default_factory=dict)
    calibration_: tuple[float, float] = field(init=False, default=(1.0, 1.0))

    def fit(
        self,
        structures: Sequence[Atoms],
        targets: Sequence[Target],
        echo: Echo = None,
        label: str = "fit",
        executor: str = "serial",
    ) -> HamiltonianModel:
        """Fit on matrices of known molecules.

        Args:
            structures: geometries, Å.
            targets: the matrix of each, from :func:`hamlearn.targets.build_target`.
            echo: receives lines about the progress; None for silence.
            label: begins these lines.
            executor: where kernels are computed; see :func:`hamlearn.parallel.open_executor`. Ridge regression works
                in this process.

        Raises:
            ConfigError: if there are no structures, or not one target for each, made for it by the same settings.
            StructureError: if a geometry is not acceptable.
        """
        if not structures or len(structures) != len(targets):
            raise ConfigError(f"fit got {len(structures)} structures and {len(targets)} targets; give one target each")
        check_structures(structures, source="the training set")
        _check_targets(structures, targets, self.target)
        orbitals = Orbitals.merge(target.orbitals for target in targets)
        numbers = [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]
        blocks = split_matrices([target.matrix for target in targets], numbers, orbitals)
        regressor = self._new_regressor()
        regressor.fit(structures, blocks, echo, label, self.model.error_bars, executor)
        self.orbitals_, self.block_model_ = orbitals, regressor  # a fit that is refused leaves the model as it was
        if isinstance(regressor, KernelBlockModel):
            self.wigner = regressor.wigner  # what was chosen of a grid
        self.calibration_ = self._calibrate(targets, echo) if self.model.error_bars else (1.0, 1.0)
        self.training_ = describe_training(structures, [target.matrix for target in targets])
        return self

    def predict(
        self,
        structures: Sequence[Atoms],
        executor: str = "serial",
        sides: Sequence[Side] | None = None,
        std: bool | Literal["levels"] = False,
    ) -> list[Prediction]:
        """Predict the Hamiltonian of new molecules.

        Args:
            structures: geometries, Å.
            executor: where kernels, and overlaps and guess matrices if the target needs them, are computed; see
                :func:`hamlearn.parallel.open_executor`.
            sides: metric and baseline of every molecule, where they are known already.
            std: with error bars; takes longer. "levels": of levels and gap, of as many molecules as there are; True:
                also of the matrix, with all covariances in memory.

        Raises:
            StructureError: if a geometry is not acceptable.
            DomainError: for elements, pairs of elements or neighbours that were not in the training set.
            ConfigError: if error bars are asked of a model that was fitted without (``model.error_bars``).
            SCFError, BasisError: if the guess of a delta model cannot be computed.
        """
        if std not in (False, True, "levels"):
            raise ConfigError(f"std is {std!r}; expected False, True or 'levels'")
        if std and not self.model.error_bars:
            raise ConfigError("the model was fitted without error bars; set model.error_bars: true and fit it again")
        check_structures(structures, source="the structures to predict")
        self.block_model_.domain.check(structures)
        warn_of_far_pairs(structures, self.environment.pair_cutoff_angstrom)
        numbers = [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]
        sides = sides or self._sides(numbers, [atoms.positions / BOHR_ANGSTROM for atoms in structures], executor)
        if not std:
            return self._predictions(numbers, self.block_model_.predict(structures, executor), sides)
        sizes = [covariance_gigabytes(z, self.block_model_.blocks_) for z in numbers]
        out: list[Prediction] = []
        most = self.model.memory_gb / 2 if std == "levels" else np.inf  # half: the last lot is still there
        for start, stop in in_lots(sizes, most):
            blocks, covariances = self.block_model_.predict_with_covariance(structures[start:stop], executor)
            lot = slice(start, stop)
            predictions = self._predictions(numbers[lot], blocks, sides[lot], covariances, self.calibration_)
            out += [p.without_covariance() for p in predictions] if std == "levels" else predictions
        return out

    def _new_regressor(self) -> Regressor:
        """Return what fits the blocks."""
        scratch = None if self.scratch is None else Path(self.scratch)
        return new_regressor(self.features, self.wigner, self.model, scratch)

    def _predictions(
        self,
        numbers: Sequence[IntArray],
        blocks: Blocks,
        sides: Sequence[Side],
        covariances: Sequence[BlockCovariance] | None = None,
        calibration: tuple[float, float] = (1.0, 1.0),
    ) -> list[Prediction]:
        """Put predicted blocks together and add what is known of every molecule."""
        matrices = assemble_matrices(blocks, numbers, self.orbitals_)
        out = []
        for k, (z, matrix, (metric, baseline)) in enumerate(zip(numbers, matrices, sides, strict=True)):
            full = matrix if baseline is None else matrix + baseline
            covariance = covariances[k] if covariances else None
            n = n_occupied(z, self.target)
            out.append(Prediction(z, full, metric, n, self.orbitals_, covariance, calibration))
        return out

    def _calibrate(self, targets: Sequence[Target], echo: Echo) -> tuple[float, float]:
        """Return the factors that let error bars of levels and gap cover 68.3 % of the errors of held-out molecules."""
        predictions, references = [], []
        for fold in self.block_model_.held_out_:
            known = [targets[int(k)] for k in fold.indices]
            sides = [(target.metric, target.baseline) for target in known]
            numbers = [target.numbers for target in known]
            predictions += self._predictions(numbers, fold.blocks, sides, fold.covariances)
            references += [reference_prediction(target) for target in known]
        self.block_model_.held_out_.clear()
        found = errors_with_stds(predictions, references)
        levels, gap = (calibration_factor(*found[name]) for name in ("levels", "gap"))
        if echo:
            few = "; they are few, and the factors rough" if len(predictions) < FEW else ""
            spread = [calibration_metrics(*found[name])["rms_z"] for name in ("levels", "gap")]
            echo(
                f"error bars: scaled by {levels:.3g} (levels) and {gap:.3g} (gap) to cover 68 % of the errors of "
                f"{len(predictions)} structures left out{few}; rms z {spread[0] / levels:.3g} and {spread[1] / gap:.3g}"
            )
        return levels, gap

    def _sides(self, numbers: list[IntArray], positions_bohr: list[FloatArray], executor: str) -> list[Side]:
        """Return the metric and the baseline of every molecule, as far as the target has them."""
        if not needs_calculation(self.target):
            return [(None, None)] * len(numbers)
        side = partial(predict_side, qm=self.qm, target=self.target)
        with open_executor(executor) as pool:
            return list(pool.map(side, numbers, positions_bohr, chunksize=8))

    @property
    def environment(self) -> FeatureSettings | WignerSettings:
        """Settings of the environments the model sees: those of its features or kernels."""
        return self.wigner if self.model.kind == "wigner" else self.features

    def forget_kernels(self) -> None:
        """Remove the kernels kept in ``scratch``, and keep none from now on."""
        if self.scratch is not None:
            remove_kernels(Path(self.scratch))
        self.scratch = None
        fitted = getattr(self, "block_model_", None)
        if isinstance(fitted, KernelBlockModel):
            fitted.scratch = None

    def save(self, folder: str | Path) -> None:
        """Write the model to a new folder: model.yaml, tensors.safetensors, MODEL_CARD.md.

        Raises:
            ArtifactError: if the folder exists and is not empty; nothing is overwritten.
        """
        from hamlearn.model.hamiltonian_folder import save_model

        save_model(self, Path(folder))


def _check_targets(structures: Sequence[Atoms], targets: Sequence[Target], settings: TargetSettings) -> None:
    """Raise ConfigError unless every target belongs to its structure and to the settings."""
    has_metric = settings.kind == "fock" or (settings.kind == "saph" and settings.form == "nonorthogonal")
    has_baseline = settings.delta != "none"
    for index, (atoms, target) in enumerate(zip(structures, targets, strict=True)):
        if not np.array_equal(atoms.numbers, target.numbers):
            raise ConfigError(
                f"target {index} is of atoms {target.numbers.tolist()}, structure {index} of {atoms.numbers.tolist()}; "
                "give both in the same order"
            )
        if (target.metric is not None, target.baseline is not None) != (has_metric, has_baseline):
            raise ConfigError(
                f"target {index} was not built with the settings of the model (kind {settings.kind}, "
                f"delta {settings.delta}, form {settings.form}); build it with model.target"
            )
