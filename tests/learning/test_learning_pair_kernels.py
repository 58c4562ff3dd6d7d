"""Kernels of atoms and pairs as a learner of all blocks of a matrix."""

import numpy as np
import pytest
from ase import Atoms
from noisy_waters import BARS, PLAIN, SMALL, SPARSE, Known, N, fit, noisy_waters

from hamlearn.blocks import split_matrices
from hamlearn.config import WignerSettings
from hamlearn.errors import ConfigError, DomainError
from hamlearn.job import SILENT, Job
from hamlearn.learning.groups import Answers, Group
from hamlearn.learning.pair_kernels import PairKernelLearner
from hamlearn.structures import random_rotation, rotate
from hamlearn.structures.families import Family
from hamlearn.testing import TOLERANCE
from hamlearn.testing.learner_contract import LearnerContract

EXACT = TOLERANCE["float64"]["exact"]


class TestFull(LearnerContract):
    settings = PLAIN


class TestSparse(LearnerContract):
    settings = PLAIN.model_copy(update={"basis": "sparse", "active": 10})


class TestSparseOfStructures(LearnerContract):
    settings = PLAIN.model_copy(update={"basis": "sparse", "active": 10, "active_by": "structures"})
    tolerance = 1e-7  # weights of either sign cancel


class TestMessages(LearnerContract):
    settings = PLAIN.model_copy(
        update={"kernel": SMALL.model_copy(update={"message_passing": True, "max_nu_pair": 1})}
    )  # fmt: skip


