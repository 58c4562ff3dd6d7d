"""Ridge regression in the frames of bonds: symmetry to rounding, exact fits, error bars, edges, what is refused."""

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.bond_frame import bond_frames
from hamlearn.config import BondFrameFeatures, RidgeSettings, WignerSettings
from hamlearn.errors import ConfigError
from hamlearn.features import bond_rows
from hamlearn.job import SILENT, Job
from hamlearn.learning import bond_budget
from hamlearn.learning.bond_problems import PairProblem
from hamlearn.learning.bond_ridge import BondFrameLearner
from hamlearn.learning.registry import new_learner
from hamlearn.o3 import bonds
from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.structures.families import Family
from hamlearn.testing.exact_problems import MatrixProblem, PropertyProblem, small_molecules
from hamlearn.testing.rotated_rows import assert_rows, rotated_rows

SMALL = BondFrameFeatures(max_l=2, max_n=3, max_channels=6, threshold=1e-5, max_features=150)
PLAIN = RidgeSettings(features=SMALL)
BARS = PLAIN.model_copy(update={"error_bars": True})
PROBLEM = MatrixProblem()
KNOWN, NEW = small_molecules(10), small_molecules(4, seed=1)
EXACT = 1e-12


def with_features(**changes):
    return RidgeSettings(features=SMALL.model_copy(update=changes))


def fit(structures=KNOWN, section=PLAIN, held_out=False, problem=PROBLEM):
    return new_learner(section).fit(structures, problem.encode(structures)[1], SILENT, held_out)


@pytest.fixture(scope="module")
def data():
    return PROBLEM.encode(KNOWN)[1]


@pytest.fixture(scope="module")
def learner():
    return fit(section=BARS, held_out=True)


@pytest.fixture(scope="module")
def size(data):
    """Of the largest block."""
    return max(float(np.abs(y).max()) for y in data.values.values())


def values(learner, structures):
    return learner.predict(structures, SILENT).values()


@pytest.mark.skipif(not bonds.is_compiled(), reason="not compiled")
def test_answers_of_the_compiled_loops_are_those_of_torch(learner, size, monkeypatch):
    """Blocks of every L, of one structure and of several."""
    before = [values(learner, some) for some in (NEW, NEW[:1])]
    monkeypatch.setattr(bonds, "is_compiled", lambda: False)
    for found, some in zip(before, (NEW, NEW[:1]), strict=True):
        assert_rows(values(learner, some), found, 1e-13 * size)


def test_the_settings_choose_the_learner(learner):
    assert isinstance(learner, BondFrameLearner) and learner.features == SMALL
    assert learner.pair_cutoff == 10.0 and learner.max_l == 2 and learner.feature_seconds_ > 0
    (line,) = learner.in_words()
    assert line.startswith("Features in the frames of bonds: ") and line.endswith(" of each symmetry")


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_rolls_of_the_frames_change_nothing(learner, size, seed):
    """Neither answers nor covariances, by any angle of every bond."""
    direction = torch.from_numpy(np.random.default_rng(seed).normal(size=3, scale=9.0))
    before = values(learner, NEW), learner.predict_with_covariance(NEW, SILENT)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bond_rows, "bond_frames", lambda vectors: rolled_frames(vectors, vectors @ direction))
        after = values(learner, NEW), learner.predict_with_covariance(NEW, SILENT)
    assert_rows(after[0], before[0], EXACT * size)
    assert_rows(after[1].values(), before[1].values(), EXACT * size)
    for one, other in zip(before[1].covariances, after[1].covariances, strict=True):
        for group, covariance in one.items():
            np.testing.assert_allclose(other[group], covariance, atol=1e-8 * np.abs(covariance).max())


def rolled_frames(vectors, phi):
    c, s, zero, one = torch.cos(phi), torch.sin(phi), torch.zeros_like(phi), torch.ones_like(phi)
    roll = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).reshape(-1, 3, 3)
    return roll @ bond_frames(vectors)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), improper=st.booleans())
