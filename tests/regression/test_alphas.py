"""Choice of regularisation: minima, and ties."""

import numpy as np
import pytest
from scipy.linalg import LinAlgError

from hamlearn.errors import ConfigError
from hamlearn.regression.alphas import SingularKernel, choose_alphas, middle, of_targets

N_ALPHAS, START = 13, 6
POSITIONS = range(N_ALPHAS)


@pytest.mark.parametrize("minimum", [0, 3, START, N_ALPHAS - 1])
def test_descent_finds_minima_without_trying_all(minimum):
    tried = []

    def evaluate(position):
        tried.append(position)
        return np.array([abs(position - minimum), float((position - 4) ** 2)])

    best, errors = choose_alphas(evaluate, 2, POSITIONS, START)
    assert best == [minimum, 4] and errors.tolist() == [0, 0]
    assert len(tried) == len(set(tried)) and set(tried) <= set(range(N_ALPHAS))
    if minimum == START:
        assert len(tried) <= 5


def test_descent_passes_over_what_cannot_be_factorised():
    def evaluate(position):
        return np.array([np.nan if position < 5 else float(position)])

    assert choose_alphas(evaluate, 1, POSITIONS, START)[0] == [5]
    with pytest.raises(SingularKernel, match="singular to rounding"):
        choose_alphas(lambda position: np.array([np.inf]), 1, POSITIONS, START)
    assert issubclass(SingularKernel, ConfigError)


@pytest.mark.parametrize("sign", [-1, 1])
def test_rounding_moves_no_descent(sign):
    """Of alphas that serve equally well the one nearest to the start is taken."""
    slope = sign * 1e-12 * np.arange(N_ALPHAS)
    assert choose_alphas(lambda p: np.array([1 + slope[p]]), 1, POSITIONS, START)[0] == [START]
    assert choose_alphas(lambda p: np.array([max(p, 3) + slope[p]]), 1, POSITIONS, START)[0] == [3]


def test_rounding_on_one_side_hides_no_minimum_on_the_other():
    def evaluate(position):
        return np.array([1 - 1e-12 * position if position >= START else abs(position - 3) / START])

    assert choose_alphas(evaluate, 1, POSITIONS, START)[0] == [3]


def test_the_middle_of_several_alphas():
    alphas = [1e-3, 1e-2, 1e-1]
    assert middle([alphas[2], alphas[0], alphas[0]]) == 1e-3
    assert middle([alphas[2], alphas[0]]) == 1e-1  # the larger of the two in the middle
    assert middle(alphas[1:2]) == 1e-2


def test_without_a_start_all_are_tried_and_the_first_of_the_best_is_taken():
    tried = []

    def evaluate(position):
        tried.append(position)
        if position == 2:
            raise LinAlgError
        return np.array([1 - 1e-12 * position, abs(position - 4.0), np.nan if position < 9 else position])

    best, errors = choose_alphas(evaluate, 3, POSITIONS)
    assert tried == list(POSITIONS)
    assert best == [0, 4, 9] and errors.tolist() == [1, 0, 9]


def test_every_target_has_what_was_found_with_its_alpha():
    found = {0.1: np.array([[1, 2], [3, 4]]), 0.2: np.array([[5, 6], [7, 8]])}
    np.testing.assert_array_equal(of_targets(found, [0.2, 0.1]), [[5, 2], [7, 4]])
