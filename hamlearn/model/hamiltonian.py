"""A learned Hamiltonian: geometry in, matrix and everything that follows from it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.blocks import BlockCovariance, BlockKey, Blocks, assemble_matrices
from hamlearn.config import MatrixTarget, ModelSettings, QMSettings, RidgeSettings, SaphTarget
from hamlearn.errors import ConfigError
from hamlearn.job import SILENT, Job, check_job
from hamlearn.learning.domain import warn_of_far_pairs
from hamlearn.learning.groups import Group, covariance_gigabytes, in_lots
from hamlearn.learning.registry import new_learner
from hamlearn.learning.tasks import MatrixTask
from hamlearn.model.base import Model, Move
from hamlearn.model.folder import describe_training
from hamlearn.observables import (
    Prediction,
    calibration_factor,
    calibration_metrics,
    errors_with_stds,
    metrics,
    reference_prediction,
)
from hamlearn.structures import Structures, as_structures, check_structures
from hamlearn.structures.families import numbers_of
from hamlearn.targets import Origin, Target, n_occupied, needs_calculation, predict_side
from hamlearn.targets.origin import SAME_ANGSTROM
from hamlearn.types import FloatArray, IntArray
from hamlearn.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

DEFAULT_QM, SAPH, RIDGE = QMSettings(), SaphTarget(), RidgeSettings()
FEW = 20
"""Structures left out below which the 68 % quantile of as many errors is wrong by a fifth or more."""

Side = tuple[FloatArray | None, FloatArray | None]
"""Metric and baseline of a molecule, None where the target has none."""


class HamiltonianModel(Model):
    """Learns the Hamiltonian of molecules from their geometries, block by block, with exact symmetry.

    Args:
        qm: how the matrices were computed; needed for what a prediction computes analytically (overlap, guess).
        target: which matrix is learned.
        model: the learner and its settings.

    Attributes:
        learner_: the fitted learner.
        task_: orbitals of every species, and the blocks of every group.
        training_: size, formulas and hash of the training set.
        calibration_: factors of the standard deviations of levels and gap, from structures left out in
            cross-validation; 1 without error bars.

    Predictions obey H(R A) = T H(A) T^T for R in O(3), T block-diagonal in Wigner matrices, follow permutations of
    the atoms and do not change under translations.

    Raises:
        ConfigError: for a target that is no matrix, or a learner that cannot learn it.
    """

    KIND: ClassVar[str] = "hamiltonian_model"
    PARAMETERS: ClassVar[tuple[str, ...]] = ("qm", "target", "model")

    target: MatrixTarget
    task_: MatrixTask

    def __init__(
        self,
        qm: QMSettings = DEFAULT_QM,
        target: MatrixTarget = SAPH,
        model: ModelSettings = RIDGE,
    ) -> None:
        if not isinstance(target, MatrixTarget):
            kind = getattr(target, "kind", None)
            raise ConfigError(
                f"target is a {type(target).__name__}, expected SaphTarget(), LowdinTarget() or FockTarget()"
                if kind is None
                else f"a HamiltonianModel got target.kind {kind}, expected fock, lowdin or saph; use PropertyModel "
                "for properties"
            )
        if not isinstance(qm, QMSettings):
            raise ConfigError(f"qm is a {type(qm).__name__}, expected QMSettings")
        self.qm, self.target, self.model = qm, target, model
        self._check_learner()
        self.training_: dict[str, Any] = {}
        self.calibration_ = (1.0, 1.0)

    @property
    def orbitals_(self) -> Orbitals:
        """Shells and order of every species."""
        self.check_fitted()
        return self.task_.orbitals

    def fit(self, structures: Structures, targets: Sequence[Target], job: Job = SILENT) -> Self:
        """Fit on matrices of known molecules.

        Args:
            structures: geometries, Å; a path, one of them or a list.
            targets: the matrix of each, from :func:`hamlearn.build_target`.
            job: who hears of the progress, where kernels are computed and kept.

        Raises:
            ConfigError: if there are no structures, or not one target for each, made for it by the same settings.
            StructureError: if a geometry is not acceptable.
        """
        check_job(job)
        structures = as_structures(structures)
        if not structures or len(structures) != len(targets):
            raise ConfigError(f"fit got {len(structures)} structures and {len(targets)} targets; give one target each")
        check_structures(structures, source="the training set")
        _check_targets(structures, targets, self.target, self.qm)
        task = MatrixTask(Orbitals.merge(target.orbitals for target in targets))
        data = task.encode([target.matrix for target in targets], [target.numbers for target in targets])
        error_bars = bool(self.model.error_bars)
        fitted = copy(self)
        fitted.task_, fitted.learner_ = task, new_learner(self.model).fit(structures, data, job, error_bars)
        fitted.calibration_ = fitted._calibrate(targets, job) if error_bars else (1.0, 1.0)
        fitted.training_ = describe_training(structures, [target.matrix for target in targets])
        vars(self).update(vars(fitted))  # a fit that is refused leaves the model as it was
        return self

    def predict(
        self,
        structures: Structures,
        job: Job = SILENT,
        sides: Sequence[Side] | None = None,
        std: bool | Literal["levels"] = False,
    ) -> list[Prediction]:
        """Predict the Hamiltonian of new molecules.

        Args:
            structures: geometries, Å; a path, one of them or a list.
            job: where kernels, and overlaps and guess matrices if the target needs them, are computed.
            sides: metric and baseline of every molecule, where they are known already.
            std: with error bars; takes longer. "levels": of levels and gap, of as many molecules as there are; True:
                also of the matrix, with all covariances in memory.

        Raises:
            StructureError: if a geometry is not acceptable.
            DomainError: for elements, pairs of elements or neighbours that were not in the training set.
            ConfigError: before a fit, or if error bars are asked of a model that was fitted without.
            SCFError, BasisError: if the guess of a delta model cannot be computed.
        """
        self.check_fitted()
        check_job(job)
        if std not in (False, True, "levels"):
            raise ConfigError(f"std is {std!r}; expected False, True or 'levels'")
        if std and not self.model.error_bars:
            raise ConfigError("the model was fitted without error bars; set model.error_bars: true and fit it again")
        structures = as_structures(structures)
        check_structures(structures, source="the structures to predict")
        self.learner_.domain_.check(structures)
        warn_of_far_pairs(structures, self.learner_.pair_cutoff)
        numbers = numbers_of(structures)
        sides = sides or self._sides(numbers, [atoms.positions / BOHR_ANGSTROM for atoms in structures], job)
        if not std:
            blocks = self.task_.decode(self.learner_.predict(structures, job), numbers)
            return self._predictions(numbers, blocks, sides)
        n_targets = {group: len(keys) for group, keys in self.task_.keys.items()}
        sizes = [covariance_gigabytes(z, n_targets) for z in numbers]
        out: list[Prediction] = []
        most = self.model.memory_gb / 2 if std == "levels" else np.inf  # half: the last lot is still there
        for start, stop in in_lots(sizes, most):
            answers, lot = self.learner_.predict_with_covariance(structures[start:stop], job), slice(start, stop)
            blocks = self.task_.decode(answers, numbers[lot])
            known = self.task_.decode_covariances(answers, numbers[lot])
            predictions = self._predictions(numbers[lot], blocks, sides[lot], known, self.calibration_)
            out += [p.without_covariance() for p in predictions] if std == "levels" else predictions
        return out

    def predict_all(self, structures: Structures, job: Job = SILENT) -> list[Prediction]:
        """Predict the Hamiltonian, with error bars of levels and gap if the model was fitted with them."""
        return self.predict(structures, job, std="levels" if self.model.error_bars else False)

    def symmetry_error(self, structures: Sequence[Atoms], moved: Sequence[Atoms], moves: Sequence[Move]) -> float:
        """Return the largest |H(R P A) - P T H(A) T^T P^T|, Hartree."""
        worst = 0.0
        both = self.predict(structures), self.predict(moved)
        for atoms, (order, rotation), before, after in zip(structures, moves, *both, strict=True):
            t = ao_rotation(self.orbitals_, atoms.numbers, rotation)
            index = ao_permutation(self.orbitals_, atoms.numbers, order)
            expected = (t @ before.hamiltonian @ t.T)[np.ix_(index, index)]
            worst = max(worst, float(np.abs(after.hamiltonian - expected).max()))
        return worst

    def score(self, structures: Structures, targets: Sequence[Target]) -> float:
        """Return minus the root mean square error of the levels, eV: larger is better, as scikit-learn expects."""
        sides = [(target.metric, target.baseline) for target in targets]
        found = metrics(self.predict(structures, sides=sides), [reference_prediction(target) for target in targets])
        return -1e-3 * float(found["eigenvalue_rmse_mev"])

    def alpha_of_block(self) -> dict[BlockKey, float]:
        """Return the relative regularisation chosen for every block; of learners that choose none an empty mapping."""
        self.check_fitted()
        chosen = self.learner_.regularisation()
        of_groups = ((keys, chosen[group]) for group, keys in self.task_.keys.items() if group in chosen)
        return {key: float(alpha) for keys, alphas in of_groups for key, alpha in zip(keys, alphas, strict=True)}

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

    def _calibrate(self, targets: Sequence[Target], job: Job) -> tuple[float, float]:
        """Return the factors that let error bars of levels and gap cover 68.3 % of the errors of held-out molecules."""
        predictions, references = [], []
        for fold in self.learner_.held_out_:
            known = [targets[int(k)] for k in fold.indices]
            sides = [(target.metric, target.baseline) for target in known]
            numbers = [target.numbers for target in known]
            blocks = self.task_.decode(fold.answers, numbers)
            predictions += self._predictions(
                numbers, blocks, sides, self.task_.decode_covariances(fold.answers, numbers)
            )
            references += [reference_prediction(target) for target in known]
        self.learner_.held_out_ = []
        if not predictions:
            raise ConfigError(
                f"model.kind {self.model.kind} leaves no structures out to calibrate error bars; drop model.error_bars"
            )
        found = errors_with_stds(predictions, references)
        levels, gap = (calibration_factor(*found[name]) for name in ("levels", "gap"))
        few = "; they are few, and the factors rough" if len(predictions) < FEW else ""
        spread = [calibration_metrics(*found[name])["rms_z"] for name in ("levels", "gap")]
        job.say(
            f"error bars: scaled by {levels:.3g} (levels) and {gap:.3g} (gap) to cover 68 % of the errors of "
            f"{len(predictions)} structures left out{few}; rms z {spread[0] / levels:.3g} and {spread[1] / gap:.3g}"
        )
        return levels, gap

    def _sides(self, numbers: list[IntArray], positions_bohr: list[FloatArray], job: Job) -> list[Side]:
        """Return the metric and the baseline of every molecule, as far as the target has them."""
        if not needs_calculation(self.target):
            return [(None, None)] * len(numbers)
        side = partial(predict_side, qm=self.qm, target=self.target)
        with job.open_executor() as pool:
            return list(pool.map(side, numbers, positions_bohr, chunksize=8))

    def _task_state(self) -> dict[str, Any]:
        return {**self.task_.state(), "calibration": list(self.calibration_)}

    def _restore_task(self, state: Mapping[str, Any]) -> dict[Group, int]:
        self.task_ = MatrixTask.from_state(state)
        levels, gap = state["calibration"]
        self.calibration_ = float(levels), float(gap)
        return {group: len(keys) for group, keys in self.task_.keys.items()}

    @classmethod
    def _of_sections(cls, spec: Mapping[str, Any]) -> Self:
        return cls(QMSettings(**spec["qm"]), MatrixTarget(**spec["target"]), ModelSettings(**spec["model"]))


def _check_targets(
    structures: Sequence[Atoms], targets: Sequence[Target], settings: MatrixTarget, qm: QMSettings
) -> None:
    """Raise ConfigError unless every target belongs to its structure and to the settings."""
    expected = (settings.has_metric, settings.delta != "none")
    for index, (atoms, target) in enumerate(zip(structures, targets, strict=True)):
        if not isinstance(target, Target):
            raise ConfigError(
                f"target {index} is a {type(target).__name__}; expected what hamlearn.build_target makes of a record"
            )
        if not np.array_equal(atoms.numbers, target.numbers):
            raise ConfigError(
                f"target {index} is of atoms {target.numbers.tolist()}, structure {index} of {atoms.numbers.tolist()}; "
                "give both in the same order"
            )
        if (target.metric is not None, target.baseline is not None) != expected:
            form = f", form {settings.form}" if isinstance(settings, SaphTarget) else ""
            raise ConfigError(
                f"target {index} was not built with the settings of the model (kind {settings.kind}, "
                f"delta {settings.delta}{form}); build it with model.target"
            )
        if target.origin is not None:
            _check_origin(atoms, target.origin, index, settings, qm)


def _check_origin(atoms: Atoms, origin: Origin, index: int, settings: MatrixTarget, qm: QMSettings) -> None:
    """Raise ConfigError if a target is known to be made of something else than its structure and the settings."""
    if differences := list(origin.differences(settings, qm)):
        raise ConfigError(
            f"target {index} was made with {', '.join(differences)}, as the model has; give the model the settings of "
            "its targets, or build them with model.target from calculations with model.qm"
        )
    distance = origin.distance_angstrom(atoms.positions)
    if distance > SAME_ANGSTROM:
        raise ConfigError(
            f"target {index} is of another geometry than structure {index}: an atom is {distance:.2g} Å from where it "
            "was; give both in the same order, and structures as they were computed"
        )
