import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.errors import ConfigError
from hamlearn.structures import split, training_orders


def test_convention() -> None:
    order = np.random.default_rng(7).permutation(10)
    train, test = split(10, 4, 3, seed=7)
    np.testing.assert_array_equal(train, order[:4])
    np.testing.assert_array_equal(test, order[-3:])


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 20), st.integers(0, 1000))
def test_sets_are_disjoint_and_nested(train: int, test: int, spare: int, seed: int) -> None:
    n = train + test + spare
    train_idx, test_idx = split(n, train, test, seed)
    assert (len(train_idx), len(test_idx)) == (train, test)
    assert len({*train_idx, *test_idx}) == train + test
    assert {*train_idx, *test_idx} <= set(range(n))
    smaller, same_test = split(n, train // 2, test, seed)
    np.testing.assert_array_equal(smaller, train_idx[: train // 2])
    np.testing.assert_array_equal(same_test, test_idx)


def test_training_orders() -> None:
    train, _ = split(100, 60, 40, seed=1)
    orders = training_orders(train, 4, seed=1)
    np.testing.assert_array_equal(orders[0], train)
    assert all(set(order) == set(train) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    for few, many in zip(training_orders(train, 2, seed=1), orders, strict=False):
        np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 8, 3, 0), r"train \+ test = 8 \+ 3 = 11, but there are 10 structures"),
        ((10, -1, 3, 0), "train is -1"),
        ((10, 1, -3, 0), "test is -3"),
        ((10, 1, 3, -1), "seed is -1"),
    ],
)
def test_impossible_splits_are_refused(arguments: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split(*arguments)


def test_impossible_orders_are_refused() -> None:
    for repeats, seed in ((0, 0), (1, -1)):
        with pytest.raises(ConfigError, match="at least 1"):
            training_orders(np.arange(3), repeats, seed)
