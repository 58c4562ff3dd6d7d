"""A learned Hamiltonian: geometry in, matrix and everything that follows from it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.blocks import BlockKey
from hamlearn.config import MatrixTarget, ModelSettings, QMSettings, RidgeSettings, SaphTarget
from hamlearn.display import listed
from hamlearn.errors import ConfigError, DomainError
from hamlearn.job import SILENT, Job
from hamlearn.learning.domain import warn_of_far_pairs
from hamlearn.learning.groups import Answers, covariance_gigabytes, in_lots
from hamlearn.learning.novelty import Found
from hamlearn.learning.protocols import Learner
from hamlearn.learning.registry import new_learner
from hamlearn.learning.tasks import MatrixTask
from hamlearn.model.base import LEARNER, Model
from hamlearn.model.calibrating import calibration_of
from hamlearn.model.folder import describe_training
from hamlearn.model.outside import Outside, warn_of_outside
from hamlearn.observables import (
    AnyPrediction,
    Prediction,
    SpinPrediction,
    metrics,
    reference_prediction,
)
from hamlearn.observables.judgement import judged
from hamlearn.parallel.one_thread import one_thread
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
    from torch import Tensor

DEFAULT_QM, SAPH, RIDGE = QMSettings(), SaphTarget(), RidgeSettings()


class HamiltonianModel(Model):
    """Learns the Hamiltonian of molecules from their geometries, block by block, with exact symmetry.

    Args:
        qm: how the matrices were computed; needed for what a prediction computes analytically (overlap, guess).
        target: which matrix is learned.
        model: the learner and its settings.

    Attributes:
        task_: orbitals of every species, the blocks of every group, and factors of error bars.
        learner_, training_: the fitted learner; size, formulas and hash of the training set.
        outside_: what tells molecules from those of the training set; None where it was not looked for, or the model
            was saved by a version that did not know it.

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
    outside_: Outside | None

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

    def fit(self, structures: Structures, targets: Sequence[Target], job: Job = SILENT, flags: bool = True) -> Self:
        """Fit on matrices of known molecules.

        Args:
            structures: geometries, Å; a path, one of them or a list.
            targets: the matrix of each, from :func:`hamlearn.build_target`.
            job: who hears of the progress, where kernels are computed and kept.
            flags: whether predictions shall be flagged that lie outside the training set.

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
        training = describe_training(structures, matrices)
        if self.has_error_bars:
            task.calibration, training["held_out"] = self._calibration(task, learner, targets, job)
        self.task_, self.learner_, self.training_ = task, learner, training
        self.outside_ = Outside.of(structures, targets) if flags else None
        return self

    def predict(
        self,
        structures: Structures,
        job: Job = SILENT,
        sides: Sequence[Side] | None = None,
        std: bool | Literal["levels"] = False,
        flags: bool = True,
    ) -> list[AnyPrediction]:
        """Predict the Hamiltonian of new molecules.

        Args:
            structures: geometries, Å; a path, one of them or a list.
            job: where kernels, and overlaps and guess matrices if the target needs them, are computed.
            sides: metric and baseline of every molecule, where they are known already.
            std: with error bars; takes longer. "levels": of levels and gap, of as many molecules as there are; True:
                also of the matrix, with all covariances in memory.
            flags: whether to flag molecules outside the training set, warn of them, and widen their error bars.

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
        outside = self.outside_ if flags else None
        numbers, sides = numbers_of(structures), sides or self._sides(structures, job)
        predict = learner.predict_with_covariance if std else learner.predict
        lots, out, new = [slice(None)], list[AnyPrediction](), list[Found]()
        if std == "levels":
            sizes = [covariance_gigabytes(z, self.task_.n_targets) for z in numbers]
            lots = [slice(*ends) for ends in in_lots(sizes, self.model.memory_gb / 2)]  # half: the last is still there
        for lot in lots:
            answers = predict(structures[lot], job)
            own = outside.find(structures[lot]) if outside else [Found()] * len(structures[lot])
            found = self._predictions(self.task_, answers, numbers[lot], sides[lot], bool(std), own)
            with one_thread():
                out += [p.without_covariance() for p in found] if std == "levels" else found
            new += own
        if flags:
            warn_of_outside(structures, None if outside is None else new, bool(std))
        return out

    def predict_all(
        self,
        structures: Structures,
        job: Job = SILENT,
        error_bars: bool = True,
        sides: Sequence[Side] | None = None,
    ) -> list[AnyPrediction]:
        """Predict the Hamiltonian, with error bars of levels and gap if the model was fitted with them."""
        std: Literal["levels", False] = "levels" if error_bars and self.has_error_bars else False
        return self.predict(structures, job, sides, std, flags=error_bars)

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

    def _own_state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        if self.outside_ is None:
            return {}, {}
        spec, tensors = self.outside_.state()
        return {"outside": spec}, tensors

    def _restore_own(self, spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.outside_ = Outside.from_state(spec["outside"], tensors) if "outside" in spec else None

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
        predictions = self.predict(structures, sides=[target.side for target in targets], flags=False)
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
        new: Sequence[Found] | None = None,
    ) -> list[AnyPrediction]:
        """Put predicted blocks together and add what is known of every molecule."""
        matrices = task.matrices(answers, numbers)
        known = task.decode_covariances(answers, numbers) if covariance else [None] * len(numbers)
        out: list[AnyPrediction] = []
        everything = zip(numbers, matrices, sides, known, new or [Found()] * len(numbers), strict=True)
        for z, matrix, (metric, baseline), v, own in everything:
            full = matrix if baseline is None else matrix + baseline
            occupied = self._n_occupied(z, task.electrons)
            widening = self.outside_.widening_ev(own) if own.flags and self.outside_ else (0.0, 0.0)
            more = (task.orbitals, v, task.calibration)
            if isinstance(occupied, tuple):
                out.append(SpinPrediction.of_channels(z, full, metric, occupied, *more, widening, own.flags))
            else:
                out.append(Prediction(z, full, metric, occupied, *more, None, widening, own.flags))
        return out

    def _calibration(
        self, task: MatrixTask, learner: Learner, targets: Sequence[Target], job: Job
    ) -> tuple[tuple[float, float], dict[str, Any]]:
        """Return the factors of error bars of levels and gap, and the errors of the molecules left out."""
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
        with one_thread():
            return calibration_of(predictions, references, job), judged(predictions, references)

    def _sides(self, structures: Sequence[Atoms], job: Job) -> Sequence[Side]:
        """Return the metric and the baseline of every molecule, as far as the target has them."""
        if not needs_calculation(self.target):
            return [(None, None)] * len(structures)
        side = partial(predict_side, qm=self.qm.model_copy(update=asdict(self.task_.electrons)), target=self.target)
        positions_bohr = (atoms.positions / BOHR_ANGSTROM for atoms in structures)
        costs = [len(atoms) ** 3 for atoms in structures]
        out = []
        with job.open_executor() as pool, job.progress("overlaps and guesses", costs) as progress:
            for found in pool.map(side, numbers_of(structures), positions_bohr, chunksize=8):
                out.append(found)
                progress.advance()
        return out
