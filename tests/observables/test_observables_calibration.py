import numpy as np
import pytest

from hamlearn.observables import calibration_factor, calibration_metrics, reliability_curve


@pytest.fixture(scope="module")
def normal():
    """Errors as their standard deviations say."""
    rng = np.random.default_rng(0)
    stds = rng.lognormal(sigma=1.0, size=40000)
    return stds * rng.normal(size=len(stds)), stds


def test_normal_errors_are_calibrated(normal):
    found = calibration_metrics(*normal)
    assert found["coverage_68"] == pytest.approx(0.683, abs=0.01)
    assert found["coverage_95"] == pytest.approx(0.954, abs=0.005)
    assert found["rms_z"] == pytest.approx(1, abs=0.02)
    assert found["median_z"] == pytest.approx(0.674, abs=0.02)
    assert 0.5 < found["rank_correlation"] < 0.7
    assert found["count"] == 40000
    expected, observed = reliability_curve(*normal)
    np.testing.assert_allclose(observed, expected, atol=0.015)
    assert (expected[0], observed[0], expected[-1], observed[-1]) == (0, 0, 1, 1)


def test_factor_undoes_a_wrong_scale_and_ignores_wild_errors(normal):
    errors, stds = normal
    assert calibration_factor(3 * errors, stds) == pytest.approx(3, abs=0.05)
    wild = np.where(np.arange(len(errors)) % 100, errors, 1e6)
    assert calibration_factor(wild, stds) == pytest.approx(1, abs=0.05)
    factor = calibration_factor(wild, stds)
    assert np.mean(np.abs(wild) <= factor * stds) == pytest.approx(0.6827, abs=1e-4)


def test_figures_by_hand():
    found = calibration_metrics([1.0, -3.0, 0.5, 2.0], [1.0, 1.0, 1.0, 4.0])
    assert found["coverage_68"] == 0.75 and found["coverage_95"] == 0.75
    assert found["rms_z"] == pytest.approx(np.sqrt((1 + 9 + 0.25 + 0.25) / 4))
    assert found["median_z"] == pytest.approx(0.75)
    assert calibration_metrics([3.0, 1.0, 2.0], [30.0, 10.0, 20.0])["rank_correlation"] == pytest.approx(1)


def test_missing_certain_and_constant_values():
    errors, stds = [1.0, np.nan, 1.0, 0.0], [2.0, 1.0, np.nan, 0.0]
    assert calibration_metrics(errors, stds)["count"] == 2
    assert calibration_factor([1.0, 0.0], [0.0, 0.0]) == np.inf
    assert calibration_metrics([1.0], [0.0])["coverage_95"] == 0
    assert np.isnan(calibration_metrics([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])["rank_correlation"])
    nothing = calibration_metrics([np.nan], [1.0])
    assert nothing["count"] == 0 and np.isnan(nothing["coverage_68"]) and np.isnan(calibration_factor([], []))


def test_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match="give one of each"):
        calibration_metrics([1.0, 2.0], [1.0])
