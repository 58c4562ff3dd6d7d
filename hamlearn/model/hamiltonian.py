"""A learned Hamiltonian: geometry in, matrix and everything that follows from it out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.blocks import BlockKey
from hamlearn.config import MatrixTarget, ModelSettings, QMSettings, RidgeSettings, SaphTarget
from hamlearn.display import listed
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning
from hamlearn.job import SILENT, Job
from hamlearn.learning.domain import warn_of_far_pairs
from hamlearn.learning.groups import Answers, covariance_gigabytes, in_lots
from hamlearn.learning.protocols import Learner
from hamlearn.learning.registry import new_learner
from hamlearn.learning.tasks import MatrixTask
from hamlearn.model.base import LEARNER, Model
from hamlearn.model.folder import describe_training
from hamlearn.observables import (
    AnyPrediction,
    Prediction,
    SpinPrediction,
    calibration_factor,
    calibration_metrics,
    errors_with_stds,
    metrics,
    reference_prediction,
)
from hamlearn.structures import Structures
from hamlearn.structures.charges import ElectronicState, electronic_state
from hamlearn.structures.checks import common_state
from hamlearn.structures.families import numbers_of
from hamlearn.targets import Side, Target, check_targets, n_occupied, needs_calculation, predict_side
from hamlearn.targets.spins import Occupied
from hamlearn.types import FloatArray, IntArray
from hamlearn.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

DEFAULT_QM, SAPH, RIDGE = QMSettings(), SaphTarget(), RidgeSettings()
FEW = 20
"""Structures left out below which the 68 % quantile of as many errors is wrong by a fifth or more."""


class HamiltonianModel(Model):
    """Learns the Hamiltonian of molecules from their geometries, block by block, with exact symmetry.

    Args:
        qm: how the matrices were computed; needed for what a prediction computes analytically (overlap, guess).
        target: which matrix is learned.
        model: the learner and its settings.

    Attributes:
        task_: orbitals of every species, the blocks of every group, and factors of error bars.
        learner_, training_: the fitted learner; size, formulas and hash of the training set.

    Predictions obey H(R A) = T H(A) T^T for R in O(3), T block-diagonal in Wigner matrices, follow permutations of
    the atoms and do not change under translations.

    Raises:
        ConfigError: for a target that is no matrix, or a learner that cannot learn it.
    """

    KIND: ClassVar[str] = "hamiltonian_model"
    PARAMETERS: ClassVar = {
        "qm": (QMSettings, "QMSettings()"),
        "target": (MatrixTarget, "SaphTarget(), LowdinTarget() or FockTarget(); use PropertyModel for properties"),
        "model": LEARNER,
    }
    TASK: ClassVar = MatrixTask

    target: MatrixTarget
    task_: MatrixTask

    def __init__(self, qm: QMSettings = DEFAULT_QM, target: MatrixTarget = SAPH, model: ModelSettings = RIDGE) -> None:
        self.qm, self.target, self.model = qm, target, model
        self._check_parameters()
        qm.check_turns_with_molecule()

    @property
    def orbitals_(self) -> Orbitals:
        """Shells and order of every species."""
        return self.task_.orbitals

    @property
    def calibration_(self) -> tuple[float, float]:
        """Factors of the standard deviations of levels and gap, from structures left out in cross-validation."""
        return self.task_.calibration

    def fit(self, structures: Structures, targets: Sequence[Target], job: Job = SILENT) -> Self:
        """Fit on matrices of known molecules.

        Args:
            structures: geometries, Å; a path, one of them or a list.
            targets: the matrix of each, from :func:`hamlearn.build_target`.
            job: who hears of the progress, where kernels are computed and kept.

        Raises:
            StructureError: if there are no structures, or a geometry is not acceptable.
            ConfigError: if there is not one target for each, made for it by the same settings.
        """
        structures = self._given(structures, job, "the training set")
        check_targets(targets, structures, self.target, self.qm)
        electrons = common_state(structures, self.qm, "the training set")
        self._check_occupied(targets, electrons)
        task = MatrixTask(Orbitals.merge(target.orbitals for target in targets), electrons=electrons)
        matrices = [target.matrix for target in targets]
        data = task.encode(matrices, [target.numbers for target in targets])
        learner = new_learner(self.model).fit(structures, data, job, self.has_error_bars)
        if self.has_error_bars:
            task.calibration = self._calibration(task, learner, targets, job)
        self.task_, self.learner_, self.training_ = task, learner, describe_training(structures, matrices)
        return self

    def predict(
        self,
        structures: Structures,
        job: Job = SILENT,
        sides: Sequence[Side] | None = None,
        std: bool | Literal["levels"] = False,
    ) -> list[AnyPrediction]:
        """Predict the Hamiltonian of new molecules.

        Args:
            structures: geometries, Å; a path, one of them or a list.
            job: where kernels, and overlaps and guess matrices if the target needs them, are computed.
            sides: metric and baseline of every molecule, where they are known already.
            std: with error bars; takes longer. "levels": of levels and gap, of as many molecules as there are; True:
                also of the matrix, with all covariances in memory.

        Raises:
            StructureError: if a geometry is not acceptable.
            DomainError: for elements, pairs of elements or neighbours that were not in the training set, or another
                charge or multiplicity.
            ConfigError: before a fit, or if error bars are asked of a model that was fitted without.
            SCFError, BasisError: if the guess of a delta model cannot be computed.
        """
        learner = self.learner_
        if std not in (False, True, "levels"):
            raise ConfigError(f"std is {std!r}; expected False, True or 'levels'")
        if std and not self.has_error_bars:
            raise ConfigError("the model was fitted without error bars; set model.error_bars: true and fit it again")
        structures = self._given(structures, job)
        self.check_state(structures)
        if std == "levels" or needs_calculation(self.target):  # before it takes long; learners check for themselves
            learner.domain_.check(structures)
        warn_of_far_pairs(structures, learner.pair_cutoff)
        numbers, sides = numbers_of(structures), sides or self._sides(structures, job)
        predict = learner.predict_with_covariance if std else learner.predict
        lots, out = [slice(None)], []
        if std == "levels":
            sizes = [covariance_gigabytes(z, self.task_.n_targets) for z in numbers]
            lots = [slice(*ends) for ends in in_lots(sizes, self.model.memory_gb / 2)]  # half: the last is still there
        for lot in lots:
            answers = predict(structures[lot], job)
            found = self._predictions(self.task_, answers, numbers[lot], sides[lot], covariance=bool(std))
            out += [p.without_covariance() for p in found] if std == "levels" else found
        return out

    def predict_all(self, structures: Structures, job: Job = SILENT, error_bars: bool = True) -> list[AnyPrediction]:
        """Predict the Hamiltonian, with error bars of levels and gap if the model was fitted with them."""
        return self.predict(structures, job, std="levels" if error_bars and self.has_error_bars else False)

    def check_state(self, structures: Sequence[Atoms]) -> None:
        """Refuse structures of another charge or multiplicity than those of the training set.

        Raises:
            DomainError: listing them.
        """
        learned = self.task_.electrons
        found = [(k, atoms, electronic_state(atoms, self.qm)) for k, atoms in enumerate(structures)]
        others = [
            f"structure {k} ({atoms.get_chemical_formula()}): {state.in_words}"
            for k, atoms, state in found
            if state != learned
        ]
        if others:
            what = (
                f"the model was trained on molecules of {learned.in_words}; say so of these, by charge and "
                "multiplicity in info, or train another model:"
            )
            raise DomainError(listed([what, *others], 21, "\n  "))

    def _check_occupied(self, targets: Sequence[Target], electrons: ElectronicState) -> None:
        for index, target in enumerate(targets):
            expected = self._n_occupied(target.numbers, electrons)
            if target.n_occupied != expected:
                raise ConfigError(
                    f"target {index} has {target.n_occupied} occupied levels, structure {index} has {expected} "
                    f"({electrons.in_words}); give structures with the charges they were computed with"
                )

    def _n_occupied(self, numbers: IntArray, electrons: ElectronicState) -> Occupied:
        multiplicity = electrons.multiplicity if self.qm.has_spins else None
        return n_occupied(numbers, self.target, electrons.charge, multiplicity, self.qm.basis)

    def _deviation(self, before: AnyPrediction, after: AnyPrediction, order: IntArray, rotation: FloatArray) -> float:
        t = ao_rotation(self.orbitals_, before.numbers, rotation)
        index = ao_permutation(self.orbitals_, before.numbers, order)
        expected = (t @ before.hamiltonian @ t.T)[..., index[:, None], index]
        return float(np.abs(after.hamiltonian - expected).max())

    def score(self, structures: Structures, targets: Sequence[Target]) -> float:
        """Return minus the root mean square error of the levels, eV: larger is better, as scikit-learn expects."""
        predictions = self.predict(structures, sides=[target.side for target in targets])
        found = metrics(predictions, [reference_prediction(target) for target in targets])
        return -1e-3 * float(found["eigenvalue_rmse_mev"])

    def alpha_of_block(self) -> dict[BlockKey, float]:
        """Return the relative regularisation chosen for every block; of learners that choose none an empty mapping."""
        chosen = self.learner_.regularisation()
        of_groups = ((keys, chosen[group]) for group, keys in self.task_.keys.items() if group in chosen)
        return {key: float(alpha) for keys, alphas in of_groups for key, alpha in zip(keys, alphas, strict=True)}

    def _predictions(
        self,
        task: MatrixTask,
        answers: Answers,
        numbers: Sequence[IntArray],
        sides: Sequence[Side],
        covariance: bool = False,
    ) -> list[AnyPrediction]:
        """Put predicted blocks together and add what is known of every molecule."""
        matrices = task.matrices(answers, numbers)
        known = task.decode_covariances(answers, numbers) if covariance else [None] * len(numbers)
        out: list[AnyPrediction] = []
        for z, matrix, (metric, baseline), v in zip(numbers, matrices, sides, known, strict=True):
            full = matrix if baseline is None else matrix + baseline
            occupied = self._n_occupied(z, task.electrons)
            if isinstance(occupied, tuple):
                made = SpinPrediction.of_channels(z, full, metric, occupied, task.orbitals, v, task.calibration)
                out.append(made)
            else:
                out.append(Prediction(z, full, metric, occupied, task.orbitals, v, task.calibration))
        return out

    def _calibration(
        self, task: MatrixTask, learner: Learner, targets: Sequence[Target], job: Job
    ) -> tuple[float, float]:
        """Return the factors that let error bars of levels and gap cover 68.3 % of the errors of held-out molecules."""
        predictions, references = [], []
        for fold in learner.held_out_:
            known = [targets[int(k)] for k in fold.indices]
            numbers, sides = [target.numbers for target in known], [target.side for target in known]
            predictions += self._predictions(task, fold.answers, numbers, sides, covariance=True)
            references += [reference_prediction(target) for target in known]
        learner.held_out_ = []
        if not predictions:
            raise ConfigError(
                f"model.kind {self.model.kind} leaves no structures out to calibrate error bars; drop model.error_bars"
            )
        found = errors_with_stds(predictions, references)
        levels, gap = (calibration_factor(*found[name]) for name in ("levels", "gap"))
        if not np.isfinite([levels, gap]).all():
            warnings.warn(
                "some structures left out are predicted wrongly without any uncertainty; error bars are not scaled, "
                "and too small where a molecule has atoms or pairs that training hardly had",
                HamlearnWarning,
                stacklevel=3,
            )
            levels, gap = (factor if np.isfinite(factor) else 1.0 for factor in (levels, gap))
        few = "; they are few, and the factors rough" if len(predictions) < FEW else ""
        spread = [calibration_metrics(*found[name])["rms_z"] for name in ("levels", "gap")]
        job.say(
            f"error bars: scaled by {levels:.3g} (levels) and {gap:.3g} (gap) to cover 68 % of the errors of "
            f"{len(predictions)} structures left out{few}; rms z {spread[0] / levels:.3g} and {spread[1] / gap:.3g}"
        )
        return levels, gap

    def _sides(self, structures: Sequence[Atoms], job: Job) -> Sequence[Side]:
        """Return the metric and the baseline of every molecule, as far as the target has them."""
        if not needs_calculation(self.target):
            return [(None, None)] * len(structures)
        side = partial(predict_side, qm=self.qm.model_copy(update=asdict(self.task_.electrons)), target=self.target)
        positions_bohr = (atoms.positions / BOHR_ANGSTROM for atoms in structures)
        with job.open_executor() as pool:
            return list(pool.map(side, numbers_of(structures), positions_bohr, chunksize=8))
