import math

import pytest

from hamlearn.observables import average_orders, final_slope


def rows(errors):
    return [{"n_train": n, "order": k, "e": e} for n, found in errors.items() for k, e in enumerate(found)]


def test_mean_and_spread_over_orders():
    assert average_orders(rows({100: [1.0, 3.0], 50: [4.0]}), "e") == [
        {"n_train": 50, "mean": 4.0, "std": 0.0, "orders": 1},
        {"n_train": 100, "mean": 2.0, "std": 1.0, "orders": 2},
    ]
    assert average_orders([], "e") == []


@pytest.mark.parametrize("slope", [-1.0, -0.3, 0.0])
def test_slope_of_a_power_law(slope):
    curve = rows({n: [7 * n**slope] for n in (10, 30, 200, 777)})
    assert final_slope(curve, "e") == pytest.approx(slope)


def test_slope_looks_at_the_end_and_averages_orders():
    curve = rows({100: [100.0], 200: [8.0, 12.0], 400: [10.0, 10.0]})
    assert final_slope(curve, "e") == 0.0


@pytest.mark.parametrize("errors", [{}, {100: [1.0]}, {100: [1.0], 200: [0.0]}])
def test_no_slope(errors):
    assert math.isnan(final_slope(rows(errors), "e"))
