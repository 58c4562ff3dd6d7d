"""Triangular factors against the products of all rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.regression.rows import RowFactor, in_other_basis, merged, regularised, squared_error, triangle
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
N = 9


def rows(seed, n, columns=N):
    return np.random.default_rng(seed).normal(size=(n, columns)) * np.logspace(0, -2, columns)


def factor_of(a, tile):
    out = RowFactor(a.shape[1])
    for start in range(0, len(a), tile):
        out.add(a[start : start + tile])
    assert out.n_rows == len(a)
    return out.factor


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 30), st.integers(1, 4))
def test_factor_holds_all_of_least_squares(seed, n, tile, n_parts):
    """Of few or many rows, in tiles of any size, in parts that are merged."""
    a = rows(seed, n)
    found = merged(factor_of(part, tile) for part in np.array_split(a, n_parts))
    np.testing.assert_allclose(found.T @ found, a.T @ a, atol=1e-11)
    assert len(found) <= min(n, N)
    if len(found) == N:
        np.testing.assert_array_equal(np.tril(found, -1), 0.0)
    w = np.random.default_rng(seed).normal(size=(3, N - 2, 2))
    expected = ((a[:, :-2] @ w - a[:, -2:]) ** 2).sum(axis=1)
    np.testing.assert_allclose(squared_error(found, w), expected, rtol=1e-10)
    np.testing.assert_allclose(squared_error(found, w[0]), expected[0], rtol=1e-10)


def test_small_singular_values_are_not_squared_away():
    """1e-11 beside 1: products of columns would hold nothing of it."""
    u, v = (np.linalg.qr(rows(seed, n, 6))[0] for seed, n in ((0, 80), (1, 6)))
    s = np.logspace(0, -11, 6)
    found = np.linalg.svd(factor_of(u * s @ v.T, 7), compute_uv=False)
    np.testing.assert_allclose(found, s, rtol=1e-4)


@pytest.mark.parametrize("n", [0, 3])
def test_a_factor_without_rows(n):
    out = RowFactor(N)
    out.add(np.zeros((0, N)))
    assert out.factor.shape == (0, N) and out.n_rows == 0
    other = factor_of(rows(0, n), 2) if n else np.zeros((0, N))
    for pair in ((out.factor, other), (other, out.factor)):
        np.testing.assert_allclose(merged(pair).T @ merged(pair), other.T @ other, atol=EXACT)


def test_memory_does_not_grow_with_the_rows():
    out = RowFactor(N)
    for k in range(50):
        out.add(rows(k, 2))
        assert sum(map(len, out._pending)) <= N / 4 + 2 and len(out._factor) <= N


def test_reduced_factor():
    a, basis = rows(0, 40), np.linalg.qr(rows(1, 7, 3))[0]
    reduced, both = in_other_basis(factor_of(a, 8), basis), np.hstack([a[:, :7] @ basis, a[:, 7:]])
    assert reduced.shape == (5, 5)
    np.testing.assert_allclose(reduced.T @ reduced, both.T @ both, atol=1e-11)


@pytest.mark.parametrize("n", [0, 4, 30])
def test_regularised_factor(n):
    factor, root = factor_of(rows(2, n), 5) if n else np.zeros((0, N)), np.triu(rows(3, 7, 7))
    before = factor.copy()
    found = regularised(factor, root)
    expected = factor.T @ factor
    expected[:7, :7] += root.T @ root
    np.testing.assert_allclose(found.T @ found, expected, atol=EXACT)
    np.testing.assert_array_equal(np.tril(found, -1), 0.0)
    np.testing.assert_array_equal(factor, before)


@pytest.mark.parametrize(("n_rows", "is_upper"), [(3, False), (40, False), (12, True), (9, True), (0, False)])
@pytest.mark.parametrize("from_zero", [False, True])
def test_triangles_take_in_rows_and_triangles(n_rows, is_upper, from_zero):
    rng, n = np.random.default_rng(0), 12
    upper = np.zeros((n, n)) if from_zero else np.triu(rng.normal(size=(n, n)))
    added = rng.normal(size=(n_rows, n))
    added = np.triu(added) if is_upper else added
    before = upper.copy(), added.copy()
    found = triangle(upper, added, is_upper)
    np.testing.assert_allclose(found.T @ found, upper.T @ upper + added.T @ added, atol=1e-12)
    np.testing.assert_array_equal(np.tril(found, -1), 0.0)
    np.testing.assert_array_equal(upper, before[0])
    np.testing.assert_array_equal(added, before[1])
