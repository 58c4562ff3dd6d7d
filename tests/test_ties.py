"""Choices among numbers that are equal up to rounding."""

import numpy as np
import pytest
import torch

from hamlearn.density.contraction import leading
from hamlearn.ties import first_of_best, tied_ranks, with_fixed_sign

NOISE = 1e-15 * np.random.default_rng(0).normal(size=(20, 6))


@pytest.mark.parametrize("noise", NOISE)
def test_rounding_does_not_choose(noise):
    assert first_of_best(np.array([1.0, 3.0, 2.0, 3.0, 3.0, -5.0]) + noise) == 1
    assert first_of_best(-(np.array([1.0, 3.0, 2.0, 1.0, 1.0, 5.0]) + noise)) == 0
    assert first_of_best(1 - np.abs(noise)) == 0
    assert tied_ranks(np.array([2.0, 1.0, 2.0, 7.0, 1.0, 1.0]) + noise).tolist() == [1, 0, 1, 2, 0, 0]
    assert tied_ranks(noise, scale=1.0).tolist() == [0] * 6
    vector = np.array([0.1, -0.5, 0.5, 0.5, -0.5, 0.0]) + noise
    for given in (vector, -vector):
        assert with_fixed_sign(given)[1] > 0


def test_differences_larger_than_rounding_choose():
    assert first_of_best([1.0, 1.0 + 1e-8]) == 1
    assert first_of_best([1.0, 1.0 + 1e-8], relative=1e-7) == 0
    assert first_of_best([-2.0, -1.0, np.nan]) == 1
    assert first_of_best([np.nan, -np.inf, np.inf, np.inf]) == 2
    assert tied_ranks([1.0, 1.0 + 1e-8, 0.0]).tolist() == [1, 2, 0]
    assert tied_ranks([]).tolist() == []
    with pytest.raises(ValueError, match="zero-size"):
        first_of_best([])


@pytest.mark.parametrize("noise", NOISE)
def test_the_sign_of_an_optimal_function_of_two_equal_components(noise):
    """Of (1, -1) / sqrt 2 the first component is positive, whichever is larger by rounding."""
    covariance = np.array([[2.0, -1.0], [-1.0, 2.0]]) + np.diag(noise[:2])
    (function,) = leading(torch.from_numpy(covariance[None]), 1)
    torch.testing.assert_close(function[:, 0], torch.tensor([0.5, -0.5], dtype=torch.float64).sign() * 0.5**0.5)


def test_the_first_of_the_best_along_an_axis():
    errors = np.array([[3.0, 2.0, np.nan, np.nan], [1 + 1e-12, 5.0, 4.0, np.nan], [1.0, 2.0 - 1e-6, 4.0, np.nan]])
    assert first_of_best(-errors).tolist() == [1, 2, 1, 0]
    assert first_of_best(-np.array([-1.0, -3.0 * (1 - 1e-12), -3.0])) == 1
    assert first_of_best(np.array([0.0, 0.0])) == 0
    assert first_of_best(-np.array([np.inf, np.inf])) == 0
