"""Matrices without negative eigenvalues."""

import numpy as np
import pytest

from hamlearn.errors import ConfigError
from hamlearn.regression.positive import cholesky_or_none, eigen_root, solve_positive
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


@pytest.mark.parametrize("rank", (3, 6))
def test_solutions_are_those_of_the_pseudo_inverse(rank):
    rng = np.random.default_rng(rank)
    d, b = rng.normal(size=(6, rank)), rng.normal(size=(6, 2))
    a = d @ d.T
    assert (cholesky_or_none(a) is None) == (rank < 6)
    np.testing.assert_allclose(solve_positive(a, b, "a"), np.linalg.pinv(a, rcond=1e-10) @ b, atol=1e3 * EXACT)


def test_scales_of_rows_do_not_make_a_matrix_singular():
    d = np.random.default_rng(0).normal(size=(6, 6)) * np.logspace(0, -9, 6)[:, None]
    assert cholesky_or_none(d @ d.T) is not None


def test_a_zero_matrix_gives_no_weight():
    np.testing.assert_array_equal(solve_positive(np.zeros((4, 4)), np.ones((4, 1)), "a"), np.zeros((4, 1)))


@pytest.mark.parametrize("rank", [3, 6])
def test_eigen_root_makes_a_matrix_the_identity(rank):
    d = np.random.default_rng(rank).normal(size=(6, rank))
    k = d @ d.T
    root = eigen_root(k, 1e-10, "k")
    assert root.shape == (6, rank)
    np.testing.assert_allclose(root.T @ k @ root, np.eye(rank), atol=1e3 * EXACT)
    np.testing.assert_allclose(root @ root.T, np.linalg.pinv(k, rcond=1e-10), atol=1e3 * EXACT)
    assert eigen_root(k, 0.999, "k").shape == (6, 1)  # of eigenvalues above a fraction of the largest
    assert eigen_root(np.zeros((3, 3)), 1e-10, "k").shape == (3, 0)


def test_negative_eigenvalues_are_refused():
    k = np.diag([2.0, 1.0, -0.5])
    for refused in (
        lambda: eigen_root(k, 1e-10, "best match"),
        lambda: solve_positive(k, np.ones((3, 1)), "best match"),
    ):
        with pytest.raises(ConfigError, match=r"best match is not positive .* -5\.000e-01, its largest 2\.000e\+00"):
            refused()
    eigen_root(np.diag([2.0, 1.0, -1e-14]), 1e-10, "k")  # rounding
