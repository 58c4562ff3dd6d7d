"""Wigner kernels of atoms and pairs as a model of all blocks of a matrix."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_waters import BARS, SMALL, SPARSE, N, fit, noisy_waters

from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.blocks import assemble_matrices, element_variances, split_matrices
from hamlearn.config import ModelSettings, WignerSettings
from hamlearn.errors import ConfigError, DomainError
from hamlearn.learning import kernel_training
from hamlearn.learning.groups import Group
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.structures.samples import Family
from hamlearn.testing import TOLERANCE

EXACT, EQUIVARIANCE = TOLERANCE["float64"]["exact"], TOLERANCE["float64"]["equivariance"]


@pytest.fixture(scope="module")
def data(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


@pytest.fixture(scope="module", params=["full", "sparse", "structures", "messages"])
def fitted(request, data):
    wigner = SMALL.model_copy(update={"message_passing": request.param == "messages"})
    sparse = {"sparse": SPARSE, "structures": SPARSE.model_copy(update={"active_by": "structures"})}
    return fit(data, sparse.get(request.param, BARS), wigner, held_out=True)


@pytest.fixture(scope="module")
def full(data):
    return fit(data, held_out=True)


def truth_of(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    return split_matrices(matrices[N:], [a.numbers for a in waters[N:]], orbitals)


def rmse(blocks, others):
    keys = [key for key in blocks.values if len(blocks.values[key])]
    return np.sqrt(np.mean(np.concatenate([(blocks.values[k] - others.values[k]).ravel() ** 2 for k in keys])))


def test_learns(fitted, waters, water_lowdin):
    """Matrix elements of new waters, which spread by 0.02 Hartree, to little more than the noise of the data."""
    assert rmse(truth_of(waters, water_lowdin), fitted.predict(waters[N:])) < 5e-4


@settings(derandomize=True, max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_matrices_follow_rotations_inversion_and_order(fitted, waters, water_lowdin, seed, improper):
    """And their variances do in the frame of the molecule."""
    orbitals, atoms = water_lowdin[1], waters[N]
    rng = np.random.default_rng(seed)
    r, order = random_rotation(rng, improper), rng.permutation(3)
    moved = rotate(permute(atoms, order), r)
    before, after = (assemble_matrices(fitted.predict([a]), [a.numbers], orbitals)[0] for a in (atoms, moved))
    t, p = ao_rotation(orbitals, moved.numbers, r), ao_permutation(orbitals, atoms.numbers, order)
    # a sum of kernels, each exact to rounding, with weights of either sign
    bound = EQUIVARIANCE + 1e-15 * max(float(x.abs().sum(dim=0).max()) for x in fitted.weights_.values())
    np.testing.assert_allclose(after, t @ before[np.ix_(p, p)] @ t.T, atol=bound)
    variances = []
    for a in (permute(atoms, order), rotate(moved, r.T)):
        covariance = fitted.predict_with_covariance([a])[1][0]
        variances.append(element_variances(covariance, a.numbers, orbitals))
    np.testing.assert_allclose(variances[1], variances[0], atol=1e-8 * variances[0].max())


def test_training_structures_may_be_turned_and_shuffled(data, full, waters):
    """The model they make is the same."""
    atoms, _, orbitals = data
    rng = np.random.default_rng(0)
    order = [2, 0, 1]
    turns = [random_rotation(rng, bool(k % 2)) for k in range(N)]
    turned = [rotate(permute(a, order), r) for a, r in zip(atoms, turns, strict=True)]
    matrices = assemble_matrices(data[1], [a.numbers for a in atoms], orbitals)
    p = ao_permutation(orbitals, atoms[0].numbers, order)
    ts = [ao_rotation(orbitals, a.numbers, r) for a, r in zip(turned, turns, strict=True)]
    moved = [t @ m[np.ix_(p, p)] @ t.T for t, m in zip(ts, matrices, strict=True)]
    other = fit((turned, split_matrices(moved, [a.numbers for a in turned], orbitals)))
    before, after = full.predict(waters[N:]), other.predict(waters[N:])
    for key, values in before.values.items():
        np.testing.assert_allclose(after.values[key], values, atol=1e-7)


def test_held_out_predictions_are_those_of_models_that_have_not_seen_them(data, full):
    """One fold left out by hand, with the kernels of the whole set: predictions and covariances."""
    (held,) = full.held_out_
    np.testing.assert_array_equal(held.indices, np.arange(N))
    group = Group(Family("cross", 1, 8), 1, 1)
    family, name = group.family, (1, 1)
    centres = full.kernel_.centres(data[0])
    k = full.kernel_.between(centres, centres, {family: [name]})[family, name]
    k = k.reshape(len(k) * 3, -1)
    owner = np.repeat(data[1].samples[family][:, 0], 3)
    fold = kernel_training.Data(full.blocks_, data[1], N, 3).folds[1]
    out, rest = np.flatnonzero(np.isin(owner, fold)), np.flatnonzero(~np.isin(owner, fold))
    key = full.blocks_[group][0]
    y = data[1].values[key].reshape(-1)
    noise = float(full.alphas_[group][0]) * np.trace(k) / len(k)
    expected = k[np.ix_(out, rest)] @ np.linalg.solve(k[np.ix_(rest, rest)] + noise * np.eye(len(rest)), y[rest])
    np.testing.assert_allclose(held.blocks.values[key].reshape(-1)[out], expected, atol=1e-7)
    noise = np.sort(full.alphas_[group].numpy())[len(full.alphas_[group]) // 2] * np.trace(k) / len(k)
    own = np.flatnonzero(owner == fold[0])
    solved = np.linalg.solve(k[np.ix_(rest, rest)] + noise * np.eye(len(rest)), k[np.ix_(rest, own)])
    covariance = float(full.scales_[group][0]) * (k[np.ix_(own, own)] - k[np.ix_(own, rest)] @ solved)
    np.testing.assert_allclose(held.covariances[fold[0]].values[key], covariance, atol=1e-6 * covariance.max())


@pytest.mark.parametrize("messages", [False, True])
def test_sparse_with_everything_active_is_full(data, waters, messages, monkeypatch):
    """For the same alphas, whatever is left out first."""
    monkeypatch.setattr("hamlearn.regression.kernel_fit.RELATIVE_ALPHAS", (1e-6,))
    monkeypatch.setattr("hamlearn.regression.kernel_fit.FIRST_TRIED", 0)
    everything = BARS.model_copy(update={"basis": "sparse", "active": None})
    wigner = SMALL.model_copy(update={"message_passing": messages})
    one, other = fit(data, wigner=wigner), fit(data, everything, wigner)
    assert one.active_.count(Family("cross", 1, 8)) == other.active_.count(Family("cross", 1, 8)) == 2 * N
    before, after = (m.predict_with_covariance(waters[N : N + 3]) for m in (one, other))
    for key, values in before[0].values.items():
        np.testing.assert_allclose(after[0].values[key], values, atol=1e-6)
    for key, values in before[1][0].values.items():
        found, scale = after[1][0].values[key], one.scales_[Group(key.family, key.L, key.sigma)].max()
        if scale > 1e-16:
            group = Group(key.family, key.L, key.sigma)
            column = one.blocks_[group].index(key)
            ratio = float(other.scales_[group][column] / one.scales_[group][column])
            np.testing.assert_allclose(found, ratio * values, atol=1e-4 * ratio * float(scale))


def in_any_order(executor, function, arguments):
    """As an executor, but in this process, and the last first."""
    order = range(len(arguments))
    return [(k, function(*arguments[k])) for k in (order if executor == "serial" else reversed(order))]


def assert_executor_changes_nothing(data, waters, model, executor, monkeypatch):
    monkeypatch.setattr("hamlearn.learning.rows.SMALLEST_TASKS", 6)
    monkeypatch.setattr("hamlearn.learning.rows.ENTRIES_OF_A_TASK", 1e3)
    serial, spread = fit(data, model), fit(data, model, executor=executor)
    before = serial.predict_with_covariance(waters[N:])
    for one, tolerance in ((spread, 1e-7), (serial, EXACT)):
        after = one.predict_with_covariance(waters[N:], executor=executor)
        for key, values in before[0].values.items():
            np.testing.assert_allclose(after[0].values[key], values, atol=tolerance)
            for v, w in zip(before[1], after[1], strict=True):
                np.testing.assert_allclose(w.values[key], v.values[key], atol=1e-4 * abs(v.values[key]).max() + 1e-18)


@pytest.mark.parametrize("model", [BARS, SPARSE], ids=["full", "sparse"])
def test_tasks_in_any_order_change_nothing(data, waters, model, monkeypatch):
    monkeypatch.setattr("hamlearn.learning.rows.run_tasks", in_any_order)
    assert_executor_changes_nothing(data, waters, model, "anywhere", monkeypatch)


@pytest.mark.slow
def test_an_executor_changes_nothing(data, waters, monkeypatch):
    assert_executor_changes_nothing(data, waters, BARS, "local:2", monkeypatch)


def test_error_bars_cover_what_they_say(fitted, waters, water_lowdin):
    """Errors of new waters in units of their standard deviations, over all blocks that vary."""
    truth = truth_of(waters, water_lowdin)
    blocks, covariances = fitted.predict_with_covariance(waters[N:])
    z = []
    for key, values in truth.values.items():
        if not len(values) or (values**2).mean() < 1e-10:
            continue
        error = (blocks.values[key] - values).reshape(len(waters) - N, -1)
        std = np.sqrt([np.diag(c.values[key]).clip(0) for c in covariances])
        z.append((error / std.clip(1e-8)).ravel())
    z = np.abs(np.concatenate(z))
    assert 0.5 < (z < 1).mean() < 0.92 and (z < 2).mean() > 0.8


def test_covariances_are_positive_and_shrink_with_data(fitted, data, waters):
    _, (far, near) = fitted.predict_with_covariance(
        [Atoms("OHH", waters[0].positions * 1.15), data[0][3]]
    )  # fmt: skip
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
        ({"memory_gb": 1e-5}, r"more than memory_gb = 1e-05; raise memory_gb, or set model.basis: sparse"),
    ],
)
def test_settings_that_cannot_be_met(data, settings, words):
    with pytest.raises(ConfigError, match=words):
        fit(data, ModelSettings(kind="wigner", **settings))


def test_mixtures_that_differ_in_a_like_pair_are_refused(data):
    wigner = WignerSettings(form="product", max_nu_pair=1, mixture_i=(1.0, 1.0), mixture_j=(1.0, 0.5))
    with pytest.raises(ConfigError, match=r"wigner.mixture_j .*a pair of H .*give slot j the mixture of slot i"):
        fit(data, wigner=wigner)


def test_rare_pairs_are_left_out_once(data, waters, water_lowdin):
    """Pairs of one structure only: it is among those left out first, and the pairs are not said to be certain."""
    atoms, _, orbitals = data
    peroxide = Atoms("OOHH", [[0, 0.72, 0.05], [0.02, -0.73, 0], [0.79, 0.9, 0.48], [-0.81, -0.92, 0.44]])
    numbers = [a.numbers for a in [*atoms, peroxide]]
    rng = np.random.default_rng(0)
    matrices = [*assemble_matrices(data[1], numbers[:N], orbitals), rng.normal(size=(12, 12))]
    matrices[-1] += matrices[-1].T
    blocks = split_matrices(matrices, numbers, orbitals)
    for model in (BARS, BARS.model_copy(update={"basis": "sparse"})):
        fitted = fit(([*atoms, peroxide], blocks), model, held_out=True)
        assert N in fitted.held_out_[0].indices
        _, (covariance,) = fitted.predict_with_covariance([rotate(peroxide, random_rotation(rng))])
        group = Group(Family("plus", 8, 8), 0, 1)
        for scale, key in zip(fitted.scales_[group], fitted.blocks_[group], strict=True):
            assert float(scale) > 0 and covariance.values[key].shape == (1, 1)


def test_error_bars_must_be_asked_for(data, waters):
    plain = fit(data, ModelSettings(kind="wigner"))
    with pytest.raises(ConfigError, match=r"model.error_bars: true"):
        plain.predict_with_covariance(waters[:1])


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms("OHF", [[0, 0, 0], [0, 0, 1], [1, 0, 0]]), "element F not in the training set"),
        (Atoms("OO", [[0, 0, 0], [0, 0, 1.2]]), "pair O-O not in the training set"),
    ],
)
def test_outside_the_domain(full, waters, atoms, words):
    with pytest.raises(DomainError, match=r"structure 1 \(.*" + words):
        full.predict([waters[0], atoms])


def test_pairs_beyond_the_cutoff_are_zero(full):
    far = Atoms("OHH", [[0, 0, 0], [0.9, 0, 0.3], [0, 0, 9.0]])
    predicted = full.predict([far])
    beyond = predicted.samples[Family("cross", 1, 8)][:, 1] == 2
    for key, values in predicted.values.items():
        if key.kind == "cross":
            assert not values[beyond].any() and values[~beyond].any()
        elif key.kind in ("plus", "minus"):
            assert not values.any()


def test_one_structure_has_nothing_to_leave_out(data):
    atoms, _, orbitals = data
    one = [atoms[0]], split_matrices([np.eye(7)], [atoms[0].numbers], orbitals)
    for model in (BARS, ModelSettings(kind="wigner", basis="sparse")):
        with pytest.raises(ConfigError, match="at least two training structures"):
            fit(one, model)
