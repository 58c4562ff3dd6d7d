"""The contract of learners, for tests, those of the package and those of your own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from ase import Atoms
from safetensors.torch import load, save

from hamlearn.config import ModelSettings
from hamlearn.errors import ConfigError, DomainError
from hamlearn.job import SILENT
from hamlearn.learning.data import Data
from hamlearn.learning.groups import Answers
from hamlearn.learning.protocols import Learner
from hamlearn.learning.registry import learner_class, new_learner, smaller
from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.testing import TOLERANCE
from hamlearn.testing.exact_problems import MatrixProblem, Problem, small_molecules, through_yaml
from hamlearn.testing.rotated_rows import assert_rows, rotated_covariance, rotated_rows
from hamlearn.types import FloatArray

EXACT = TOLERANCE["float64"]["exact"]
KNOWN, NEW = small_molecules(10), small_molecules(4, seed=1)
STEP = 1e-4
"""Å, of numerical derivatives."""


class LearnerContract:
    """What every learner must do; a class of tests derives from it and names the settings.

    Register the learner (:func:`hamlearn.register_learner`), then::

        class TestMine(LearnerContract):
            settings = MySettings()

    and run pytest. Beside ``settings`` there are

    - ``problem``: what is learned, by default core Hamiltonians of distorted waters and hydrogen peroxides;
      :class:`hamlearn.testing.exact_problems.PropertyProblem` of l = 0, 1, 2 are properties;
    - ``has_error_bars``, ``leaves_out``: whether the learner has covariances, and predictions of structures left out;
      without them they must be refused in words, as the base class does;
    - ``largest_error``: of new molecules, as a fraction of the spread of what is learned;
    - ``tolerance``: of symmetries, in the unit of the rows; weights of either sign that are large cost digits.

    A learner of groups, :class:`hamlearn.learning.groups.Group`, must

    - answer with rows (sample, M) of every group, structure by structure, whatever structures come together;
    - turn them with the structures, h(R A) = s D^L(R) h(A) for proper (s = 1) and improper (s = sigma) R, follow
      permutations of the atoms and ignore translations, and do so with their covariances, V -> D V D^T;
    - give covariances that are symmetric and positive semi-definite;
    - keep predictions of structures by models that have not seen them, each structure once;
    - begin predictions with ``self.domain_.check(structures)``, so that unknown elements are refused, and use before a
      fit as well;
    - leave settings, structures and data as they are, and find the same when it is fitted again;
    - be the same after ``state`` and ``from_state``, with a file between.
    """

    settings: ClassVar[ModelSettings]
    problem: ClassVar[Problem] = MatrixProblem()
    has_error_bars: ClassVar[bool] = True
    leaves_out: ClassVar[bool] = True
    largest_error: ClassVar[float] = 0.3
    tolerance: ClassVar[float] = 1e-8

    @pytest.fixture(scope="class")
    @classmethod
    def encoded(cls) -> tuple[Any, Data]:
        """Return the task of the known molecules, and what is learned of them."""
        return cls.problem.encode(KNOWN)

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls, encoded: tuple[Any, Data]) -> Data:
        """Return what is learned of the known molecules."""
        return encoded[1]

    @pytest.fixture(scope="class")
    @classmethod
    def learner(cls, data: Data) -> Learner:
        """Return the learner after a fit, with all it offers."""
        return cls._new().fit(KNOWN, data, SILENT, cls.leaves_out)

    @pytest.fixture(scope="class")
    @classmethod
    def answers(cls, learner: Learner) -> Answers:
        """Return what it says of new molecules, with covariances if it has them."""
        return cls._predict(learner, NEW)

    def test_there_is_a_row_for_every_component(self, answers: Answers, data: Data) -> None:
        """Of every sample, and a column for every target; covariances of both."""
        values = answers.values()
        for group, n in data.n_targets.items():
            sizes = [group.n_rows(atoms.numbers) for atoms in NEW]
            assert values[group].shape == (sum(sizes), n)
            assert np.isfinite(values[group]).all()
            for size, known in zip(sizes, answers.covariances, strict=True):
                assert not self.has_error_bars or (group in known) == (size > 0)
                assert group not in known or known[group].shape == (n, size, size)

    def test_something_is_learned(self, answers: Answers, encoded: tuple[Any, Data]) -> None:
        """New molecules are predicted better than by the means of scalars of atoms, and zero for all else."""
        task, data = encoded
        means = {group: np.tile(data.offset(group), (len(y), 1)) for group, y in answers.values().items()}
        errors = [self._error(task, found, NEW) for found in (answers, Answers(len(NEW), means))]
        assert errors[0] < self.largest_error * errors[1]

    def test_molecules_do_not_see_each_other(self, learner: Learner, answers: Answers) -> None:
        """Each is predicted alone as it is among others, also where pairs of some elements do not occur."""
        for position, atoms in enumerate(NEW[:2]):
            alone, values = self._predict(learner, [atoms]), {}
            for group, rows in answers.values().items():
                ends = np.cumsum([group.n_rows(one.numbers) for one in NEW])
                own = rows[ends[position] - group.n_rows(atoms.numbers) : ends[position]]
                if len(own):
                    values[group] = own
            assert_rows({group: rows for group, rows in alone.values().items() if len(rows)}, values, self.tolerance)
            for group, covariance in answers.covariances[position].items():
                self._assert_covariance(alone.covariances[0][group], covariance)

    @pytest.mark.parametrize("improper", [False, True])
    def test_answers_turn_with_the_molecules(self, learner: Learner, answers: Answers, improper: bool) -> None:
        """And do not see where these are."""
        rotation = random_rotation(np.random.default_rng(0), improper)
        after = self._predict(learner, [translate(rotate(atoms, rotation), [3.0, -2.0, 1.0]) for atoms in NEW])
        turned = {group: rotated_rows(rows, group, rotation) for group, rows in answers.values().items()}
        assert_rows(after.values(), turned, self.tolerance)
        for known, found in zip(answers.covariances, after.covariances, strict=True):
            for group, covariance in known.items():
                self._assert_covariance(found[group], rotated_covariance(covariance, group, rotation))

    def test_answers_follow_permutations(self, learner: Learner, answers: Answers, encoded: tuple[Any, Data]) -> None:
        """In the shape of what was learned; every group is as uncertain as it was."""
        rng = np.random.default_rng(0)
        orders = [rng.permutation(len(atoms)) for atoms in NEW]
        moved = [permute(atoms, order) for atoms, order in zip(NEW, orders, strict=True)]
        found = self._predict(learner, moved)
        before, after = (self.problem.decode(encoded[0], *both) for both in ((answers, NEW), (found, moved)))
        for one, other, atoms, order in zip(before, after, NEW, orders, strict=True):
            expected = self.problem.permuted(one, atoms, order)
            np.testing.assert_allclose(other, expected, atol=self.tolerance * max(1.0, np.abs(expected).max()))
        for known, permuted in zip(answers.covariances, found.covariances, strict=True):
            for group, covariance in known.items():
                own, other = (np.trace(v, axis1=1, axis2=2) for v in (covariance, permuted[group]))
                np.testing.assert_allclose(other, own, rtol=0, atol=1e-4 * own.max())

    def test_training_molecules_may_be_turned(self, answers: Answers) -> None:
        """And moved: the learner they make is the same, with or without error bars."""
        rng = np.random.default_rng(1)
        turned = [rotate(atoms, random_rotation(rng, improper=bool(k % 2))) for k, atoms in enumerate(KNOWN)]
        moved = [translate(atoms, rng.normal(size=3)) for atoms in turned]
        other = self._new(error_bars=False).fit(moved, self.problem.encode(moved)[1], SILENT)
        assert_rows(other.predict(NEW, SILENT).values(), answers.values(), 1e2 * self.tolerance)

    def test_covariances_are_positive(self, answers: Answers) -> None:
        """Symmetric, too, and not all zero."""
        largest = 0.0
        for known in answers.covariances:
            for covariance in known.values():
                size = float(np.abs(covariance).max())
                np.testing.assert_allclose(covariance, covariance.transpose(0, 2, 1), rtol=0, atol=1e-8 * size)
                assert np.linalg.eigvalsh(covariance).min() >= -1e-8 * size
                largest = max(largest, size)
        assert (largest > 0) == self.has_error_bars

    def test_structures_left_out_were_not_seen(self, learner: Learner, encoded: tuple[Any, Data]) -> None:
        """Each is left out once at most; it is predicted worse than after it was learned, with covariances."""
        indices = [int(k) for held in learner.held_out_ for k in held.indices]
        assert bool(indices) == self.leaves_out and len(set(indices)) == len(indices)
        if not self.leaves_out:
            return
        seen, unseen = [], []
        for held in learner.held_out_:
            structures = [KNOWN[k] for k in held.indices]
            seen.append(self._error(encoded[0], learner.predict(structures, SILENT), structures))
            unseen.append(self._error(encoded[0], held.answers, structures))
            for atoms, known in zip(structures, held.answers.covariances, strict=True):
                for group, covariance in known.items():
                    size = group.n_rows(atoms.numbers)
                    assert covariance.shape[1:] == (size, size) or not covariance.size
        assert np.linalg.norm(unseen) > 1.2 * np.linalg.norm(seen)

    def test_a_second_fit_finds_the_same(self, learner: Learner, answers: Answers, data: Data) -> None:
        """And leaves settings, structures and data as they are."""
        settings, structures = learner.settings, [atoms.copy() for atoms in KNOWN]
        before, rows = settings.model_copy(deep=True), copy.deepcopy(dict(data.values))
        again = copy.copy(learner).fit(structures, data, SILENT)
        assert_rows(again.predict(NEW, SILENT).values(), answers.values(), self.tolerance)
        assert again.settings is settings and settings == before
        assert all(one == other for one, other in zip(structures, KNOWN, strict=True))
        assert_rows(data.values, rows, 0.0)

    def test_a_saved_learner_is_the_same(self, learner: Learner, answers: Answers, data: Data) -> None:
        """Through a file of plain values and one of tensors."""
        spec, tensors = learner.state()
        stored = load(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
        settings = type(learner.settings)(**through_yaml(learner.settings.model_dump(mode="json")))
        found = learner_class(settings).from_state(settings, data.n_targets, through_yaml(spec), stored)
        again = self._predict(found, NEW)
        assert_rows(again.values(), answers.values(), 1e2 * EXACT)
        for known, other in zip(answers.covariances, again.covariances, strict=True):
            assert known.keys() == other.keys()
            for group, covariance in known.items():
                self._assert_covariance(other[group], covariance)
        assert found.domain_ == learner.domain_
        assert (found.max_l, found.pair_cutoff) == (learner.max_l, learner.pair_cutoff)
        assert found.in_words() == learner.in_words() and all(isinstance(line, str) for line in found.in_words())
        alphas = learner.regularisation()
        assert_rows(found.regularisation(), alphas, 0.0)

    def test_use_before_a_fit_is_refused(self) -> None:
        """In words, whatever is asked for."""
        for act in ("predict", "predict_with_covariance", "state"):
            learner = self._new()
            with pytest.raises(ConfigError, match=r"was not fitted; call fit first"):
                getattr(learner, act)(*([] if act == "state" else [NEW, SILENT]))

    def test_unknown_elements_are_refused(self, learner: Learner) -> None:
        """With the place of the structure."""
        strange = Atoms("OHF", [[0, 0, 0], [0, 0, 1.0], [1.0, 0, 0]])
        with pytest.raises(DomainError, match=r"structure 1 \(.*element F"):
            learner.predict([NEW[0], strange], SILENT)

    def test_fewer_structures_can_be_learned_without_error_bars(self, learner: Learner) -> None:
        """With the settings of the point of a learning curve; error bars are refused, and nothing is left out."""
        some = KNOWN[:6]
        fewer = new_learner(smaller(learner.chosen(), some))
        _, data = self.problem.encode(some)
        fewer.check(some, data.n_targets)
        answers = fewer.fit(some, data, SILENT).predict(some, SILENT)
        assert answers.values().keys() == data.values.keys() and fewer.held_out_ == []
        with pytest.raises(ConfigError, match=r"fitted without error bars; set model\.error_bars: true"):
            fewer.predict_with_covariance(some, SILENT)

    def test_gradients_are_derivatives(self, learner: Learner) -> None:
        """By differences; a learner without them says so."""
        some = NEW[:2]
        if not learner.differentiable:
            with pytest.raises(ConfigError, match="no derivatives"):
                learner.predict_with_gradients(some, SILENT)
            return
        answers, gradients = learner.predict_with_gradients(some, SILENT)
        assert_rows(answers.values(), learner.predict(some, SILENT).values(), self.tolerance)
        assert gradients.shape == (sum(map(len, some)), 3)
        moved = [some[0].copy(), some[0].copy()]
        for sign, atoms in zip((1, -1), moved, strict=True):
            atoms.positions[1, 2] += sign * STEP
        (rows,) = learner.predict(moved, SILENT).values().values()
        slope = float(rows[0, 0] - rows[1, 0]) / (2 * STEP)
        assert abs(slope - gradients[1, 2]) < 1e-5 * max(1.0, float(np.abs(gradients).max()))

    @classmethod
    def _settings(cls, **changes: object) -> ModelSettings:
        error_bars = True if cls.has_error_bars else None
        return cls.settings.model_copy(update={"error_bars": error_bars, **changes})

    @classmethod
    def _new(cls, **changes: object) -> Learner:
        return new_learner(cls._settings(**changes))

    @classmethod
    def _predict(cls, learner: Learner, structures: Sequence[Atoms]) -> Answers:
        predict = learner.predict_with_covariance if cls.has_error_bars else learner.predict
        return predict(structures, SILENT)

    def _error(self, task: Any, answers: Answers, structures: Sequence[Atoms]) -> float:
        """Return the root mean squared error of what was learned."""
        pairs = zip(self.problem.decode(task, answers, structures), self.problem.labels(structures), strict=True)
        return float(np.sqrt(np.mean(np.concatenate([(one - other).ravel() for one, other in pairs]) ** 2)))

    def _assert_covariance(self, found: FloatArray, expected: FloatArray) -> None:
        """Fail unless covariances agree; they are differences of larger numbers."""
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * float(np.abs(expected).max()))