@pytest.fixture(scope="module")
def known(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


@pytest.fixture(scope="module", params=["full", "sparse", "structures", "messages"])
def fitted(request, known):
    kernel = SMALL.model_copy(update={"message_passing": request.param == "messages"})
    sparse = {"sparse": SPARSE, "structures": SPARSE.model_copy(update={"active_by": "structures"})}
    return fit(known, sparse.get(request.param, BARS), kernel=kernel)


@pytest.fixture(scope="module")
def full(known):
    return fit(known, held_out=True)


def truth_of(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    return split_matrices(matrices[N:], [a.numbers for a in waters[N:]], orbitals)


def rmse(blocks, others):
    keys = [key for key in blocks.values if len(blocks.values[key])]
    return np.sqrt(np.mean(np.concatenate([(blocks.values[k] - others.values[k]).ravel() ** 2 for k in keys])))


def test_learns(known, fitted, waters, water_lowdin):
    """Matrix elements of new waters, which spread by 0.02 Hartree, to little more than the noise of the data."""
    assert rmse(truth_of(waters, water_lowdin), known.blocks(fitted, waters[N:])) < 5e-4


def test_held_out_predictions_are_those_of_models_that_have_not_seen_them(known, full):
    """One fold left out by hand, with the kernels of the whole set: predictions and covariances."""
    (held,) = full.held_out_
    np.testing.assert_array_equal(held.indices, np.arange(N))
    group = Group((Family("cross", 1, 8),), 1, 1)
    centres = full.kernel_.centres(known.structures)
    k = full.kernel_.between(centres, centres, {group.family: [group.irrep]})[group.family, group.irrep]
    k = k.reshape(len(k) * 3, -1)
    owner, fold = known.data.owner[group], known.data.folds(3)[1]
    out, rest = np.flatnonzero(np.isin(owner, fold)), np.flatnonzero(~np.isin(owner, fold))
    y = known.data.values[group][:, 0]
    noise = float(full.fits_[group].alphas[0]) * np.trace(k) / len(k)
    expected = k[np.ix_(out, rest)] @ np.linalg.solve(k[np.ix_(rest, rest)] + noise * np.eye(len(rest)), y[rest])
    np.testing.assert_allclose(held.answers.values()[group][out, 0], expected, atol=1e-7)
    noise = np.sort(full.fits_[group].alphas)[len(full.fits_[group].alphas) // 2] * np.trace(k) / len(k)
    own = np.flatnonzero(owner == fold[0])
    solved = np.linalg.solve(k[np.ix_(rest, rest)] + noise * np.eye(len(rest)), k[np.ix_(rest, own)])
    scale = float(full.fits_[group].posterior.scales[0])
    covariance = scale * (k[np.ix_(own, own)] - k[np.ix_(own, rest)] @ solved)
    found = held.answers.covariances[fold[0]][group][0]
    np.testing.assert_allclose(found, covariance, atol=1e-6 * covariance.max())


@pytest.mark.parametrize("messages", [False, True])
def test_sparse_with_everything_active_is_full(known, waters, messages, monkeypatch):
    """For the same alphas, whatever is left out first."""
    monkeypatch.setattr("hamlearn.regression.fit.RELATIVE_ALPHAS", (1e-6,))
    monkeypatch.setattr("hamlearn.regression.fit.FIRST_TRIED", 0)
    kernel = SMALL.model_copy(update={"message_passing": messages})
    one, other = (fit(known, BARS.model_copy(update={"basis": b}), kernel=kernel) for b in ("full", "sparse"))
    assert one.active_.count(Family("cross", 1, 8)) == other.active_.count(Family("cross", 1, 8)) == 2 * N
    before, after = (learner.predict_with_covariance(waters[N : N + 3], SILENT) for learner in (one, other))
    compared = 0
    for group, values in before.values().items():
        np.testing.assert_allclose(after.values()[group], values, atol=1e-6)
        scales = [learner.fits_[group].posterior.scales for learner in (one, other)]
        for target in np.flatnonzero(scales[0] > 1e-16):
            ratio = float(scales[1][target] / scales[0][target])
            found, expected = (answers.covariances[0][group][target] for answers in (after, before))
            np.testing.assert_allclose(found, ratio * expected, atol=1e-4 * ratio * float(scales[0].max()))
            compared += 1
    assert compared > 10


def in_any_order(executor, function, arguments):
    """As an executor, but in this process, and the last first."""
    order = range(len(arguments))
    return [(k, function(*arguments[k])) for k in (order if executor == "serial" else reversed(order))]


def assert_executor_changes_nothing(known, waters, settings, executor, monkeypatch):
    monkeypatch.setattr("hamlearn.learning.tiles.SMALLEST_TASKS", 6)
    monkeypatch.setattr("hamlearn.learning.tiles.ENTRIES_OF_A_TASK", 1e3)
    serial, spread = fit(known, settings), fit(known, settings, Job(executor=executor))
    before = serial.predict_with_covariance(waters[N:], SILENT)
    for one, tolerance in ((spread, 1e-7), (serial, EXACT)):
        after = one.predict_with_covariance(waters[N:], Job(executor=executor))
        for group, values in before.values().items():
            np.testing.assert_allclose(after.values()[group], values, atol=tolerance)
        for expected, found in zip(before.covariances, after.covariances, strict=True):
            assert expected.keys() == found.keys()
            for group, v in expected.items():
                np.testing.assert_allclose(found[group], v, atol=1e-4 * abs(v).max() + 1e-18)


@pytest.mark.parametrize("settings", [BARS, SPARSE], ids=["full", "sparse"])
def test_tasks_in_any_order_change_nothing(known, waters, settings, monkeypatch):
    monkeypatch.setattr("hamlearn.learning.tiles.run_tasks", in_any_order)
    assert_executor_changes_nothing(known, waters, settings, "serial", monkeypatch)


@pytest.mark.slow
def test_an_executor_changes_nothing(known, waters, monkeypatch):
    assert_executor_changes_nothing(known, waters, BARS, "local:2", monkeypatch)


def test_error_bars_cover_what_they_say(known, fitted, waters, water_lowdin):
    """Errors of new waters in units of their standard deviations, over all blocks that vary."""
    blocks, covariances = known.with_covariances(fitted, waters[N:])
    z = []
    for key, values in truth_of(waters, water_lowdin).values.items():
        if not len(values) or (values**2).mean() < 1e-10:
            continue
        error = (blocks.values[key] - values).reshape(len(waters) - N, -1)
        std = np.sqrt([np.diag(c.values[key]).clip(0) for c in covariances])
        z.append((error / std.clip(1e-8)).ravel())
    z = np.abs(np.concatenate(z))
    assert 0.5 < (z < 1).mean() < 0.92 and (z < 2).mean() > 0.8


def test_covariances_are_positive_and_shrink_with_data(known, fitted, waters):
    _, (far, near) = known.with_covariances(fitted, [Atoms("OHH", waters[0].positions * 1.15), known.structures[3]])
    grows = []
    for key, v in far.values.items():
        assert np.linalg.eigvalsh(v)[0] > -1e-9 * max(np.trace(v), 1e-12)
        if np.trace(v) > 1e-10:
            grows.append(np.trace(v) > np.trace(near.values[key]))
    assert np.mean(grows) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"active": {"C": 5}}, r"model.active names C; the training set has H, O, H-H, H-O"),
        ({"active": {"O": 17}}, r"17 samples of O, the training set has 16; lower it"),
        ({"active": {"H-O": 33}}, r"33 samples of H-O, the training set has 32; lower it"),
        ({"active": {"O-H": 33}}, r"33 samples of O-H, the training set has 32; lower it"),
        ({"active": 40}, r"model.active is 40, but the training set has at most 32 samples of a kind \(H\)"),
        ({"memory_gb": 1e-5}, r"more than memory_gb = 1e-05; raise memory_gb, or set model.basis: sparse"),
    ],
)
def test_settings_that_cannot_be_met(known, settings, words):
    """The check alone says so, without a kernel."""
    learner = PairKernelLearner(PLAIN.model_copy(update=settings))
    with pytest.raises(ConfigError, match=words):
        learner.check(known.structures, known.data.n_targets)
    with pytest.raises(ConfigError, match=words):
        fit(known, learner.settings)


