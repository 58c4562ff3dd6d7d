"""Choice of regularisation: minima, and ties."""

import numpy as np
import pytest

from hamlearn.errors import ConfigError
from hamlearn.regression.alphas import SingularKernel, descend, middle

N_ALPHAS, START = 13, 6


@pytest.mark.parametrize("minimum", [0, 3, START, N_ALPHAS - 1])
def test_descent_finds_minima_without_trying_all(minimum):
    tried = []

    def evaluate(position):
        tried.append(position)
        return np.array([abs(position - minimum), float((position - 4) ** 2)])

    best, errors = descend(evaluate, 2, N_ALPHAS, START)
    assert best == [minimum, 4] and errors.tolist() == [0, 0]
    assert len(tried) == len(set(tried)) and set(tried) <= set(range(N_ALPHAS))
    if minimum == START:
        assert len(tried) <= 5


def test_descent_passes_over_what_cannot_be_factorised():
    def evaluate(position):
        return np.array([np.nan if position < 5 else float(position)])

    assert descend(evaluate, 1, N_ALPHAS, START)[0] == [5]
    with pytest.raises(SingularKernel, match="singular to rounding"):
        descend(lambda position: np.array([np.inf]), 1, N_ALPHAS, START)
    assert issubclass(SingularKernel, ConfigError)


@pytest.mark.parametrize("sign", [-1, 1])
def test_rounding_moves_no_descent(sign):
    """Of alphas that serve equally well the one nearest to the start is taken."""
    slope = sign * 1e-12 * np.arange(N_ALPHAS)
    assert descend(lambda p: np.array([1 + slope[p]]), 1, N_ALPHAS, START)[0] == [START]
    assert descend(lambda p: np.array([max(p, 3) + slope[p]]), 1, N_ALPHAS, START)[0] == [3]


def test_rounding_on_one_side_hides_no_minimum_on_the_other():
    def evaluate(position):
        return np.array([1 - 1e-12 * position if position >= START else abs(position - 3) / START])

    assert descend(evaluate, 1, N_ALPHAS, START)[0] == [3]


def test_the_middle_of_several_alphas():
    alphas = [1e-3, 1e-2, 1e-1]
    assert middle([2, 0, 0], alphas) == 1e-3
    assert middle([2, 0], alphas) == 1e-1  # the larger of the two in the middle
    assert middle([1], alphas) == 1e-2
