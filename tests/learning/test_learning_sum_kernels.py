"""Sums of kernels of environments as a learner of properties."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.errors import ConfigError, HamlearnWarning
from hamlearn.job import SILENT, Job
from hamlearn.learning import sum_fits, sum_kernels
from hamlearn.learning.bases import Basis
from hamlearn.learning.data import Data
from hamlearn.learning.groups import Answers
from hamlearn.learning.sum_kernels import SumKernelLearner
from hamlearn.learning.tasks import PropertyTask
from hamlearn.regression.alphas import SingularKernel
from hamlearn.targets.labels import Labels
from hamlearn.testing.exact_problems import PropertyProblem, small_molecules
from hamlearn.testing.learner_contract import LearnerContract

SMALL = KernelSettings(
    max_nu=3, max_l=2, cutoff_angstrom=4.0, smearing_angstrom=0.4, smearing_growth_angstrom=None, max_channels=12
)
PLAIN = KernelRidgeSettings(kernel=SMALL)
FIXED = PLAIN.model_copy(update={"kernel": SMALL.model_copy(update={"a": 1e4, "b": 1.0, "c0": 10.0})})
WITH_PAIRS = KernelRidgeSettings(kernel=SMALL.model_copy(update={"additive": ("pair",)}))
KNOWN, NEW = small_molecules(12), small_molecules(4, seed=1)


class OfSums(LearnerContract):
    leaves_out = False  # error bars are calibrated in closed form


class TestScalarsInTheBasisOfStructures(OfSums):
    settings = PLAIN
    problem = PropertyProblem()


class TestVectorsInTheBasisOfStructures(OfSums):
    settings = FIXED
    problem = PropertyProblem(l=1)


class TestTensorsOfActiveEnvironments(OfSums):
    settings = FIXED.model_copy(update={"active": 10})
    problem = PropertyProblem(l=2)


class TestForcesOfActiveEnvironments(OfSums):
    settings = FIXED.model_copy(update={"active": {"H": 10, "O": 8}})
    problem = PropertyProblem(forces=True)


class TestForcesInTheBasisOfDerivatives(OfSums):
    settings = FIXED.model_copy(update={"basis": "derivatives"})
    problem = PropertyProblem(forces=True)


class TestSoap(OfSums):
    settings = KernelRidgeSettings(kernel=SMALL.model_copy(update={"kind": "soap", "zeta": 2, "a": 1e4, "c0": 10.0}))
    problem = PropertyProblem()


@pytest.fixture(scope="module", params=[0, 1, 2])
def encoded(request):
    problem = PropertyProblem(l=request.param)
    return problem.encode(KNOWN)


def fit(data, settings=FIXED, structures=KNOWN, job=SILENT):
    return SumKernelLearner(settings).fit(structures, data, job)


def values_of(answers):
    (rows,) = answers.values().values()
    return rows[:, 0]


def test_derivatives_are_fitted_on_all_data_where_the_first_decide(monkeypatch):
    """On the mixture; the basis are all structures and coordinates."""
    monkeypatch.setattr(sum_fits, "MOST_DERIVATIVES", 40)
    _, data = PropertyProblem(forces=True).encode(KNOWN)
    learner = fit(data, FIXED.model_copy(update={"basis": "derivatives"}))
    (y,) = (rows[:, 0] for rows in data.values.values())
    y = np.concatenate([y, data.gradients.ravel()])
    k = learner.basis_.gram(learner.fit_.mixture)
    variance = np.repeat(data.variances, [len(KNOWN), len(y) - len(KNOWN)])
    assert len(k) == len(y) > 40
    np.testing.assert_allclose(k @ learner.fit_.weights + variance * learner.fit_.weights, y, atol=1e-6)


def test_weights_solve_the_regularised_kernel(encoded):
    """(K + 1) x = y, and y(A) = sum_B K(A, B) x_B, with the kernel of the fit; variances are those of the process."""
    _, data = encoded
    learner = fit(data)
    (y,) = (rows[:, 0] for rows in data.values.values())
    mixture = learner.fit_.mixture
    k = learner.basis_.gram(mixture)
    np.testing.assert_allclose(learner.fit_.weights, np.linalg.solve(k + np.eye(len(k)), y), atol=1e-7)
    env = learner.kernel_.environments(NEW)
    rows = learner.basis_.values(env, mixture)
    answers = learner.predict_with_covariance(NEW, SILENT)
    np.testing.assert_allclose(values_of(answers), rows @ np.linalg.solve(k + np.eye(len(k)), y), atol=1e-7)
    scale = float(learner.fit_.posterior.scales[0])
    for s, atoms in enumerate(NEW[:2]):
        m = len(rows) // len(NEW)
        own = Basis("full", learner.kernel_.uncontracted(), [atoms], learner.group_.irrep).gram(mixture)
        r = rows[m * s : m * (s + 1)]
        expected = scale * (own - r @ np.linalg.solve(k + np.eye(len(k)), r.T) + np.eye(m))
        found = answers.covariances[s][learner.group_][0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_given_mixtures_are_kept_and_others_found():
    _, data = PropertyProblem().encode(KNOWN)
    assert fit(data).hyperparameters_.items() >= {"a": 1e4, "b": 1.0, "c0": 10.0}.items()
    found = fit(data, PLAIN).hyperparameters_
    assert set(found) == {"a", "b", "c0", "cv_error"} and found["cv_error"] < 0.3


def test_the_kernel_of_a_grid_is_chosen_and_kept():
    """Cross-validated error decides; settings stay as they were."""
    _, data = PropertyProblem().encode(KNOWN)
    told = []
    grid = PLAIN.model_copy(update={"kernel": SMALL.model_copy(update={"grid": {"cutoff_angstrom": (1.1, 4.0)}})})
    learner = fit(data, grid, job=Job(echo=told.append))
    assert learner.kernel.cutoff_angstrom == learner.chosen().kernel.cutoff_angstrom == 4.0
    assert learner.chosen().kernel.grid is None and learner.settings is grid and grid.kernel.grid
    assert told[0].startswith("model.kernel.grid: cutoff_angstrom 1.1: cross-validated rmse in spreads")
    assert any("cutoff_angstrom 4.0" in line for line in learner.in_words())
    assert learner.domain_.cutoff == 4.0


@pytest.mark.parametrize(
    "settings",
    [FIXED, FIXED.model_copy(update={"active": 6}), WITH_PAIRS],
    ids=["full", "sparse", "with pairs"],
)
def test_parts_add_up_to_the_prediction(settings):
    _, data = PropertyProblem().encode(KNOWN)
    learner = fit(data, settings)
    parts = learner.predict_parts(NEW)
    assert parts.shape == (len(learner.fit_.mixture), len(NEW), 1)
    np.testing.assert_allclose(parts.sum(axis=0)[:, 0], values_of(learner.predict(NEW, SILENT)), atol=1e-8)


def test_without_error_bars_nothing_is_kept_for_them():
    _, data = PropertyProblem().encode(KNOWN)
    for settings in (FIXED, FIXED.model_copy(update={"active": 6})):
        plain = fit(data, settings.model_copy(update={"error_bars": False}))
        assert plain.fit_.posterior is None
        assert not any(name.startswith("posterior") for name in plain.state()[1])
        expected = values_of(fit(data, settings).predict(NEW, SILENT))
        np.testing.assert_allclose(values_of(plain.predict(NEW, SILENT)), expected, atol=1e-10)
        with pytest.raises(ConfigError, match=r"model\.error_bars: true"):
            plain.predict_with_gradients(NEW, SILENT, covariance=True)


def test_single_molecules_give_gradients_without_forces_learned():
    """And error bars beside them, equal to those without gradients."""
    _, data = PropertyProblem().encode(KNOWN)
    learner = fit(data)
    answers, gradients = learner.predict_with_gradients(NEW, SILENT, covariance=True)
    assert gradients.shape == (sum(map(len, NEW)), 3)
    plain = learner.predict_with_covariance(NEW, SILENT)
    for one, other in zip(answers.covariances, plain.covariances, strict=True):
        np.testing.assert_allclose(one[learner.group_], other[learner.group_], rtol=1e-6)
    none, nothing = learner.predict_with_gradients([], SILENT)
    assert isinstance(none, Answers) and nothing.shape == (0, 3)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"active": {"H": 500}}, r"model.active asks for 500 samples of H, the training set has \d+; lower it"),
        ({"active": {"C": 5}}, "model.active names C; the training set has H, O"),
        ({"active": 500}, r"model.active is 500, but the training set has at most .* of a kind \(H\)"),
        (
            {"memory_gb": 1e-6},
            r"model.basis full of 12 structures \(12 values\) needs .* GB, more than memory_gb = 1e-",
        ),
        ({"memory_gb": 1e-5, "active": 9}, r"model.basis sparse of .* \(18 active .*\) needs .*lower model.active"),
        ({"memory_gb": 1e-5, "basis": "derivatives"}, r"model.basis derivatives of .* needs .*use fewer structures"),
    ],
)
def test_what_cannot_be_met_is_refused_before_any_kernel(update, words, monkeypatch):
    _, data = PropertyProblem(forces="derivatives" in update.values()).encode(KNOWN)
    monkeypatch.setattr("hamlearn.learning.sum_kernels.make_kernel", lambda *a: pytest.fail("too late"))
    with pytest.raises(ConfigError, match=words):
        fit(data, PLAIN.model_copy(update=update))
    if set(update) != {"memory_gb"}:  # what the settings say without the data
        with pytest.raises(ConfigError, match=words):
            SumKernelLearner(PLAIN.model_copy(update=update)).check(KNOWN, data.n_targets)


def test_elements_that_are_not_named_are_active_in_full():
    _, data = PropertyProblem().encode(KNOWN)
    some = fit(data, FIXED.model_copy(update={"active": {"O": 5}})).basis_
    n_hydrogen = sum(int((atoms.numbers == 1).sum()) for atoms in KNOWN)
    assert {z: len(rows) for z, rows in some.rows.items()} == {1: n_hydrogen, 8: 5}


def test_points_of_a_learning_curve_have_no_more_than_there_are():
    many = KernelRidgeSettings(kernel=SMALL.model_copy(update={"grid": {"max_nu": (2, 3)}}), active={"H": 500, "O": 1})
    fewer = SumKernelLearner.smaller(many, KNOWN[:2])
    assert fewer.active == {"H": 4, "O": 1} and fewer.kernel.grid is None
    SumKernelLearner(fewer).check(KNOWN[:2], {})


def test_one_choice_of_a_grid_may_be_singular(monkeypatch):
    """The other one is taken; with no other there is no fit."""
    _, data = PropertyProblem().encode(KNOWN)
    search = sum_kernels.search_mixture

    def sometimes(parts, y, variance, settings, folds):
        if settings.kernel.max_nu == 2:
            raise SingularKernel("not this one")
        return search(parts, y, variance, settings, folds)

    monkeypatch.setattr(sum_kernels, "search_mixture", sometimes)
    told, grid = [], {"max_nu": (2, 3)}
    settings = FIXED.model_copy(update={"kernel": FIXED.kernel.model_copy(update={"grid": grid})})
    assert fit(data, settings, job=Job(echo=told.append)).kernel.max_nu == 3
    assert "max_nu 2: cross-validated rmse in spreads inf" in told[0]
    only = FIXED.model_copy(update={"kernel": FIXED.kernel.model_copy(update={"grid": {"max_nu": (2,)}})})
    with pytest.raises(ConfigError, match=r"no choice of model.kernel.grid gives a finite error"):
        fit(data, only)


def test_a_solver_of_the_basis_of_structures_is_refused():
    """There is none to choose; a sparse basis follows from forces or an active set."""
    _, data = PropertyProblem().encode(KNOWN)
    given = FIXED.model_copy(update={"solver": "qr"})
    with pytest.raises(
        ConfigError, match=r"model.solver qr belongs to .* sparse, but this fit has the basis full; remove"
    ):
        fit(data, given)
    assert fit(data, given.model_copy(update={"active": 5})).basis_.kind == "sparse"


def test_one_structure_is_not_enough():
    _, data = PropertyProblem().encode(KNOWN[:1])
    with pytest.raises(ConfigError, match=r"need structures that can be left out, but there is 1; give at least two"):
        fit(data, structures=KNOWN[:1])


def test_properties_that_are_zero_by_symmetry_are_refused():
    """Vectors across the plane of planar molecules, by kernels of one density: pseudovectors of low order vanish."""
    group = PropertyProblem(l=1).encode(KNOWN)[0].group
    odd = type(group)(group.families, 1, -1, is_sum=True)
    n = len(KNOWN)
    data = Data({odd: np.ones((3 * n, 1))}, {odd: np.repeat(np.arange(n), 3)}, n)
    low = PLAIN.model_copy(update={"kernel": SMALL.model_copy(update={"max_nu": 1})})
    with pytest.raises(ConfigError, match=r"the kernels of l 1, sigma -1 vanish .* raise model.kernel.max_nu 1"):
        fit(data, low)


def test_learning_nothing_is_said():
    """Labels at random; of few structures nothing else is expected."""
    many = small_molecules(24)
    task, data = PropertyProblem().encode(many)
    noise = np.random.default_rng(0).normal(size=(24, 1))
    random = Data({task.group: noise}, dict(data.owner), 24)
    with pytest.warns(HamlearnWarning, match="nothing was learned; look at labels, kernel and number of structures"):
        fit(random, structures=many)
    fit(random.part(np.arange(12)), structures=many[:12])


def test_labels_and_arrays_of_the_structures_are_not_kept():
    """A saved learner holds geometries alone."""
    _, data = PropertyProblem().encode(KNOWN)
    labelled = [Atoms(atoms.numbers, atoms.positions, info={"energy": 1.0}) for atoms in KNOWN]
    learner = fit(data, structures=labelled)
    assert all(atoms.info == {} for atoms in learner.basis_.structures)
    assert all(atoms.info == {"energy": 1.0} for atoms in labelled)


@pytest.mark.parametrize("l", [0, 1])
@pytest.mark.parametrize("error_bars", [True, False])
def test_sums_of_structures_are_learned(l, error_bars):
    """Differences alone: (F K F^T + 1) z = y, and y(A) = K(A, .) F^T z, with or without error bars."""
    problem, weights = PropertyProblem(l=l), np.eye(11, 12) - np.eye(11, 12, 1)
    labels = Labels(weights @ np.array(problem.labels(KNOWN)), functional=weights)
    data = PropertyTask(problem.target).encode(KNOWN, labels)
    learner = fit(data, FIXED.model_copy(update={"error_bars": error_bars}))
    k, f = learner.basis_.gram(learner.fit_.mixture), np.kron(weights, np.eye(2 * l + 1))
    y = data.values[learner.group_][:, 0]
    z = np.linalg.solve(f @ k @ f.T + np.eye(len(f)), y)
    rows = learner.basis_.values(learner.kernel_.environments(NEW), learner.fit_.mixture)
    np.testing.assert_allclose(values_of(learner.predict(NEW, SILENT)), rows @ f.T @ z, atol=1e-7)
    if error_bars:
        own = Basis("full", learner.kernel_.uncontracted(), NEW[:1], learner.group_.irrep).gram(learner.fit_.mixture)
        r = (rows @ f.T)[: 2 * l + 1]
        solved = np.linalg.solve(f @ k @ f.T + np.eye(len(f)), r.T)
        expected = float(learner.fit_.posterior.scales[0]) * (own - r @ solved + np.eye(len(own)))
        found = learner.predict_with_covariance(NEW[:1], SILENT).covariances[0][learner.group_][0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_sums_of_structures_need_the_basis_of_structures():
    problem, weights = PropertyProblem(), np.eye(11, 12) - np.eye(11, 12, 1)
    labels = Labels(weights @ np.array(problem.labels(KNOWN)), functional=weights)
    data = PropertyTask(problem.target).encode(KNOWN, labels)
    with pytest.raises(ConfigError, match=r"in the basis full, got sparse; set model.basis: full"):
        fit(data, FIXED.model_copy(update={"active": 6}))
