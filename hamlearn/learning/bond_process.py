"""Gaussian processes in the frames of bonds: one fit per pair of elements, |M| and mirror symmetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import BondFrameKernel, KernelRidgeSettings, WignerSettings
from hamlearn.job import Job
from hamlearn.kernels.bond_kernel import BondBasis, BondKernel
from hamlearn.learning.active import check_active, clipped_active
from hamlearn.learning.bond_answers import BondAnswers
from hamlearn.learning.bond_learner import BondLearner
from hamlearn.learning.bond_problems import charges_of, check_reach, problems_of
from hamlearn.learning.bond_process_active import active_bonds
from hamlearn.learning.bond_process_budget import ProcessBudget
from hamlearn.learning.bond_process_fits import (
    Training,
    columns_of,
    families_of,
    fit_active_lot,
    fit_full_lot,
    held_out_answers,
    turned_covariance,
)
from hamlearn.learning.bond_process_kernels import back, folded, kernels
from hamlearn.learning.bond_process_rolls import check_rolls
from hamlearn.learning.bond_ridge import METRIC_ORDER
from hamlearn.learning.bond_slopes import slopes_of
from hamlearn.learning.data import Data
from hamlearn.learning.fitted import Fitted
from hamlearn.learning.group_fits import n_held_out
from hamlearn.learning.groups import Answers, Group, check_held_out, family_name
from hamlearn.learning.limits import refuse_alone
from hamlearn.learning.ridge import metric_of
from hamlearn.parallel.one_thread import one_thread
from hamlearn.regression.fit import Fit
from hamlearn.regression.posterior import variance_columns
from hamlearn.structures.families import numbers_of
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_STRUCTURES = 64
"""In a tile."""

LOT_SHARE = 0.25
"""Of the memory that the kernels of problems made together may take."""


class BondProcessLearner(BondLearner[KernelRidgeSettings]):
    """h_M(a) = sum_b k_M(a, b) x_b in the frame of every pair, and for atoms the sum of D^L(Q)^T h over their bonds.

    Attributes:
        kernel_: fitted, with the bonds of the basis.

    Predictions transform as h(R A) = s D^L(R) h(A), to what the rolls leave and to the precision of the kernels.

    Source: as :class:`hamlearn.kernels.bond_kernel.BondKernel`.
    """

    kernel_: BondKernel

    @property
    def given(self) -> BondFrameKernel:
        """Settings of the kernel."""
        assert isinstance(self.settings.kernel, BondFrameKernel)
        return self.settings.kernel

    @property
    def density(self) -> BondFrameKernel:
        """Settings of the densities and of the bonds: those of the kernel."""
        return self.given

    @property
    def max_l(self) -> int:
        """Largest l of the harmonics used."""
        return self.kernel_.max_l if hasattr(self, "kernel_") else self.given.max_l

    @classmethod
    def smaller(cls, settings: KernelRidgeSettings, structures: Sequence[Atoms]) -> KernelRidgeSettings:
        """Return settings with an active set that these structures hold, sparse where a solver is given."""
        basis = "sparse" if settings.solver else settings.basis
        return settings.model_copy(update={"active": clipped_active(settings.active, structures), "basis": basis})

    def check(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool = False) -> None:
        """Refuse what cannot be fitted, before anything is computed.

        Raises:
            ConfigError: for a single structure where some must be left out, an active set larger than the data, or
                kernels or covariances of structures left out that need more than ``memory_gb``.
        """
        s, budget = self.settings, ProcessBudget(self.settings, structures, list(n_targets), held_out)
        if held_out or s.error_bars or not budget.is_full:
            refuse_alone(len(structures), "error bars and an active set need", ", or drop these settings")
        s.check_solver("full" if budget.is_full else "sparse")
        check_active(s.active, structures)
        budget.check()
        if held_out:
            n_held = len(structures) if budget.is_full else n_held_out(len(structures), s.folds)
            present = {group: n for group, n in n_targets.items() if group.family in budget.counts}
            check_held_out(numbers_of(structures), present, n_held, s.memory_gb)

    def fit(self, structures: Sequence[Atoms], data: Data, job: Job, held_out: bool = False) -> Self:
        """Fit every problem; alpha by cross-validation over structures dealt out at random (fixed seed).

        Raises:
            ConfigError: if kernels need more than ``memory_gb``, or for too few rolls.
        """
        self.check(structures, data.n_targets, held_out)
        s, budget = self.settings, ProcessBudget(self.settings, structures, data.groups, held_out)
        kernel = BondKernel(self.given)
        elements = sorted({int(z) for atoms in structures for z in atoms.numbers})
        batches = [Samples.of(structures[a : a + MOST_STRUCTURES]) for a in range(0, len(structures), MOST_STRUCTURES)]
        kernel.fit(batches, charges_of(data.groups, elements), slopes_of(structures, data, self.given, job))
        training = Training(kernel, kernel.seen(batches), data, s, held_out or bool(s.error_bars))
        problems = problems_of(data.groups)
        check_rolls(kernel, training.bonds, problems)
        kernel.basis_ = training.bonds
        if not budget.is_full:
            counts = budget.active_counts()
            kernel.basis_ = active_bonds(training, problems, counts, s.active_by)
            sizes = {family_name(f): n for f, n in counts.items()}
            job.say(f"{job.label}, active set: {', '.join(f'{name} {n}' for name, n in sizes.items())}")
        fit_lot = fit_full_lot if budget.is_full else fit_active_lot
        fits: dict[int, Fit] = {}
        with job.progress("groups of blocks", training.costs(problems, budget.is_full)) as progress:
            for lot in training.lots(problems, LOT_SHARE * s.memory_gb):
                fits |= zip(lot, fit_lot(training, [problems[index] for index in lot]), strict=True)
                progress.advance(items=lot)
        ordered = [fits[index] for index in range(len(problems))]
        fitted = [Fitted.of(fit, np.zeros(fit.weights.shape[1])) for fit in ordered]
        self._take_over(kernel, fitted, {group: data.offset(group) for group in data.groups})
        self.held_out_ = [held_out_answers(training, problems, ordered)] if held_out else []
        (self.domain_,) = self.domains(structures)
        return self

    @torch.inference_mode()
    def predict(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return h_M of every group and row of new geometries, Hartree."""
        everything = Samples.of(structures)
        self.domain_.check(structures, samples=everything)
        check_reach(structures, self.problems_, self.kernel_)
        answers = Answers(len(structures))
        for start in range(0, len(structures), MOST_STRUCTURES):
            some = structures[start : start + MOST_STRUCTURES]
            samples = everything if len(some) == len(structures) else Samples.of(some)
            for group, values in self._answers.rows(self.kernel_.tile(samples), numbers_of(some)).items():
                answers.add(group, values, (), start)
        return answers

    def predict_with_covariance(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return the same with s^2 (k(*, *) - (k F)(k F)^T) of every group and structure."""
        if not any(fit.posterior for fit in self.fits_):
            return super().predict_with_covariance(structures, job)
        values = self.predict(structures, job).values()
        numbers, answers = numbers_of(structures), Answers(len(structures))
        known = [self._covariances(atoms) for atoms in structures]
        for group, rows in values.items():
            sizes = [group.n_rows(z) for z in numbers]
            nothing = [np.zeros((len(self.offsets_[group]), n, n)) for n in sizes]
            answers.add(group, rows, [own.get(group, zero) for own, zero in zip(known, nothing, strict=True)])
        return answers

    def metric(self) -> WignerSettings:
        """Return kernels of single atoms with the cut-off and widths of the densities."""
        return metric_of(self.given, METRIC_ORDER)

    def in_words(self) -> list[str]:
        """Return what the kernel is, and the size of the basis."""
        s, basis = self.given, self.kernel_.basis_
        names = {kind: family_name(kind.family) for kind in sorted(basis.sets, key=lambda k: (k.kind == "pair", k))}
        sizes = {names[k]: len(basis.sets[k]) if k.kind == "pair" else basis.counts[k] for k in names}
        form = "Matern 5/2" if s.form == "matern" else "Gaussian"
        return [
            f"Gaussian process in the frames of bonds: {form} function, {s.rolls} rolls, environments of "
            f"{s.cutoff_angstrom:g} Å, pairs up to {s.pair_cutoff_angstrom:g} Å",
            f"Atoms and pairs in the basis: {', '.join(f'{name} {n}' for name, n in sizes.items())}",
        ]

    def _variables_state(self) -> dict[str, Tensor]:
        return self.kernel_.state() | self.kernel_.basis_.tensors()

    def _restore(self, tensors: Mapping[str, Tensor], fits: list[Fitted], offsets: dict[Group, FloatArray]) -> None:
        kernel = BondKernel.from_state(self.given, tensors)
        kernel.basis_ = BondBasis.from_tensors(tensors)
        self._take_over(kernel, fits, offsets)

    def _take_over(self, kernel: BondKernel, fits: list[Fitted], offsets: dict[Group, FloatArray]) -> None:
        """Answer by these fits from now on."""
        self.kernel_, self.fits_, self.offsets_ = kernel, fits, offsets
        self.problems_ = problems_of(list(offsets))
        weights = [folded(kernel, problem, fit.weights) for problem, fit in zip(self.problems_, fits, strict=True)]
        self._answers = BondAnswers(kernel, self.problems_, weights, offsets)

    @one_thread()
    def _covariances(self, atoms: Atoms) -> dict[Group, FloatArray]:
        """Return the covariances of one structure [target, row, row]."""
        own = self.kernel_.seen([Samples.of([atoms])])
        out: dict[Group, FloatArray] = {}
        for members in families_of(self.problems_, self.kernel_):  # whose kernels of bonds are the same
            known = [(self.problems_[k], posterior) for k in members if (posterior := self.fits_[k].posterior)]
            problems = [problem for problem, _ in known]
            both = (kernels(self.kernel_, problems, own, side) for side in (self.kernel_.basis_, own))
            for (problem, posterior), k, prior in zip(known, *both, strict=True):
                columns = variance_columns(k.shape[1], problem.width)
                (covariance,) = posterior.covariances(k[:, columns], [len(k)], [prior])
                for group, own_targets in columns_of(problem, self._n_targets):
                    turn = back(problem, group, own, group.n_rows(atoms.numbers) // group.width).toarray()
                    out[group] = out.get(group, 0.0) + turned_covariance(turn, covariance[own_targets])
        return out
