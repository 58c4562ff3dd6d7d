"""Elements alike as neighbours."""

import numpy as np
import pytest

from hamlearn.density.likeness import coupling_factor
from hamlearn.errors import ConfigError
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SPECIES = [1, 6, 7, 8, 9, 16]


def kappa(width):
    u = coupling_factor(SPECIES, width)
    return u.T @ u


def test_formula():
    """Carbon and oxygen: 0.89 in electronegativity, 0.10 Å in radius."""
    distance2 = ((3.44 - 2.55) / 0.5) ** 2 + ((0.76 - 0.66) / 0.2) ** 2
    assert abs(kappa(2.0)[1, 3] - np.exp(-distance2 / 8)) < EXACT


def test_diagonal_order_and_limits():
    wide, narrow = kappa(3.0), kappa(0.5)
    np.testing.assert_allclose(np.diag(wide), 1, atol=EXACT)
    assert wide[2, 3] > wide[1, 3] > wide[0, 3]  # nitrogen, carbon, hydrogen as seen by oxygen
    assert (narrow <= wide + EXACT).all()
    np.testing.assert_allclose(kappa(0.01), np.eye(6), atol=EXACT)
    np.testing.assert_array_equal(coupling_factor(SPECIES, None), np.eye(6))
    np.testing.assert_allclose(kappa(1e6), 1, atol=1e-9)


def test_elements_without_electronegativity_are_refused():
    with pytest.raises(ConfigError, match="none of Ne"):
        coupling_factor([1, 10], 1.0)
