"""Ridge regression on features in the frames of bonds: one fit per pair of elements, |M| and mirror symmetry."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from hamlearn.config import BondFrameFeatures, RidgeSettings, WignerSettings
from hamlearn.errors import ConfigError
from hamlearn.features.bond_frame import BondFrame
from hamlearn.job import Job
from hamlearn.learning.bond_answers import BondAnswers
from hamlearn.learning.bond_budget import MOST_STRUCTURES, BondBudget
from hamlearn.learning.bond_error_bars import LaboratorySums
from hamlearn.learning.bond_fits import BondFits
from hamlearn.learning.bond_learner import BondLearner
from hamlearn.learning.bond_problems import charges_of, check_reach, problems_of
from hamlearn.learning.bond_slopes import slopes_of
from hamlearn.learning.data import Data
from hamlearn.learning.fitted import Fitted
from hamlearn.learning.groups import Answers, Group
from hamlearn.learning.left_out import check_left_out
from hamlearn.learning.ridge import metric_of
from hamlearn.parallel.one_thread import one_thread
from hamlearn.structures.families import numbers_of
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

METRIC_ORDER = 2
"""Body order of the kernel that measures distances between atoms."""


class BondFrameLearner(BondLearner[RidgeSettings]):
    """h_M = sum_q w_q phi_q in the frame of every pair, and for atoms the sum of D^L(Q)^T h over their bonds.

    Attributes:
        frame_: fitted representation.

    Predictions transform exactly: h(R A) = s D^L(R) h(A), whatever roll the frames have.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 8, 10 to 15 and 23 to 26.
    """

    def __init__(self, settings: RidgeSettings) -> None:
        super().__init__(settings)
        self.frame_ = BondFrame(self.features)
        self.problems_, self.fits_, self.offsets_ = [], [], {}
        self._answers = BondAnswers(self.frame_, [], [], {})

    @property
    def features(self) -> BondFrameFeatures:
        """Settings of the features."""
        assert isinstance(self.settings.features, BondFrameFeatures)
        return self.settings.features

    @property
    def density(self) -> BondFrameFeatures:
        """Settings of the densities and of the bonds: those of the features."""
        return self.features

    @property
    def max_l(self) -> int:
        """Largest l of the harmonics used."""
        return self.frame_.max_l

    def check(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool = False) -> None:
        """Refuse more features than memory holds, sums, and error bars where nothing can be left out."""
        if any(group.is_sum for group in n_targets):
            raise ConfigError(
                "model.features.kind bond_frame learns blocks of matrices, got sums over atoms; use kind coupled"
            )
        self._budget.check(structures, n_targets, held_out)
        if held_out:
            check_left_out(structures, n_targets, self.settings.memory_gb)

    def fit(self, structures: Sequence[Atoms], data: Data, job: Job, held_out: bool = False) -> Self:
        """Fit every problem; alpha by cross-validation over structures dealt out at random (fixed seed).

        Held-out predictions are of 200 structures in all, from at least 8 parts where there are fewer; variables,
        products, regularisation and prior variances are those of all.

        Raises:
            ConfigError: if the plan of features does not fit into ``memory_gb``, or if there is nothing to hold out.
        """
        self.check(structures, data.n_targets, held_out)
        clock = time.perf_counter()
        frame = BondFrame(self.features)
        batches = [Samples.of(structures[a : a + MOST_STRUCTURES]) for a in range(0, len(structures), MOST_STRUCTURES)]
        elements = sorted({int(z) for atoms in structures for z in atoms.numbers})
        charges = charges_of(data.groups, elements)
        frame.most_ = self._budget.most(structures, data.n_targets, held_out, charges)
        frame.fit(batches, charges, slopes_of(structures, data, self.features, job))
        fitting = BondFits(self._budget, frame, structures, data, held_out)
        fits = fitting.run(job)
        self.feature_seconds_ = time.perf_counter() - clock - fitting.seconds
        offsets = {group: data.offset(group) for group in data.groups}
        self._take_over(frame, fits, offsets)
        self.held_out_ = fitting.held_out(offsets)
        (self.domain_,) = self.domains(structures)
        return self

    @torch.inference_mode()
    def predict(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return h_M of every group and row of new geometries."""
        everything = Samples.of(structures)
        self.domain_.check(structures, samples=everything)
        check_reach(structures, self.problems_, self.frame_)
        answers = Answers(len(structures))
        for start, stop in self._budget.tiles(structures, self.frame_, []):
            whole = stop - start == len(structures)
            tile = self.frame_.tile(everything if whole else Samples.of(structures[start:stop]))
            for group, values in self._answers.rows(tile, numbers_of(structures[start:stop])).items():
                answers.add(group, values, (), start)
        return answers

    @one_thread()
    def predict_with_covariance(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return the same with the covariance of the posterior of the weights and of what features cannot express."""
        if not any(fit.posterior for fit in self.fits_):
            return super().predict_with_covariance(structures, job)
        self.domain_.check(structures)
        check_reach(structures, self.problems_, self.frame_)
        answers = Answers(len(structures))
        for start, stop in self._budget.tiles(structures, self.frame_, self.problems_):
            sums = LaboratorySums(numbers_of(structures[start:stop]), self._n_targets)
            tile = self.frame_.tile(Samples.of(structures[start:stop]))
            for problem, fit in zip(self.problems_, self.fits_, strict=True):
                if fit.posterior is not None:
                    sums.add(self.frame_, tile, 0, problem, (fit.weights, fit.posterior))
            sums.add_to(answers, self.offsets_, start)
        return answers

    def metric(self) -> WignerSettings:
        """Return kernels of single atoms with the cut-off and widths of the features."""
        return metric_of(self.features, min(self.features.max_nu_centre, METRIC_ORDER))

    def in_words(self) -> list[str]:
        """Return how many features there are."""
        counts = sorted(len(fit.weights) for fit in self.fits_)
        least_and_most = dict.fromkeys(map(str, counts[:1] + counts[-1:]))
        return [f"Features in the frames of bonds: {' to '.join(least_and_most)} of each symmetry"] if counts else []

    def _variables_state(self) -> dict[str, Tensor]:
        return self.frame_.state()

    def _restore(self, tensors: Mapping[str, Tensor], fits: list[Fitted], offsets: dict[Group, FloatArray]) -> None:
        self._take_over(BondFrame.from_state(self.features, tensors), fits, offsets)

    def _take_over(self, frame: BondFrame, fits: list[Fitted], offsets: dict[Group, FloatArray]) -> None:
        """Answer by these fits from now on."""
        self.frame_, self.fits_, self.offsets_ = frame, fits, offsets
        self.problems_ = problems_of(list(offsets))
        self._answers = BondAnswers(frame, self.problems_, [fit.weights for fit in fits], offsets)

    @property
    def _budget(self) -> BondBudget:
        return BondBudget(self.settings, self.features)