def test_answers_turn_with_the_molecules_and_do_not_see_where_they_are(learner, size, seed, improper):
    rng = np.random.default_rng(seed)
    rotation = random_rotation(rng, improper)
    after = values(learner, [translate(rotate(atoms, rotation), rng.normal(size=3)) for atoms in NEW])
    turned = {group: rotated_rows(rows, group, rotation) for group, rows in values(learner, NEW).items()}
    assert_rows(after, turned, EXACT * size)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_answers_follow_permutations(learner, size, seed):
    rng = np.random.default_rng(seed)
    task, _ = PROBLEM.encode(KNOWN)
    orders = [rng.permutation(len(atoms)) for atoms in NEW]
    moved = [permute(atoms, order) for atoms, order in zip(NEW, orders, strict=True)]
    both = [PROBLEM.decode(task, learner.predict(some, SILENT), some) for some in (NEW, moved)]
    for one, other, atoms, order in zip(*both, NEW, orders, strict=True):
        np.testing.assert_allclose(other, PROBLEM.permuted(one, atoms, order), atol=EXACT * size)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_training_in_rolled_frames_finds_the_same(learner, size, seed):
    """What rounding may change is divided by alpha."""
    direction = torch.from_numpy(np.random.default_rng(seed).normal(size=3, scale=9.0))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bond_rows, "bond_frames", lambda vectors: rolled_frames(vectors, vectors @ direction))
        other = fit()
    assert_rows(values(other, NEW), values(learner, NEW), 1e-8 * size)


def test_answers_with_covariance_are_the_same(learner, size):
    """One is made without features, the other with them."""
    assert_rows(learner.predict_with_covariance(NEW, SILENT).values(), values(learner, NEW), 1e-11 * size)


def test_fits_are_those_without_error_bars(learner, size):
    assert_rows(values(fit(), NEW), values(learner, NEW), 1e-9 * size)


def random_matrices(structures, seed=0):
    """Symmetric matrices of random numbers, and the task they belong to."""
    rng = np.random.default_rng(seed)
    task, _ = PROBLEM.encode(structures)
    matrices = []
    for label in PROBLEM.labels(structures):
        matrix = rng.normal(size=label.shape)
        matrices.append(matrix + matrix.T)
    return task, matrices


def fit_random(structures, section, seed=0):
    task, matrices = random_matrices(structures, seed)
    encoded = task.encode(matrices, [atoms.numbers for atoms in structures])
    learner = new_learner(section).fit(structures, encoded, SILENT)
    found = PROBLEM.decode(task, learner.predict(structures, SILENT), structures)
    return found, matrices


def test_anything_is_reproduced_where_no_symmetry_forbids_it():
    """A chiral molecule whose matrix is random numbers: every block has features that reach it."""
    found, matrices = fit_random(small_molecules(2)[1:], with_features(threshold=1e-7, max_features=400))
    np.testing.assert_allclose(found[0], matrices[0], atol=1e-8)


@pytest.mark.parametrize(
    ("formula", "positions"),
    [("CO", [[0, 0, 0], [0, 0, 1.13]]), ("HCN", [[0, 0, -1.06], [0, 0, 0], [0, 0, 1.15]])],
)
def test_matrices_of_linear_molecules_are_diagonal_in_m(formula, positions):
    """Of a random matrix remains the average over all rotations about the axis and mirrors that hold it."""
    molecule = Atoms(formula, positions)
    (found,), (matrix,) = fit_random([molecule], PLAIN)
    shells = [label.split()[2] for label in PROBLEM._mole(molecule).ao_labels()]
    x, y = (np.array([shell.endswith(name) for shell in shells]) for name in ("px", "py"))
    axial = ~(x | y)
    expected = np.where(np.outer(axial, axial), matrix, 0.0)
    expected[np.ix_(x, x)] = expected[np.ix_(y, y)] = (matrix[np.ix_(x, x)] + matrix[np.ix_(y, y)]) / 2
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_structures_left_out_are_predicted_by_fits_without_them(data):
    """With variables, products and alphas of all: those of a dense fit of the rest."""
    learner = fit(section=BARS, held_out=True)
    held = learner.held_out_[1]
    assert sorted(int(k) for h in learner.held_out_ for k in h.indices) == list(range(len(KNOWN)))
    frame, compared = learner.frame_, 0
    for problem, found in zip(learner.problems_, learner.fits_, strict=True):
        group = problem.groups[0]
        if isinstance(problem, PairProblem) or len(problem.groups) > 1:
            continue
        rest = [k for k in range(len(KNOWN)) if k not in held.indices]
        x, y = [], []
        for k in rest:
            tile = frame.tile(bond_rows.Samples.of([KNOWN[k]]))
            x.append(problem.features(frame, tile).flatten(0, 1).numpy())
            y.append(data.rows(group)[data.owner[group] == k])
        x, y = np.concatenate(x), np.concatenate(y)
        tile = frame.tile(bond_rows.Samples.of([KNOWN[k] for k in held.indices]))
        new = problem.features(frame, tile).flatten(0, 1).numpy()
        expected = np.empty((len(new), y.shape[1]))
        for target, alpha in enumerate(found.posterior.alphas):
            padded = np.vstack([x, np.sqrt(alpha) * np.eye(x.shape[1])])
            w = np.linalg.lstsq(padded, np.concatenate([y[:, target], np.zeros(x.shape[1])]), rcond=None)[0]
            expected[:, target] = new @ w
        rows = held.answers.values()[group] - data.offset(group)
        np.testing.assert_allclose(rows, expected, atol=1e-6 * np.abs(y).max())
        compared += 1
    assert compared > 3


