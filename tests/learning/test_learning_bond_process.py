"""Gaussian processes in the frames of bonds as a learner of all blocks of a matrix."""

import numpy as np
import pytest
import torch
from ase import Atoms

from hamlearn.config import BondFrameKernel, KernelRidgeSettings, KernelSettings, PropertyTarget, SaphTarget
from hamlearn.errors import ConfigError
from hamlearn.features import bond_rows
from hamlearn.job import SILENT
from hamlearn.learning.bond_process import BondProcessLearner
from hamlearn.learning.bond_process_fits import LEAST
from hamlearn.learning.bond_process_kernels import kernels
from hamlearn.learning.registry import new_learner
from hamlearn.learning.sum_kernels import SumKernelLearner
from hamlearn.structures.families import Family
from hamlearn.testing.exact_problems import MatrixProblem, small_molecules
from hamlearn.testing.learner_contract import KNOWN, NEW, LearnerContract
from hamlearn.testing.rotated_rows import assert_rows

KERNEL = BondFrameKernel(max_l=2, max_n=4, max_channels=4, cutoff_angstrom=3.0, rolls=60, precision="float64")
FULL = KernelRidgeSettings(kernel=KERNEL)


class TestFull(LearnerContract):
    settings = FULL


class TestSparse(LearnerContract):
    settings = FULL.model_copy(update={"basis": "sparse", "active": 10})
    tolerance = 1e-7  # weights of either sign cancel


class TestSparseOfStructures(LearnerContract):
    settings = FULL.model_copy(update={"active": 10, "active_by": "structures"})
    tolerance = 1e-7


class TestSingle(LearnerContract):
    """Predictions in float32 and with the smoother function."""

    settings = FULL.model_copy(
        update={"kernel": KERNEL.model_copy(update={"precision": "float32", "form": "gaussian", "rolls": 24})}
    )
    tolerance = 1e-3


@pytest.fixture(scope="module")
def data():
    return MatrixProblem().encode(KNOWN)[1]


def fit(data, structures=KNOWN, **changes):
    return BondProcessLearner(FULL.model_copy(update=changes)).fit(structures, data, SILENT)


def test_the_registry_knows_it():
    """By the kind of the kernel."""
    assert type(new_learner(FULL)) is BondProcessLearner
    assert type(new_learner(KernelRidgeSettings(kernel=KernelSettings(kind="soap")))) is SumKernelLearner
    assert KernelRidgeSettings(kernel={"kind": "bond_frame"}).kernel == BondFrameKernel()


def test_nothing_depends_on_the_rolls_of_frames(data, monkeypatch):
    """Those of training and of new bonds."""
    many = KERNEL.model_copy(update={"rolls": 100})
    learner = fit(data, kernel=many)
    before = learner.predict(NEW, SILENT).values()
    frames, rng = bond_rows.bond_frames, np.random.default_rng(0)

    def rolled(vectors):
        angles = rng.uniform(0, 6.3, len(vectors))
        c, s = torch.from_numpy(np.cos(angles)), torch.from_numpy(np.sin(angles))
        nothing, one = torch.zeros_like(c), torch.ones_like(c)
        rows = [torch.stack(row, dim=1) for row in ((c, -s, nothing), (s, c, nothing), (nothing, nothing, one))]
        return torch.stack(rows, dim=1) @ frames(vectors)

    monkeypatch.setattr(bond_rows, "bond_frames", rolled)
    assert_rows(learner.predict(NEW, SILENT).values(), before, 1e-11)
    assert_rows(fit(data, kernel=many).predict(NEW, SILENT).values(), before, 1e-9)


def test_all_active_is_full(data):
    """With the same regularisation."""
    full = fit(data)
    sparse = fit(data, basis="sparse", active=30)
    chosen = [(f.alphas, g.alphas) for f, g in zip(full.fits_, sparse.fits_, strict=True)]
    same = [k for k, (a, b) in enumerate(chosen) if np.array_equal(a, b) and len(full.fits_[k].weights)]
    assert len(same) >= 3
    for k in same:
        a, b = full.fits_[k], sparse.fits_[k]
        problem = full.problems_[k]
        (one,) = kernels(full.kernel_, [problem], full.kernel_.basis_, full.kernel_.basis_)
        scale = np.abs(one @ a.weights).max()
        np.testing.assert_allclose(one @ b.weights, one @ a.weights, rtol=0, atol=1e-3 * scale)