def test_covariances_of_structures_left_out_need_memory(known):
    """They are looked at before anything is computed, if structures are left out."""
    learner = PairKernelLearner(SPARSE.model_copy(update={"memory_gb": 0.02, "active": 2}))
    many = [Atoms("O8H16", np.random.default_rng(0).normal(size=(24, 3))) for _ in range(200)]
    learner.check(many, known.data.n_targets)
    with pytest.raises(ConfigError, match=r"25 structures left out, whose covariances need .* memory_gb = 0.02"):
        learner.check(many, known.data.n_targets, held_out=True)


def test_mixtures_that_differ_in_a_like_pair_are_refused(known):
    kernel = WignerSettings(form="product", max_nu_pair=1, mixture_i=(1.0, 1.0), mixture_j=(1.0, 0.5))
    with pytest.raises(ConfigError, match=r"mixture_j .*a pair of H .*give slot j the mixture of slot i"):
        fit(known, kernel=kernel)


def test_rare_pairs_are_left_out_once(known, hydrogen_peroxide):
    """Pairs of one structure only: it is among those left out first, and the pairs are not said to be certain."""
    rng = np.random.default_rng(0)
    random = rng.normal(size=(12, 12))
    more = Known.of(
        [*known.structures, hydrogen_peroxide], [*known.matrices, random + random.T], known.task.orbitals
    )  # fmt: skip
    group = Group((Family("plus", 8, 8),), 0, 1)
    for settings in (BARS, BARS.model_copy(update={"basis": "sparse"})):
        fitted = fit(more, settings, held_out=True)
        assert N in fitted.held_out_[0].indices
        answers = fitted.predict_with_covariance([rotate(hydrogen_peroxide, random_rotation(rng))], SILENT)
        assert (fitted.fits_[group].posterior.scales > 0).all()
        assert answers.covariances[0][group].shape == (len(more.task.keys[group]), 1, 1)


def test_pairs_that_did_not_occur_are_refused(full, waters):
    with pytest.raises(DomainError, match=r"structure 1 \(O2\): pair O-O not in the training set"):
        full.predict([waters[0], Atoms("OO", [[0, 0, 0], [0, 0, 1.2]])], SILENT)


