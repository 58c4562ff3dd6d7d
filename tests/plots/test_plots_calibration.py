import numpy as np
import pytest

from hamlearn import plots


@pytest.fixture
def ax():
    return plots.new_figure()[1]


def test_errors_are_drawn_against_their_bars(ax, tmp_path):
    errors, stds = np.array([-3.0, 0.5, 1e-9, 7.0, np.nan]), np.array([1.0, 2.0, 4.0, 0.0, 1.0])
    plots.error_against_std(ax, errors, stds, "gap / meV")
    (points,) = [line for line in ax.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(points.get_xdata(), [1, 2, 4])
    np.testing.assert_allclose(points.get_ydata(), [3, 0.5, 0.04])
    one, two = (line for line in ax.get_lines() if "deviation" in str(line.get_label()))
    np.testing.assert_allclose(two.get_ydata(), 2 * np.asarray(one.get_ydata()))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log") and "meV" in ax.get_xlabel()
    plots.save_figure(ax.figure, tmp_path / "figure.png")


def test_no_error_bars_are_said(ax):
    plots.error_against_std(ax, np.ones(2), np.full(2, np.nan), "gap / meV")
    assert [text.get_text() for text in ax.texts] == ["no error bars"]


def test_reliability_of_bars_twice_too_long(ax):
    errors = np.random.default_rng(0).normal(size=5000)
    plots.reliability(ax, errors, np.full(5000, 2.0), "gap")
    (curve,) = [line for line in ax.get_lines() if line.get_label() == "gap"]
    assert np.interp(0.683, curve.get_xdata(), curve.get_ydata()) == pytest.approx(0.954, abs=0.01)