def test_covariances_are_sums_over_the_components(learner):
    """Of a pair alone: V = sum_M T_M V_M T_M^T."""
    (atoms,) = NEW[:1]
    answers = learner.predict_with_covariance([atoms], SILENT)
    group = next(g for g in answers.covariances[0] if g.family == Family("cross", 1, 8) and g.L == 1 and g.sigma == 1)
    tile = learner.frame_.tile(bond_rows.Samples.of([atoms]))
    rotations = tile.rows[bond_rows.Bonds("pair", 1, 8)].rotations[1].numpy()
    n = len(rotations)
    expected = np.zeros((learner.offsets_[group].size, 3 * n, 3 * n))
    for problem, found in zip(learner.problems_, learner.fits_, strict=True):
        if group not in problem.groups:
            continue
        flat = problem.features(learner.frame_, tile).flatten(0, 1).numpy()
        start = sum(learner.offsets_[g].size for g in problem.groups[: problem.groups.index(group)])
        own = found.posterior.covariances(flat, [len(flat)])[0][start : start + len(expected)]
        parts = [[1]] if problem.key[0] == 0 else [[2], [0]]  # M = 0; M = +1 and -1
        turn = np.zeros((3 * n, len(flat)))
        for k in range(n):
            for part, (m,) in enumerate(parts):
                turn[3 * k : 3 * k + 3, len(parts) * k + part] = rotations[k, m]
        expected += turn @ own @ turn.T
    np.testing.assert_allclose(answers.covariances[0][group], expected, atol=1e-10 * np.abs(expected).max())


def test_molecules_unlike_all_are_less_certain(learner):
    stretched = NEW[0].copy()
    stretched.positions[1] *= 1.4
    usual, strange = (learner.predict_with_covariance([a], SILENT).covariances[0] for a in (NEW[0], stretched))
    for group, covariance in usual.items():
        before, after = (np.trace(v, axis1=1, axis2=2).sum() for v in (covariance, strange[group]))
        assert group.L or after >= before


def test_tiles_change_nothing_but_rounding(learner, size, monkeypatch):
    monkeypatch.setattr(bond_budget, "MOST_STRUCTURES", 1)
    assert len(list(learner._budget.tiles(NEW, learner.frame_, []))) == len(NEW)
    assert_rows(values(learner, NEW), values(fit(), NEW), 1e-8 * size)
    covariances = learner.predict_with_covariance(NEW, SILENT).covariances
    monkeypatch.undo()
    for one, other in zip(covariances, learner.predict_with_covariance(NEW, SILENT).covariances, strict=True):
        for group, covariance in one.items():
            np.testing.assert_allclose(covariance, other[group], atol=1e-9 * np.abs(covariance).max())


def test_a_second_fit_answers_by_itself(size):
    """Nothing of the first is left, and a fit that is refused leaves the first as it is."""
    learner = fit(KNOWN[:6])
    first = values(learner, NEW)
    with pytest.raises(ConfigError, match="sums over atoms"):
        learner.fit(KNOWN, PropertyProblem().encode(KNOWN)[1], SILENT)
    assert_rows(values(learner, NEW), first, 0.0)
    learner.fit(KNOWN, PROBLEM.encode(KNOWN)[1], SILENT)
    assert_rows(values(learner, NEW), values(fit(), NEW), 0.0)
    assert any(np.abs(y - first[group]).max() > 1e-6 * size for group, y in values(learner, NEW).items())


def test_distances_are_measured_by_kernels_as_wide_as_the_features(learner):
    metric = learner.metric()
    assert isinstance(metric, WignerSettings) and (metric.max_l, metric.max_nu_centre, metric.max_nu_pair) == (2, 2, 0)
    assert metric.cutoff_angstrom == SMALL.cutoff_angstrom and learner.remembered() is None


def test_progress_is_told():
    told = []
    new_learner(PLAIN).fit(KNOWN, PROBLEM.encode(KNOWN)[1], Job(echo=told.append, label="molecules"))
    assert told and all(line.startswith(("molecules, slopes", "molecules, steps")) for line in told)
