"""Choice of feature columns against plain loops over dense decompositions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.regression.columns import choose_columns
from hamlearn.regression.rows import RowFactor
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
both = pytest.mark.parametrize("by", ["cur", "fps"])


def features(seed=0, n=40, q=8):
    return np.random.default_rng(seed).normal(size=(n, q)) * np.logspace(0, -1, q)


def cur(x, n):
    """The column of largest component in the leading right singular vector, projected out of all others."""
    x, chosen = x.copy(), []
    for _ in range(n):
        chosen.append(int((np.linalg.svd(x, full_matrices=False)[2][0] ** 2).argmax()))
        column = x[:, chosen[-1]] / np.linalg.norm(x[:, chosen[-1]])
        x -= np.outer(column, column @ x)
    return chosen


def fps(x, n):
    """The longest column, then again and again the one farthest from those chosen."""
    chosen = [int(np.linalg.norm(x, axis=0).argmax())]
    while len(chosen) < n:
        distances = np.linalg.norm(x[:, :, None] - x[:, None, chosen], axis=0).min(axis=1)
        chosen.append(int(distances.argmax()))
    return chosen


LOOPS = {"cur": cur, "fps": fps}


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 7, 40]), st.integers(1, 8), st.sampled_from(["cur", "fps"]))
def test_choices_against_plain_loops(seed, n_rows, n, by):
    """With more rows than columns and fewer; a factor of the rows serves as well."""
    x = features(seed, n_rows)
    before = x.copy()
    n = min(n, n_rows) if by == "cur" else n
    expected = LOOPS[by](x, n)
    assert choose_columns(x, n, by).tolist() == expected
    np.testing.assert_array_equal(x, before)
    rows = RowFactor(8)
    rows.add(x)
    assert choose_columns(rows.factor, n, by).tolist() == expected


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["cur", "fps"]))
def test_choices_do_not_see_rotations_of_rows_and_follow_permutations_of_columns(seed, by):
    x, rng = features(seed), np.random.default_rng(seed)
    turn, order = np.linalg.qr(rng.normal(size=(40, 40)))[0], rng.permutation(8)
    expected = choose_columns(x, 5, by).tolist()
    assert choose_columns(turn @ x, 5, by).tolist() == expected
    assert choose_columns(1e-30 * x, 5, by).tolist() == expected
    assert order[choose_columns(x[:, order], 5, by)].tolist() == expected


def test_cur_ends_at_the_rank():
    """What is chosen spans all columns."""
    x = features(3, q=4) @ features(4, n=4, q=9)
    chosen = choose_columns(x, 9, "cur")
    assert len(set(chosen.tolist())) == len(chosen) == 4
    basis = np.linalg.qr(x[:, chosen])[0]
    assert np.abs(x - basis @ basis.T @ x).max() < 10 * EXACT


def test_farthest_points_end_at_copies():
    x = np.repeat(features(1, q=5), 3, axis=1)
    assert choose_columns(x, 15, "fps").tolist() == [3 * c for c in fps(x[:, ::3], 5)]


@both
@pytest.mark.parametrize("noise", [0.0, 1e-15, -1e-15])
def test_of_equal_columns_the_first_is_taken(by, noise):
    x = features(2)
    x = x[:, [5, 0, 3, 0, 5, 3, 0, 3]]
    x[:, 3] *= 1 + noise
    x[:, 4] *= 1 + noise
    chosen = choose_columns(x, 8, by).tolist()
    assert sorted(chosen) == [0, 1, 2] and chosen[0] == 1


@both
def test_columns_that_vanish_are_never_chosen(by):
    x = features(5)
    x[:, [0, 3, 6]] = [0.0, 1e-17, 0.0]
    assert sorted(choose_columns(x, 8, by)) == [1, 2, 4, 5, 7]
    x[:, 2:] = 0.0
    assert choose_columns(x, 3, by).tolist() == [1]
    assert choose_columns(np.zeros((4, 3)), 2, by).tolist() == []


@both
def test_a_single_row_or_column(by):
    assert choose_columns(np.array([[1.0, -3.0, 2.0]]), 1, by).tolist() == [1]
    assert choose_columns(features(6, q=1), 1, by).tolist() == [0]
