"""Ridge regression on equivariant features: one fit per symmetry, densities made once per tile of structures."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from torch import Tensor

from hamlearn.config import BondDensity, CoupledFeatures, FeatureSettings, RidgeSettings, WignerSettings
from hamlearn.errors import DomainError, HamlearnWarning
from hamlearn.features import Featurizer
from hamlearn.job import Job
from hamlearn.learning.choice import evenly_spaced
from hamlearn.learning.data import Data
from hamlearn.learning.domain import Domain
from hamlearn.learning.feature_rows import FeatureRows
from hamlearn.learning.fitted import Fitted, fitted_tensors, read_fitted
from hamlearn.learning.groups import VANISHING, Answers, Group, HeldOut, in_lots
from hamlearn.learning.left_out import FEWEST_PARTS, MOST_HELD_OUT, check_left_out, predictable
from hamlearn.learning.limits import costs_of_steps
from hamlearn.learning.protocols import Learner
from hamlearn.learning.ridge_budget import GRAPH, RidgeBudget, factor_gigabytes
from hamlearn.progress import Progress
from hamlearn.regression.columns import choose_columns
from hamlearn.regression.posterior import Posterior
from hamlearn.regression.rows import RowFactor
from hamlearn.regression.sparse import SparseProblem
from hamlearn.regression.spectral import Spectrum, fit_ridge
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_L = 3
"""Largest angular momentum of the kernel that measures distances between atoms."""

ROWS_TO_CHOOSE = 4000
"""Rows that decide which features are kept."""

CHOICE_SHARE = 0.5
"""Of the memory that factors of several groups may take while features are chosen; the rest is for their rows."""


class RidgeLearner(Learner[RidgeSettings]):
    """h_M = sum_q w_q x_{Mq} for every target, all components M of a sample with one weight vector.

    Attributes:
        featurizer_: fitted radial functions.
        fits_: weights, regularisation and posterior of every group.
        columns_: which features of a group are kept; those of groups that are not named are all kept.

    Predictions transform exactly as the features: h(R A) = s D^L(R) h(A).

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 23-26.
    """

    HAS_ERROR_BARS = True

    featurizer_: Featurizer

    def __init__(self, settings: RidgeSettings) -> None:
        super().__init__(settings)
        self.fits_: dict[Group, Fitted] = {}
        self.columns_: dict[Group, IntArray] = {}

    @property
    def features(self) -> CoupledFeatures:
        """Settings of the features."""
        assert isinstance(self.settings.features, CoupledFeatures)
        return self.settings.features

    @property
    def max_l(self) -> int:
        """Largest l of the harmonics used."""
        return self.features.max_l

    @property
    def pair_cutoff(self) -> float:
        """Largest distance of pairs of atoms that have blocks, Å."""
        return self.features.pair_cutoff_angstrom

    def check(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool = False) -> None:
        """Refuse to leave out structures where there is one, and what does not fit into memory."""
        if held_out:
            check_left_out(structures, n_targets, self.settings.memory_gb)
        if n_targets:
            self._check_memory(structures, n_targets, held_out)

    def _check_memory(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool) -> None:
        """Refuse what does not fit into memory; one molecule of every formula tells how many features there are."""
        alike = {atoms.get_chemical_formula(): atoms for atoms in structures}
        budget = RidgeBudget(self.settings, Featurizer(self.features).fit([Samples.of(list(alike.values()))]), {}, {})
        rows = {group: sum(group.n_rows(atoms.numbers) for atoms in structures) for group in n_targets}
        n_parts = self._n_parts(len(structures), held_out)
        try:
            budget.check({g: n for g, n in n_targets.items() if rows[g]}, rows, n_parts, held_out)
        except DomainError:  # pairs that are near in other molecules only: the fit tells
            return

    def _n_parts(self, n_structures: int, held_out: bool) -> int:
        """Return into how many parts a training set is dealt out."""
        n_folds = min(self.settings.folds, n_structures)
        few = held_out and n_structures < MOST_HELD_OUT
        return n_folds * (min(-(-FEWEST_PARTS // n_folds), n_structures // n_folds) if few else 1)

    def domains(self, structures: Sequence[Atoms], pairs: bool = True) -> list[Domain]:
        """Return the domain of a model of some structures."""
        return [Domain.of(structures, self.features, pairs)]

    def fit(self, structures: Sequence[Atoms], data: Data, job: Job, held_out: bool = False) -> Self:
        """Fit every group; cross-validation deals structures out to folds at random (fixed seed).

        Held-out predictions are of 200 structures in all, from at least 8 parts where there are fewer; radial
        functions, regularisation and prior variances are those of all.

        Raises:
            ConfigError: if the factors of a group need more than ``memory_gb``, or if there is nothing to hold out.
        """
        if held_out:
            check_left_out(structures, data.n_targets, self.settings.memory_gb)
        n = len(structures)
        n_folds, n_parts = min(self.settings.folds, n), self._n_parts(n, held_out)
        parts = [np.flatnonzero(data.order % n_parts == part) for part in range(n_parts)]
        clock = time.perf_counter()
        self.featurizer_ = Featurizer(self.features)
        self.featurizer_.fit(Samples.of(structures[a:b]) for a, b in self._budget.tiles(structures, []))
        self.feature_seconds_ = time.perf_counter() - clock
        self.fits_, self.columns_ = {}, {}
        tests = [predictable(structures, part, data.order) for part in parts] if held_out else []
        answers = [Answers(len(test)) for test in tests]
        n_rows = {group: len(values) for group, values in data.values.items()}
        lots = list(self._budget.lots(data.n_targets, n_rows, n_parts, held_out))
        counts = {group: (self._budget.n_kept(group), n_rows[group]) for group in data.groups}
        steps = [costs_of_steps([counts[group] for group in lot], n, len(tests)) for lot in lots]
        with job.progress("steps", [*chain(*steps)]) as progress:
            for lot in lots:
                self._fit_lot(lot, structures, data, parts, n_folds, list(zip(tests, answers, strict=True)), progress)
        self.held_out_ = [HeldOut(test, answer) for test, answer in zip(tests, answers, strict=True)]
        (self.domain_,) = self.domains(structures, pairs=not any(group.is_sum for group in data.groups))
        return self

    def predict(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return h_M = sum_q w_q x_{Mq} of every group and row of new geometries."""
        return self._predict(structures, covariance=False)

    def predict_with_covariance(self, structures: Sequence[Atoms], job: Job) -> Answers:
        """Return the same with the covariance of the posterior of the weights and of what features cannot express."""
        if not any(fit.posterior for fit in self.fits_.values()):
            return super().predict_with_covariance(structures, job)
        return self._predict(structures, covariance=True)

    @property
    def differentiable(self) -> bool:
        """Whether there are derivatives of sums with respect to positions: of scalars that do not change sign."""
        return bool(self.fits_) and all(group.is_sum and group.irrep == (0, 1) for group in self.fits_)

    def predict_with_gradients(
        self, structures: Sequence[Atoms], job: Job, covariance: bool = False
    ) -> tuple[Answers, FloatArray]:
        """Return the same with derivatives with respect to positions [atom, 3], Å^-1."""
        if not self.differentiable:
            return super().predict_with_gradients(structures, job, covariance)
        self.domain_.check(structures)
        answers, gradients = Answers(len(structures)), [np.zeros((0, 3))]
        ((group, fit),) = self.fits_.items()
        for start, stop in self._budget.tiles(structures, [group], copies=GRAPH):
            rows = FeatureRows(self.featurizer_, structures[start:stop], self.columns_, differentiable=True)
            values, slopes = rows.project_with_slopes(group, fit.weights)
            covariances = _covariances(fit.posterior if covariance else None, rows, group)
            answers.add(group, values + fit.offsets, covariances, start)
            gradients.append(slopes)
        return answers, np.concatenate(gradients)

    def regularisation(self) -> dict[Group, FloatArray]:
        """Return the relative regularisation chosen for every target [target]."""
        return {group: fit.alphas for group, fit in self.fits_.items()}

    def metric(self) -> WignerSettings:
        """Return kernels of single atoms with the cut-off and widths of the features."""
        return metric_of(self.features, self.features.max_nu_centre)

    def in_words(self) -> list[str]:
        """Return how many features there are."""
        counts = sorted(len(fit.weights) for fit in self.fits_.values())
        least_and_most = dict.fromkeys(map(str, counts[:1] + counts[-1:]))
        return [f"Features: {' to '.join(least_and_most)} of each symmetry"] if counts else []

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the domain, and radial functions, weights and posteriors."""
        return {"domain": self.domain_.state()}, self.featurizer_.state() | fitted_tensors(self.fits_)

    @classmethod
    def from_state(
        cls,
        settings: RidgeSettings,
        groups: Mapping[Group, int],
        spec: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
    ) -> Self:
        """Return the fitted learner whose :meth:`state` this is."""
        out = cls(settings)
        out.featurizer_ = Featurizer.from_state(out.features, tensors)
        out.domain_ = Domain.from_state(spec["domain"])
        out.fits_ = read_fitted(groups, tensors)
        out.columns_ = {group: fit.columns for group, fit in out.fits_.items() if fit.columns is not None}
        return out

    def _predict(self, structures: Sequence[Atoms], covariance: bool) -> Answers:
        self.domain_.check(structures)
        answers = Answers(len(structures))
        for start, stop in self._budget.tiles(structures, list(self.fits_)):
            rows = self._rows(structures[start:stop])
            for group, fit in self.fits_.items():
                self._answer(answers, rows, group, fit.weights, fit.posterior if covariance else None, start)
        return answers

    def _answer(
        self,
        answers: Answers,
        rows: FeatureRows,
        group: Group,
        weights: FloatArray,
        posterior: Posterior | None,
        start: int,
    ) -> None:
        """Predict the rows of a group of the tile of structures that begins at ``start``."""
        values = rows.project(group, weights) + self.fits_[group].offsets
        answers.add(group, values, _covariances(posterior, rows, group), start)

    def _fit_lot(
        self,
        lot: Sequence[Group],
        structures: Sequence[Atoms],
        data: Data,
        parts: Sequence[IntArray],
        n_folds: int,
        tests: Sequence[tuple[IntArray, Answers]],
        progress: Progress,
    ) -> None:
        """Fit some groups, and predict them of test structures of every part from the other parts."""
        y = {group: data.rows(group) for group in lot}
        self._choose_columns(lot, structures)
        sizes = [self._budget.n_kept(group) for group in lot]
        problems = {g: SparseProblem(q, y[g].shape[1], len(parts)) for g, q in zip(lot, sizes, strict=True)}
        for part, members in enumerate(parts):
            chosen = [structures[k] for k in members]
            for start, stop in self._budget.tiles(chosen, lot, sizes, len(parts)):
                rows = self._rows(chosen[start:stop])
                for group, problem in problems.items():
                    own = np.isin(data.owner[group], members[start:stop])
                    if own.any():
                        problem.add(self._timed(rows, group), y[group][own], part)
                progress.advance(count=stop - start)
        found = {}
        for group, problem in problems.items():
            found[group] = fit_ridge(problem, n_folds)
            progress.advance()
        for group, fit in found.items():
            if not len(fit.weights) and float((y[group] ** 2).mean()) > VANISHING:
                _warn_of_unreached(group)
            known = fit.posterior if self.settings.error_bars or tests else None
            kept = self.columns_.get(group)
            self.fits_[group] = Fitted(fit.weights, data.offset(group), fit.alphas, fit.cv_mse, known, kept)
        for part, (test, answer) in enumerate(tests):
            others = {}
            for group, problem in problems.items():
                whole = found[group].known
                others[group] = Spectrum.of(problem, [part]).solve(whole.alphas, whole.scales)
            chosen = [structures[k] for k in test]
            for start, stop in self._budget.tiles(chosen, lot, sizes, len(parts)):
                rows = self._rows(chosen[start:stop])
                for group, (weights, posterior) in others.items():
                    self._answer(answer, rows, group, weights, posterior, start)
            progress.advance()

    def _choose_columns(self, lot: Sequence[Group], structures: Sequence[Atoms]) -> None:
        """Choose the features of each group that are kept, from evenly spaced structures."""
        wide = {g: q for g in lot if (q := self._budget.n_features(g)) > self._budget.n_kept(g)}
        if not wide:
            return
        per_structure = max(max(g.n_rows(atoms.numbers) for g in wide) for atoms in structures)
        some = [structures[k] for k in evenly_spaced(len(structures), max(2, ROWS_TO_CHOOSE // max(per_structure, 1)))]
        gigabytes = [factor_gigabytes([q], 1) for q in wide.values()]
        for first, last in in_lots(gigabytes, CHOICE_SHARE * self.settings.memory_gb):
            factors = {group: RowFactor(wide[group]) for group in list(wide)[first:last]}
            for start, stop in self._budget.tiles(some, list(factors), [wide[group] for group in factors]):
                rows = self._rows(some[start:stop])
                for group, factor in factors.items():
                    factor.add(self._timed(rows, group))
            for group, kept in factors.items():
                columns = choose_columns(kept.factor, self._budget.n_kept(group), self.settings.features_by or "cur")
                self.columns_[group] = np.sort(columns)

    @property
    def _budget(self) -> RidgeBudget:
        return RidgeBudget(self.settings, self.featurizer_, self.columns_, self.fits_)

    def _timed(self, rows: FeatureRows, group: Group) -> FloatArray:
        clock = time.perf_counter()
        out = rows.matrix(group)
        self.feature_seconds_ += time.perf_counter() - clock
        return out

    def _rows(self, structures: Sequence[Atoms]) -> FeatureRows:
        clock = time.perf_counter()
        out = FeatureRows(self.featurizer_, structures, self.columns_)
        self.feature_seconds_ += time.perf_counter() - clock
        return out


def metric_of(features: FeatureSettings | BondDensity, max_nu: int) -> WignerSettings:
    """Return kernels of single atoms with the cut-off and widths of features, of order ``max_nu``."""
    return WignerSettings(
        max_l=min(features.max_l, MOST_L),
        max_nu_centre=max(max_nu, 1),
        max_nu_pair=0,
        cutoff_angstrom=features.cutoff_angstrom,
        cutoff_width_angstrom=features.cutoff_width_angstrom,
        smearing_angstrom=features.smearing_angstrom,
        pair_cutoff_angstrom=features.pair_cutoff_angstrom,
    )


def _covariances(posterior: Posterior | None, rows: FeatureRows, group: Group) -> list[FloatArray]:
    """Return the covariances of the rows of every structure of a tile; none without a posterior."""
    return posterior.covariances(rows.matrix(group), rows.sizes(group)) if posterior else []


def _warn_of_unreached(group: Group) -> None:
    warnings.warn(
        f"no feature reaches blocks of L = {group.L}, sigma = {group.sigma:+d} ({group.name}, {group.family.kind}); "
        "they are predicted as zero: raise model.features.max_l, max_nu_centre or max_nu_pair",
        HamlearnWarning,
        stacklevel=4,
    )