def test_pairs_beyond_the_cutoff_are_zero(known, full):
    far = Atoms("OHH", [[0, 0, 0], [0.9, 0, 0.3], [0, 0, 9.0]])
    predicted = known.blocks(full, [far])
    beyond = predicted.samples[Family("cross", 1, 8)][:, 1] == 2
    for key, values in predicted.values.items():
        if key.kind == "cross":
            assert not values[beyond].any() and values[~beyond].any()
        elif key.kind in ("plus", "minus"):
            assert not values.any()


def test_one_structure_has_nothing_to_leave_out(known):
    one = Known.of(known.structures[:1], [np.eye(7)], known.task.orbitals)
    grid = PLAIN.model_copy(update={"kernel": SMALL.model_copy(update={"grid": {"rate": (0.5, 1.0)}})})
    for settings in (BARS, PLAIN.model_copy(update={"basis": "sparse"}), grid):
        with pytest.raises(ConfigError, match="at least two training structures"):
            fit(one, settings)
    with pytest.raises(ConfigError, match="at least two training structures"):
        fit(one, PLAIN, held_out=True)


def test_a_refused_fit_leaves_the_learner_as_it_was(known, waters):
    settings = SPARSE.model_copy()
    learner = fit(known, settings)
    before = learner.predict(waters[N : N + 2], SILENT).values()
    learner.settings = SPARSE.model_copy(update={"memory_gb": 1e-5})
    with pytest.raises(ConfigError, match="more than memory_gb"):
        learner.fit(known.structures, known.data.part(np.arange(N)), SILENT)
    after = learner.predict(waters[N : N + 2], SILENT).values()
    for group, values in before.items():
        np.testing.assert_array_equal(after[group], values)


def test_choosing_structures_asks_for_an_active_set(known):
    learner = PairKernelLearner(PLAIN.model_copy(update={"active_by": "structures"}))
    with pytest.raises(ConfigError, match=r"an active set .* need structures that can be left out"):
        learner.check(known.structures[:1], known.data.n_targets)


def test_a_solver_is_refused_where_all_samples_are_the_basis(known):
    """Few structures without an active set; the points of a learning curve then have none."""
    given = PLAIN.model_copy(update={"solver": "rkhs"})
    with pytest.raises(ConfigError, match=r"model.solver rkhs belongs to .* sparse, but this fit has the basis full"):
        fit(known, given)
    assert PairKernelLearner.smaller(given, known.structures) == PLAIN
    sparse = given.model_copy(update={"active": 4})
    PairKernelLearner(sparse).check(known.structures, known.data.n_targets)
    assert PairKernelLearner.smaller(sparse, known.structures[:1]).solver == "rkhs"


def test_the_error_of_a_choice_is_kept_only_with_the_choice(known):
    """A fit with the settings chosen, or fewer structures, chooses no more."""
    grid = PLAIN.model_copy(update={"kernel": SMALL.model_copy(update={"grid": {"rate": (0.5, 1.0)}}), "loss": "mae"})
    assert PairKernelLearner.smaller(grid, known.structures) == PLAIN
    told = []
    assert fit(known, grid, Job(echo=told.append)).chosen().loss is None
    assert "cross-validated MAE of an element, meV," in told[0]


def test_what_a_learner_says_of_itself(known, full):
    """The basis it remembers, and the settings it chose."""
    assert full.basis_counts(full.fits_) == {"H": 2 * N, "O": N, "H-H": N, "H-O": 2 * N}
    assert full.in_words()[1] == f"Atoms and pairs in the basis: H {2 * N}, O {N}, H-H {N}, H-O {2 * N}"
    assert full.remembered() == (full.kernel_, full.active_) and full.chosen() == full.settings
    assert full.regularisation().keys() == known.data.values.keys()


def test_held_out_answers_are_those_of_their_structures(known, full):
    """Covariances of the groups that a structure has; an answer for every row."""
    (held,) = full.held_out_
    assert isinstance(held.answers, Answers)
    for group, rows in held.answers.values().items():
        assert rows.shape == known.data.values[group].shape
    for covariances in held.answers.covariances:
        assert covariances.keys() == known.data.values.keys()
