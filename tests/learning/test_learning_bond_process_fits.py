"""Fits of Gaussian processes in the frames of bonds: against the formula, and within the memory they are given."""

import numpy as np
import pytest

from hamlearn.config import BondFrameKernel, KernelRidgeSettings
from hamlearn.errors import ConfigError
from hamlearn.features.bond_rows import Bonds
from hamlearn.job import SILENT
from hamlearn.kernels.bond_kernel import BondBasis
from hamlearn.learning import bond_process_kernels
from hamlearn.learning.bond_problems import problems_of
from hamlearn.learning.bond_process import BondProcessLearner
from hamlearn.learning.bond_process_fits import Training, fit_full_lot
from hamlearn.learning.bond_process_kernels import kernels
from hamlearn.testing.exact_problems import MatrixProblem
from hamlearn.testing.learner_contract import KNOWN
from hamlearn.testing.rotated_rows import assert_rows

KERNEL = BondFrameKernel(max_l=2, max_n=4, max_channels=4, cutoff_angstrom=3.0, rolls=60, precision="float64")
FULL = KernelRidgeSettings(kernel=KERNEL)


@pytest.fixture(scope="module")
def data():
    return MatrixProblem().encode(KNOWN)[1]


def fit(data, structures=KNOWN, **changes):
    return BondProcessLearner(FULL.model_copy(update=changes)).fit(structures, data, SILENT)


def plain_kernel(learner, problem):
    """Return the kernel of all rows, none of them mirrored."""
    basis = learner.kernel_.basis_
    return kernels(learner.kernel_, [problem], basis, BondBasis(basis.sets, basis.counts))[0]


def test_it_is_a_gaussian_process(data):
    """Weights, and errors and covariances of structures left out, against the formula and fits without every fold."""
    learner = fit(data)
    training = Training(learner.kernel_, learner.kernel_.basis_, data, learner.settings, True)
    for problem in problems_of(data.groups):
        (found,) = fit_full_lot(training, [problem])
        k, y = plain_kernel(learner, problem), training.targets(problem)
        owner = np.repeat(training.owner(problem), problem.width)
        if not len(k):
            continue
        chosen, scale = np.trace(k) / len(k) * found.alphas, np.abs(y).max(initial=1e-300)
        for column, alpha in enumerate(chosen):
            weights = np.linalg.solve(k + alpha * np.eye(len(k)), y[:, column])
            np.testing.assert_allclose(k @ found.weights[:, column], k @ weights, rtol=0, atol=1e-9 * scale)
            for fold in data.folds(learner.settings.folds):
                out = np.isin(owner, fold)
                inverse = np.linalg.inv(k[~out][:, ~out] + alpha * np.eye((~out).sum()))
                missed = y[out, column] - k[out][:, ~out] @ inverse @ y[~out, column]
                np.testing.assert_allclose(found.residuals[out, column], missed, rtol=0, atol=1e-9 * scale)
                if alpha == sorted(chosen)[len(chosen) // 2]:
                    for s in np.intersect1d(fold, owner):
                        own = owner == s
                        known = k[own][:, own] - k[own][:, ~out] @ inverse @ k[~out][:, own]
                        np.testing.assert_allclose(found.covariances[int(s)], known, rtol=0, atol=1e-8 * np.trace(k))


def test_kernels_of_bonds_with_themselves_are_symmetric(data, monkeypatch):
    """Made above the diagonal alone, in few or many tiles, and those of two sets of bonds in full."""
    learner = fit(data)
    basis, problems = learner.kernel_.basis_, problems_of(data.groups)
    for entries in (bond_process_kernels.ENTRIES, 500):
        monkeypatch.setattr(bond_process_kernels, "ENTRIES", entries)
        for problem in problems:
            (k,) = kernels(learner.kernel_, [problem], basis, basis)
            np.testing.assert_array_equal(k, k.T)
            np.testing.assert_allclose(k, plain_kernel(learner, problem), rtol=0, atol=1e-13)


def test_little_memory_gives_the_same(data):
    """Kernels are made one after another where memory holds no two of them."""
    enough = BondProcessLearner(FULL)
    needed = least_memory(FULL.model_copy(update={"basis": "full"}), data, held_out=True)
    learners = [
        BondProcessLearner(FULL.model_copy(update={"basis": "full", "memory_gb": memory})).fit(
            KNOWN, data, SILENT, True
        )
        for memory in (needed, enough.settings.memory_gb)
    ]
    for a, b in zip(*(learner.fits_ for learner in learners), strict=True):
        np.testing.assert_array_equal(a.alphas, b.alphas)
        np.testing.assert_allclose(a.weights, b.weights, rtol=0, atol=1e-10 * np.abs(b.weights).max(initial=1.0))
    first, second = (learner.held_out_[0].answers for learner in learners)
    for group, covariances in second.covariances[0].items():
        np.testing.assert_allclose(first.covariances[0][group], covariances, rtol=0, atol=1e-12)
    assert_rows(first.values(), second.values(), 1e-12)


def least_memory(settings, data, held_out=False):
    """Return the memory that a refusal asks for, to the end."""
    memory = 1e-6
    for _ in range(10):
        try:
            given = settings.model_copy(update={"memory_gb": memory})
            BondProcessLearner(given).check(KNOWN, data.n_targets, held_out)
            return memory
        except ConfigError as refused:
            memory = float(str(refused).partition(" need")[2].lstrip("s ").split()[0])
    raise AssertionError("asks for more and more")


def test_the_advice_of_a_refusal_works(data):
    """To raise the memory to what is named, to leave the choice of active samples to it, and a number of them."""
    full = FULL.model_copy(update={"basis": "full", "memory_gb": 1e-4})
    with pytest.raises(ConfigError, match=r"raise memory_gb, or set model\.basis: sparse$"):
        BondProcessLearner(full).check(KNOWN, data.n_targets)
    assert least_memory(full, data) > 1e-4
    BondProcessLearner(full.model_copy(update={"basis": "sparse"})).check(KNOWN, data.n_targets)
    sparse = FULL.model_copy(update={"basis": "sparse", "active": 18, "memory_gb": 1e-4})
    with pytest.raises(ConfigError, match=r"or set model\.active: \d+$") as refused:
        BondProcessLearner(sparse).check(KNOWN, data.n_targets)
    most = int(str(refused.value).rpartition(" ")[2])
    BondProcessLearner(sparse.model_copy(update={"active": most})).check(KNOWN, data.n_targets)
    with pytest.raises(ConfigError, match=rf"or set model\.active: {most}$"):
        BondProcessLearner(sparse.model_copy(update={"active": most + 1})).check(KNOWN, data.n_targets)


def test_the_memory_decides_between_all_samples_and_some(data):
    """Where nothing else is said."""
    needed = least_memory(FULL.model_copy(update={"basis": "full"}), data)
    bonds = [len(fit(data, memory_gb=m).kernel_.basis_.sets[Bonds("pair", 1, 8)]) for m in (1.001 * needed, 1e-4)]
    assert bonds[1] < bonds[0]
