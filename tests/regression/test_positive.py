import numpy as np
import pytest

from hamlearn.errors import ConfigError
from hamlearn.regression.positive import PositiveFactor, check_positive
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def test_a_kernel_of_features_is_accepted():
    d = np.random.default_rng(0).normal(size=(30, 4))  # rank 4: lowest eigenvalues are rounding errors
    check_positive(d @ d.T, "k")


def test_refusals_say_what_is_wrong():
    k = np.diag([2.0, 1.0, -0.5])
    with pytest.raises(ConfigError, match=r"best match is not positive .* -5\.000e-01, its largest 2\.000e\+00"):
        check_positive(k, "best match")
    with pytest.raises(ConfigError, match=r"k has shape \[2, 3\]; expected a square"):
        check_positive(np.ones((2, 3)), "k")
    with pytest.raises(ConfigError, match="differs from its transpose by 1"):
        check_positive([[1.0, 2.0], [1.0, 5.0]], "k")
    with pytest.raises(ConfigError, match=r"2 numbers that are NaN or infinite, the first at \[0, 1\]"):
        check_positive([[1.0, np.inf], [np.nan, 5.0]], "k")
    with pytest.raises(ConfigError, match="expected a square matrix"):
        check_positive(np.zeros((0, 0)), "k")


@pytest.mark.parametrize("rank", (3, 6))
def test_factor_is_the_pseudo_inverse(rank):
    rng = np.random.default_rng(rank)
    d, b = rng.normal(size=(6, rank)), rng.normal(size=(6, 2))
    a = d @ d.T
    factor = PositiveFactor.of(a, "a")
    assert factor.singular == (rank < 6)
    np.testing.assert_allclose(factor.solve(b), np.linalg.pinv(a, rcond=1e-10) @ b, atol=1e3 * EXACT)
    white = factor.whiten(b)
    np.testing.assert_allclose(white.T @ white, b.T @ factor.solve(b), atol=1e3 * EXACT)


def test_scales_of_rows_do_not_make_a_matrix_singular():
    d = np.random.default_rng(0).normal(size=(6, 6)) * np.logspace(0, -9, 6)[:, None]
    assert not PositiveFactor.of(d @ d.T, "a").singular
