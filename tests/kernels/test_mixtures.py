import numpy as np
import pytest
import torch
from brute_force import density, points

from hamlearn.angular.rotation_grid import haar_weights
from hamlearn.errors import ConfigError
from hamlearn.kernels import GroupFunction, check_weights, density_kernel, mixture_weights
from hamlearn.kernels.mixtures import check_same_settings
from hamlearn.o3.layout import n_components
from hamlearn.testing import TOLERANCE

EXACT, CLOSE = TOLERANCE["float64"]["exact"], TOLERANCE["float64"]["equivariance"]


def test_weights():
    np.testing.assert_allclose(mixture_weights(2.0, 3.0, 7.0, 3), [7, 6, 9, 9], rtol=EXACT)
    np.testing.assert_array_equal(mixture_weights(2.0, 3.0, 7.0, 0), [7])


@pytest.mark.usefixtures("back_end")
def test_long_mixture_is_the_exponential():
    """c0 = a = 1: the mixture of many orders, scaling and squaring, and exp at the nodes of a dense grid agree."""
    f, large = density_kernel(density(points(0, 2), 1), density(points(1, 3), 1), 1).scaled(0.3), 4
    values = torch.zeros((1, n_components(large), *f.samples), dtype=torch.float64)
    values[:, : n_components(1)] = f.values
    padded = GroupFunction(values, large)
    mixed = padded.polynomial(mixture_weights(1.0, 0.5, 1.0, 12))
    dense = f.pointwise(lambda x: torch.exp(0.5 * x), degree=20, max_l=large)
    squared = padded.scaled(0.5).exponential(order=8, squarings=3)
    low = n_components(2)  # untouched by the truncation at l = 4, to the accuracy asked for
    np.testing.assert_allclose(mixed.values[:, :low], dense.values[:, :low], atol=CLOSE)
    np.testing.assert_allclose(squared.values[:, :low], dense.values[:, :low], atol=CLOSE)


def test_published_weights_of_l():
    np.testing.assert_allclose(haar_weights(2), 8 * np.pi**2 / np.array([1, 3, 5]), rtol=EXACT)


@pytest.mark.parametrize(
    ("a", "b", "c0", "max_nu", "slot"),
    [
        (-1, 1, 1, 2, "a"),
        (1, -1e-9, 1, 2, "b"),
        (1, 1, float("nan"), 2, "c0"),
        (1, float("inf"), 1, 2, "b"),
        (1, 1, 1, -1, "max_nu"),
    ],
)
def test_bad_mixtures_are_refused_by_name(a, b, c0, max_nu, slot):
    with pytest.raises(ConfigError, match=f"weight of {slot} is"):
        mixture_weights(a, b, c0, max_nu)


def test_negative_orders_are_refused():
    check_weights([0.0, 1.0])
    with pytest.raises(ConfigError, match=r"order nu = 2 is -0\.5"):
        check_weights([1.0, 0.0, -0.5])
    with pytest.raises(ConfigError, match="no weights"):
        check_weights([])


def test_kernels_of_different_settings_are_refused():
    check_same_settings({"l_weight": "haar", "max_l": 3}, {"max_l": 3, "l_weight": "haar"})
    with pytest.raises(ConfigError, match="l_weight: haar and none"):
        check_same_settings({"l_weight": "haar", "max_l": 3}, {"l_weight": "none", "max_l": 3})
    with pytest.raises(ConfigError, match=r"cutoff: 6\.0 and None"):
        check_same_settings({"cutoff": 6.0}, {})