def test_too_few_rolls_are_refused(data):
    """Naming a number that suffices."""
    few = KERNEL.model_copy(update={"rolls": 4, "length": 0.5})
    with pytest.raises(ConfigError, match=r"model\.kernel\.rolls is 4: .* raise it to \d+") as refused:
        fit(data, kernel=few)
    enough = int(str(refused.value).split("raise it to ")[1].split(",")[0])
    fit(data, kernel=few.model_copy(update={"rolls": enough}))
    with pytest.raises(ConfigError, match=rf"raise it to {enough}"):
        fit(data, kernel=few.model_copy(update={"rolls": enough - 4}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"memory_gb": 1e-6, "basis": "full"},
            r"the kernel of \d+ rows .* more than memory_gb = 1e-06; .*basis: sparse",
        ),
        ({"memory_gb": 1e-6, "active": 10}, r"the kernel of \d+ rows .* more than memory_gb = 1e-06"),
        ({"active": 10_000}, "model.active is 10000, but the training set has at most"),
        ({"active": {"F": 1}}, "model.active names F"),
        ({"solver": "qr"}, "model.solver qr belongs to the basis sparse"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_the_work(data, changes, words):
    """In words."""
    with pytest.raises(ConfigError, match=words):
        fit(data, **changes)


def test_covariances_of_structures_left_out_must_fit_into_memory(data):
    """Which is refused before the work; without them the same fit is not."""
    small = FULL.model_copy(update={"active": 1, "memory_gb": 5e-6})
    BondProcessLearner(small).check(KNOWN, data.n_targets)
    with pytest.raises(ConfigError, match="error bars are calibrated on 2 structures left out, whose covariances need"):
        BondProcessLearner(small).check(KNOWN, data.n_targets, held_out=True)


def test_a_solver_asks_for_a_sparse_basis_of_fewer_structures_too(data):
    """Where all of many are too many, and all of a few are not."""
    given = FULL.model_copy(update={"solver": "rkhs", "memory_gb": 2e-4})
    BondProcessLearner(given).check(KNOWN, data.n_targets)
    some = KNOWN[:4]
    fewer = BondProcessLearner.smaller(given, some)
    assert fewer.basis == "sparse"
    BondProcessLearner(fewer).check(some, MatrixProblem().encode(some)[1].n_targets)
    with pytest.raises(ConfigError, match=r"model\.solver rkhs belongs to the basis sparse"):
        BondProcessLearner(given).check(some, data.n_targets)


def test_a_single_structure_has_no_error_bars():
    """It can be learned all the same."""
    some = small_molecules(1)
    data = MatrixProblem().encode(some)[1]
    learner = fit(data, some)
    values = learner.predict(some, SILENT).values()
    assert_rows(values, data.values, 1e-6)
    with pytest.raises(ConfigError, match="error bars and an active set need structures that can be left out"):
        fit(data, some, error_bars=True)


def test_settings_say_what_goes_together():
    """Matrices only."""
    FULL.check_target(SaphTarget())
    with pytest.raises(ConfigError, match="properties are learned by kernels of environments"):
        FULL.check_target(PropertyTarget(key="energy"))
    with pytest.raises(ConfigError, match="multiple of 4"):
        BondFrameKernel(rolls=25)


@pytest.mark.parametrize("changes", [{}, {"active": 12}])
def test_data_are_not_followed_further_than_rolls_allow(data, changes):
    """Of a full basis or an active set: regularisations stay above a least one, which some problems reach."""
    alphas = np.concatenate([f.alphas for f in fit(data, **changes).fits_])
    assert alphas.min() == LEAST


def test_atoms_may_be_isolated_and_molecules_linear():
    """Without bonds in reach there is the mean alone, and pairs beyond the cut-off have no block."""
    linear = [Atoms("OHH", [[0, 0, 0], [0, 0, 1 + 0.02 * k], [0, 0, -1 + 0.01 * k]]) for k in range(6)]
    alone = [atoms + Atoms("O", [[0, 0, 30.0]]) for atoms in linear]
    data = MatrixProblem().encode(alone)[1]
    learner = fit(data, alone, error_bars=True)
    answers = learner.predict_with_covariance(alone, SILENT)
    for group, rows in answers.values().items():
        assert np.isfinite(rows).all()
        if group.family == Family("on_site", 8, 8) and group.irrep == (0, 1):
            np.testing.assert_allclose(rows[1::2], data.values[group][1::2], rtol=0, atol=1e-2)
        if group.family == Family("plus", 8, 8):
            assert not rows.any() and not answers.covariances[0][group].any()


def test_words_name_function_and_basis(data):
    """For reports."""
    one, other = fit(data).in_words()
    assert "Matern 5/2 function, 60 rolls" in one
    counts = {Family("on_site", 8, 8): "O", Family("cross", 1, 8): "H-O"}
    for family, name in counts.items():
        n = sum(len(family.samples([atoms.numbers])) for atoms in KNOWN)
        assert f"{name} {n}" in other
