"""Figures show the numbers they are given, with units, and leave no global state behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from hamlearn import plots
from hamlearn.plots.style import plain_number


@pytest.fixture
def ax() -> Axes:
    return plots.new_figure()[1]


def draw(ax: Axes, tmp_path: Path) -> int:
    """Save the figure of ``ax`` and return the size of the file."""
    plots.save_figure(ax.figure, tmp_path / "figure.png")
    return (tmp_path / "figure.png").stat().st_size


def line_with(ax: Axes, label: str) -> tuple[list[float], list[float]]:
    (line,) = [line for line in ax.get_lines() if str(line.get_label()).startswith(label)]
    return list(line.get_xdata()), list(line.get_ydata())


def test_figures_need_no_pyplot() -> None:
    code = "import sys, hamlearn.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_learning_curve_draws_every_order_and_the_mean(ax: Axes, tmp_path: Path) -> None:
    rows = [
        {"n_train": n, "order": order, "eigenvalue_rmse_mev": 100 / n + order, "gap_rmse_mev": None}
        for n in (100, 10)
        for order in (0, 2)
    ]
    plots.learning_curve(ax, rows)
    assert line_with(ax, "eigenvalue RMSE") == ([10, 100], [11.0, 2.0])
    orders = [list(line.get_ydata()) for line in ax.get_lines() if line.get_alpha() == 0.3]
    assert sorted(orders) == [[10.0, 1.0], [12.0, 3.0]]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert "meV" in ax.get_ylabel()
    assert draw(ax, tmp_path) > 5000
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "100"]


def test_parity_writes_large_numbers_in_full(ax: Axes, tmp_path: Path) -> None:
    known = -2039.0 - np.linspace(0.2, 0.9, 9)
    plots.parity(ax, known, known + 0.01, "energy / eV")
    assert draw(ax, tmp_path) > 5_000
    for axis in (ax.xaxis, ax.yaxis):
        assert axis.get_offset_text().get_text() == ""
        assert 3 <= len(axis.get_ticklabels()) <= 7
    assert all(label.get_text().startswith("−2039.") for label in ax.xaxis.get_ticklabels()[1:-1])


def test_parity_separates_occupied_from_virtual_and_hides_no_core_silently(ax: Axes, tmp_path: Path) -> None:
    reference = np.array([-550.0, -20.0, -12.0, 4.0])
    predicted = reference + 0.1
    plots.eigenvalue_parity(ax, reference, predicted, np.array([True, True, True, False]))
    assert line_with(ax, "occupied") == ([-20.0, -12.0], [-19.9, -11.9])
    assert line_with(ax, "virtual")[0] == [4.0]
    assert ax.get_xlim() == ax.get_ylim()
    assert "1 core levels below −80 eV" in " ".join(text.get_text() for text in ax.texts)
    assert draw(ax, tmp_path) > 5000


def test_error_histogram_counts_every_level_and_marks_the_rmse(ax: Axes, tmp_path: Path) -> None:
    errors = np.array([0.0, 1e-9, 1e-4, -3e-4, 2e-3])
    occupied = np.array([True, True, True, False, False])
    plots.error_histogram(ax, errors, occupied)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    rmse = 1e3 * np.sqrt(np.mean(errors[~occupied] ** 2))
    assert labels[1] == f"virtual: RMSE {rmse:.3g} meV"
    filled = [patch for patch in ax.patches if patch.get_alpha() == 0.35]
    tops = [np.unique(patch.get_path().vertices[:, 1]).max() for patch in filled]
    assert tops == [2.0, 1.0]  # both tiny errors fall into the first bin
    assert draw(ax, tmp_path) > 5000


@pytest.mark.parametrize("count", [4, 90])
def test_level_errors_are_drawn_in_order(ax: Axes, tmp_path: Path, count: int) -> None:
    rows = [
        {"level": f"HOMO-{count - k}", "occupied": k < 3, "rmse_mev": k + 2.0, "mae_mev": k + 1.0} for k in range(count)
    ]
    plots.level_errors(ax, rows)
    single = [line for line in ax.get_lines() if len(line.get_xdata()) == 1]
    assert [line.get_ydata()[0] for line in single] == [value for k in range(count) for value in (k + 2.0, k + 1.0)]
    assert [line.get_color() == plots.OCCUPIED for line in single[::2]] == [k < 3 for k in range(count)]
    assert draw(ax, tmp_path) > 5000
    assert ax.get_xticklabels()[0].get_text() == f"HOMO−{count}"
    assert len(ax.get_xticks()) <= 40


def test_block_errors_name_the_blocks_from_the_top(ax: Axes, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"kind": "on_site", "species": "O-O", "shells": "2s-2p", "L": 1, "sigma": 1, "rmse_mev": 2.0},
        {"kind": "minus", "species": "H-H", "shells": "1s-1s", "L": 1, "sigma": -1, "rmse_mev": 0.02},
        {"kind": "cross", "species": "H-O", "shells": "1s-2p", "L": 1, "sigma": 1, "rmse_mev": 0.0},
    ]
    plots.block_errors(ax, rows)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "O 2s–2p L=1",
        "H–H 1s–1s L=1 σ=−1",
        "H–O 1s–2p L=1",
    ]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    points = [line for line in ax.get_lines() if len(line.get_xdata()) == 1]
    assert [point.get_xdata()[0] for point in points][:2] == [2.0, 0.02]
    assert draw(ax, tmp_path) > 5000


def test_spectrum_shows_both_gaps(ax: Axes, tmp_path: Path) -> None:
    reference = np.array([-500.0, -20.0, -12.0, 4.0])
    plots.spectrum(ax, reference, reference + np.array([0, 0, 0, 0.5]), np.array([True, True, True, False]))
    assert {text.get_text() for text in ax.texts} >= {"16.000 eV", "16.500 eV"}
    assert ax.get_ylim()[0] > -80
    assert draw(ax, tmp_path) > 5000


@pytest.mark.parametrize(
    ("values", "title"), [([0.5, 0.25, np.inf], "smallest: 0.25"), ([0.5, 0.5], "smallest: 0.5"), ([np.inf], "")]
)
def test_histogram_marks_the_smallest_finite_value(ax: Axes, tmp_path: Path, values: list[float], title: str) -> None:
    plots.histogram(ax, np.array(values), "gap / eV")
    assert ax.get_title(loc="left") == title
    assert ax.get_xlabel() == "gap / eV"
    finite = [value for value in values if np.isfinite(value)]
    assert sum(patch.get_height() for patch in ax.patches) == len(finite)
    assert draw(ax, tmp_path) > 3000


def test_histogram_writes_its_axis_in_full(ax: Axes) -> None:
    plots.histogram(ax, np.array([0.99999, 0.999995, 1.0]), "projection")
    ax.figure.canvas.draw()
    assert ax.xaxis.get_major_formatter().get_offset() == ""


def test_ticks_are_plain_numbers() -> None:
    assert [plain_number(value) for value in (0.5, 20.0, 1000.0)] == ["0.5", "20", "1\u202f000"]
    assert [plain_number(value) for value in (1e-5, 3e-6, 2e-4)] == ["$10^{-5}$", "$3\\times10^{-6}$", "0.0002"]
