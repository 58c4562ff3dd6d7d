import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from hamlearn.regression.farthest import farthest_points


def features(seed=0, n=40, q=6):
    return np.random.default_rng(seed).normal(size=(n, q))


def of_features(x, n_select, **more):
    k = x @ x.T
    return farthest_points(lambda index: k[:, index], k.diagonal(), n_select, **more)


def brute_force(x, n_select):
    """All distances of all pairs again at every step."""
    chosen = [0]
    while len(chosen) < n_select:
        to_set = [min(np.linalg.norm(x[i] - x[j]) for j in chosen) for i in range(len(x))]
        chosen.append(int(np.argmax(to_set)))
    return chosen


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_farthest_points_against_brute_force(seed, n_select):
    x = features(seed, n=20)
    expected = brute_force(x, n_select)
    k = x @ x.T
    asked = []

    def column(index):
        asked.append(index)
        return k[:, index]

    assert farthest_points(column, k.diagonal(), n_select).tolist() == expected
    assert asked == expected[:-1]  # the kernel is never asked for more


def test_the_kernel_chooses_as_scikit_matter_does_from_features():
    from skmatter.sample_selection import FPS

    for seed in range(5):
        x = features(seed)
        theirs = FPS(n_to_select=25, initialize=0).fit(x)
        assert of_features(x, 25).tolist() == theirs.selected_idx_.tolist()


def test_ties_go_to_the_lowest_index():
    x = np.array([[0.0], [1.0], [-1.0], [1.0]])
    assert of_features(x, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("noise", [1e-15, -1e-15])
def test_rounding_breaks_no_tie(noise):
    k = np.eye(5)
    k[3, 3] += noise
    assert farthest_points(lambda index: k[:, index], k.diagonal(), 4).tolist() == [0, 1, 2, 3]


def test_duplicates_end_the_selection():
    x = np.repeat(features(1, n=5), 3, axis=0)
    assert sorted(of_features(x, 15) // 3) == [0, 1, 2, 3, 4]
    assert farthest_points(lambda index: np.zeros(4), np.zeros(4), 3).tolist() == [0]


def test_a_tolerance_ends_the_selection_earlier():
    x = np.linspace(0, 1, 101)[:, None]
    chosen = of_features(x, 101, tolerance=0.03)
    assert x[chosen, 0].tolist() == [0.0, 1.0, 0.5, 0.25, 0.75]  # the next would lie at 1/64


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_selections_do_not_see_rotations_and_follow_permutations(seed):
    x, rng = features(seed), np.random.default_rng(seed)
    expected = of_features(x, 8).tolist()
    assert of_features(x @ ortho_group.rvs(6, random_state=rng), 8).tolist() == expected
    order = np.concatenate([[0], 1 + rng.permutation(39)])
    assert order[of_features(x[order], 8)].tolist() == expected
