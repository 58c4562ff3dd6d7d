"""Values and gradients as rows, tiles of structures, and fits in the three bases."""

import numpy as np
import pytest

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.errors import ConfigError
from hamlearn.job import SILENT, Job
from hamlearn.kernels.structure_kernel import make_kernel
from hamlearn.learning import sum_fits
from hamlearn.learning.bases import Basis
from hamlearn.learning.sum_fits import SumTask, fit_active, fit_data, parts_of, structure_tiles
from hamlearn.testing.exact_problems import PropertyProblem, small_molecules

KERNEL = KernelSettings(
    max_nu=2, max_l=2, cutoff_angstrom=4.0, smearing_angstrom=0.4, smearing_growth_angstrom=None, max_channels=8, a=1e3
)
SETTINGS = KernelRidgeSettings(kernel=KERNEL)
STRUCTURES = small_molecules(9)
MIXTURE = np.array([0.0, 1e3, 5e2])


def task_of(l=0, forces=False, settings=SETTINGS):
    task, data = PropertyProblem(l, forces).encode(STRUCTURES)
    return SumTask(STRUCTURES, data, task.group, settings)


@pytest.fixture(scope="module")
def kernel():
    return make_kernel(KERNEL, 4.0).fit(STRUCTURES)


def test_rows_are_values_then_gradients():
    task = task_of(forces=True)
    y, variance, folds = task.rows()
    sizes = [3 * len(atoms) for atoms in STRUCTURES]
    n = len(STRUCTURES)
    assert len(y) == len(variance) == n + sum(sizes)
    np.testing.assert_array_equal(y[:n], task.values)
    np.testing.assert_array_equal(y[n:], task.data.gradients.ravel())
    assert set(variance[:n]) == {task.data.variances[0]} and set(variance[n:]) == {task.data.variances[1]}
    owner = np.concatenate([np.arange(n), np.repeat(np.arange(n), sizes)])
    for rows, members in zip(folds, task.folds(), strict=True):
        np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(owner, members)))
    alone = task.without_gradients()
    assert alone.data.gradients is None and alone.rows()[1].tolist() == [1.0] * n


@pytest.mark.parametrize("l", [0, 2])
def test_folds_keep_components_of_a_structure_together(l):
    task = task_of(l)
    _, _, folds = task.rows()
    assert [rows.tolist() for rows in folds] == [
        [(2 * l + 1) * k + m for k in members for m in range(2 * l + 1)] for members in task.folds()
    ]


def test_the_first_structures_are_taken_with_their_gradients():
    task = task_of(forces=True)
    some = task.first(4)
    assert len(some.structures) == some.data.n_structures == 4
    assert (
        some.data.gradients.shape == (sum(map(len, STRUCTURES[:4])), 3) and some.data.variances == task.data.variances
    )
    np.testing.assert_array_equal(some.values, task.values[:4])
    assert len(task.first(100).structures) == len(STRUCTURES)


@pytest.mark.parametrize(("most", "n"), [(450, 9), (40, 3), (1, 2)])
def test_as_many_decide_as_there_is_time_for(most, n, monkeypatch):
    """Rows of the first structures, 10 of a water, 13 of a peroxide; two structures at least."""
    monkeypatch.setattr(sum_fits, "MOST_DERIVATIVES", most)
    monkeypatch.setattr(sum_fits, "MOST_VALUES", 5)
    assert len(task_of(forces=True).deciding("derivatives").structures) == n
    assert len(task_of(forces=True).deciding("sparse").structures) == 5
    assert task_of(forces=True).deciding("sparse").data.gradients is None
    assert len(task_of().deciding("full").structures) == len(STRUCTURES)


def test_tiles_hold_every_structure_within_the_memory():
    tiles = list(structure_tiles(STRUCTURES, KERNEL, 4.0, 10))
    assert tiles == [slice(0, 9)]
    tight = list(structure_tiles(STRUCTURES, KERNEL, 5e-4, 10))
    assert 1 < len(tight) < 9 and [t.start for t in tight[1:]] == [t.stop for t in tight[:-1]] and tight[-1].stop == 9
    assert len(list(structure_tiles(STRUCTURES, KERNEL, 1e-9, 10))) == 9
    assert [t.stop - t.start for t in structure_tiles(STRUCTURES * 10, KERNEL, 4.0, 10)] == [64, 26]
    assert list(structure_tiles([], KERNEL, 4.0, 10)) == []


@pytest.mark.parametrize("l", [0, 1])
def test_all_environments_active_are_the_basis_of_structures(kernel, l):
    """With the mixture of both fixed, predictions and variances are the same."""
    task = task_of(l)
    full, one = fit_data(kernel, task, "full", parts_of(kernel, task), MIXTURE)
    sparse, other = fit_active(kernel, task, MIXTURE, SILENT)
    env = kernel.environments(small_molecules(3, seed=5))
    expected = full.values(env, one.mixture) @ one.weights
    np.testing.assert_allclose(sparse.values(env, other.mixture) @ other.weights, expected, atol=1e-5)
    np.testing.assert_allclose(other.mixture, MIXTURE, rtol=1e-10)


def test_derivatives_solve_the_regularised_kernel(kernel):
    task = task_of(forces=True)
    basis, fit = fit_data(kernel, task, "derivatives", parts_of(kernel, task), MIXTURE)
    y, variance, _ = task.rows()
    gram = basis.gram(fit.mixture)
    np.testing.assert_allclose(fit.weights, np.linalg.solve(gram + np.diag(variance), y), rtol=1e-6, atol=1e-8)
    assert gram.shape == (len(y), len(y))


def test_a_singular_kernel_is_told(kernel):
    """Twice the same structures, and no regulariser worth the name."""
    twice = STRUCTURES[:3] * 2
    task, data = PropertyProblem().encode(twice)
    many = SumTask(twice, data, task.group, SETTINGS)
    with pytest.raises(ConfigError, match=r"singular to rounding; give smaller model.kernel.a and c0"):
        fit_data(kernel, many, "full", parts_of(kernel, many), 1e17 * MIXTURE)


@pytest.mark.parametrize("solver", ["normal", "rkhs", "qr", "rkhs-qr"])
def test_solvers_agree(kernel, solver):
    settings = SETTINGS.model_copy(update={"active": 6, "solver": solver})
    task = task_of(settings=settings)
    basis, fit = fit_active(kernel, task, MIXTURE, SILENT)
    expected = fit_active(kernel, task_of(settings=settings.model_copy(update={"solver": None})), MIXTURE, SILENT)[1]
    env = basis.environments
    np.testing.assert_allclose(
        basis.values(env, fit.mixture) @ fit.weights, basis.values(env, fit.mixture) @ expected.weights, atol=1e-5
    )


def test_active_environments_are_farthest_of_their_element(kernel):
    """As many as are asked for, of the structures that hold them; progress names their number."""
    told = []
    task = task_of(settings=SETTINGS.model_copy(update={"active": {"H": 4, "O": 2}}))
    basis, fit = fit_active(kernel, task, MIXTURE, Job(echo=told.append))
    assert {z: len(rows) for z, rows in basis.rows.items()} == {1: 4, 8: 2} and len(fit.weights) == 6
    env = Basis("full", kernel, basis.structures, (0, 1)).environments
    assert all(rows.max() < env.count(z) for z, rows in basis.rows.items())
    held = {s for z, rows in basis.rows.items() for s in env.structure[z][rows]}
    assert held == set(range(len(basis.structures)))
    assert any("6 active environments" in line for line in told)
