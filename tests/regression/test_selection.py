import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from hamlearn.errors import ConfigError
from hamlearn.regression.farthest import cur_kernel, cur_select, farthest_points, farthest_points_of_features
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def features(seed=0, n=40, q=6):
    return np.random.default_rng(seed).normal(size=(n, q))


def brute_force(x, first, n_select):
    """All distances of all pairs again at every step."""
    chosen, distances = [first], [np.inf]
    while len(chosen) < n_select:
        to_set = [min(np.linalg.norm(x[i] - x[j]) for j in chosen) for i in range(len(x))]
        chosen.append(int(np.argmax(to_set)))
        distances.append(max(to_set))
    return chosen, distances


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 19), st.integers(1, 20))
def test_farthest_points_against_brute_force(seed, first, n_select):
    x = features(seed, n=20)
    expected, distances = brute_force(x, first, n_select)
    k = x @ x.T
    asked = []

    def column(index):
        asked.append(index)
        return k[:, index]

    for found in (
        farthest_points(k, n_select, first=first),
        farthest_points(column, n_select, diagonal=k.diagonal(), first=first),
        farthest_points_of_features(x, n_select, first=first),
    ):
        assert found[0].tolist() == expected
        np.testing.assert_allclose(found[1], distances, atol=1e-7)  # square roots of differences
    assert asked == expected[:-1]  # the kernel is never asked for more


def test_ties_go_to_the_lowest_index():
    x = np.array([[0.0], [1.0], [-1.0], [1.0]])
    assert farthest_points_of_features(x, 3, first=0)[0].tolist() == [0, 1, 2]


def test_duplicates_end_the_selection():
    x = np.repeat(features(1, n=5), 3, axis=0)
    for indices, distances in (farthest_points(x @ x.T, 15), farthest_points_of_features(x, 15)):
        assert sorted(indices // 3) == [0, 1, 2, 3, 4]
        assert len(distances) == 5
        assert distances[1:].min() > 0.1


def test_a_tolerance_ends_the_selection_earlier():
    x = np.linspace(0, 1, 101)[:, None]
    _, distances = farthest_points_of_features(x, 101, first=0, tolerance=0.03)
    assert (distances**2 > 0.03).all()
    assert len(distances) == 5  # 0, 1, 1/2, 1/4, 3/4; the next would lie at 1/64


def test_the_first_point_is_drawn_with_the_seed():
    x = features()
    starts = {int(farthest_points_of_features(x, 1, seed=s)[0][0]) for s in range(20)}
    assert len(starts) > 5
    assert farthest_points(x @ x.T, 9, seed=3)[0].tolist() == farthest_points(x @ x.T, 9, seed=3)[0].tolist()


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_selections_do_not_see_rotations_and_follow_permutations(seed):
    x, rng = features(seed), np.random.default_rng(seed)
    rotated, order = x @ ortho_group.rvs(6, random_state=rng), rng.permutation(40)
    assert farthest_points_of_features(rotated, 8, first=0)[0].tolist() == (
        farthest_points_of_features(x, 8, first=0)[0].tolist()
    )
    assert cur_select(rotated, 5).tolist() == cur_select(x, 5).tolist()
    assert order[cur_select(x[order], 5)].tolist() == cur_select(x, 5).tolist()


def brute_force_cur(d, n, k):
    d, chosen = d.copy(), []
    for _ in range(n):
        u, s, _ = np.linalg.svd(d, full_matrices=False)
        u = u[:, s > 1e-10][:, :k]
        chosen.append(int((u**2).sum(axis=1).argmax()))
        row = d[chosen[-1]] / np.linalg.norm(d[chosen[-1]])
        d -= np.outer(d @ row, row)
    return chosen, d


@pytest.mark.parametrize("k", (1, 3, 20))
def test_cur_against_brute_force(k):
    d = features(2) * np.logspace(0, -2, 6)
    assert cur_select(d, 6, k).tolist() == brute_force_cur(d, 6, k)[0]
    assert cur_kernel(d @ d.T, 6, k).tolist() == brute_force_cur(d, 6, k)[0]
    assert cur_select(d.T, 6, k, axis=1).tolist() == brute_force_cur(d, 6, k)[0]


@pytest.mark.parametrize("select", (cur_select, lambda d, n: cur_kernel(d @ d.T, n)))
def test_cur_ends_when_nothing_is_left(select):
    d = features(3, q=4) @ features(4, n=4, q=9)  # rank 4
    chosen = select(d, 30)
    assert len(chosen) == len(set(chosen.tolist())) == 4
    basis = np.linalg.qr(d[chosen].T)[0]
    assert np.abs(d - d @ basis @ basis.T).max() < 10 * EXACT
    assert len(select(np.zeros((5, 3)), 2)) == 0


def test_stochastic_cur_draws_with_the_leverage():
    d = np.diag([3.0, 2.0, 1.0, 0.0, 0.0])
    drawn = [cur_select(d, 1, k=2, stochastic=True, seed=s)[0] for s in range(200)]
    assert set(drawn) == {0, 1}  # the third vector is not among the first two
    assert abs(drawn.count(0) - 100) < 40
    assert sorted(cur_select(d, 5, stochastic=True)) == [0, 1, 2]
    assert sorted(cur_kernel(d @ d.T, 3, stochastic=True)) == [0, 1, 2]
    assert len(cur_select(np.zeros((4, 4)), 2, stochastic=True)) == 0
    u = np.linalg.svd(features(5), full_matrices=False)[0]
    counts = np.zeros(40)
    for seed in range(300):
        counts[cur_select(features(5), 1, k=2, stochastic=True, seed=seed)] += 1
    expected = (u[:, :2] ** 2).mean(axis=1)
    assert np.corrcoef(counts, expected)[0, 1] > 0.8


def test_refusals():
    x = features()
    for select in (farthest_points_of_features, cur_select):
        with pytest.raises(ConfigError, match="41 points cannot be chosen of 40"):
            select(x, 41)
        with pytest.raises(ConfigError, match="NaN"):
            select(x * np.nan, 4)
    with pytest.raises(ConfigError, match="the first point is 40"):
        farthest_points(x @ x.T, 4, first=40)
    with pytest.raises(ConfigError, match="needs its diagonal"):
        farthest_points(lambda index: x @ x[index], 4)
    with pytest.raises(ConfigError, match="does not fit the diagonal"):
        farthest_points(lambda index: x @ x[index], 4, diagonal=np.ones(40))
    with pytest.raises(ConfigError, match="not negative"):
        farthest_points(lambda index: x @ x[index], 4, diagonal=-np.ones(40))
    with pytest.raises(ConfigError, match="axis is 2"):
        cur_select(x, 4, axis=2)
    with pytest.raises(ConfigError, match="k = 0"):
        cur_select(x, 4, k=0)
    with pytest.raises(ConfigError, match="not positive semi-definite"):
        cur_kernel(-(x @ x.T), 4)
