"""Figures: every function draws on Axes it is given, from plain rows and arrays, and changes nothing else.

`new_figure` makes a Figure of the house style without pyplot, so that nothing here needs a screen or global state.
"""

from hamlearn.plots.blocks import block_errors, block_name
from hamlearn.plots.calibration import error_against_std, reliability
from hamlearn.plots.diagnostics import histogram
from hamlearn.plots.learning import CURVES, PROPERTY_CURVES, Curve, learning_curve
from hamlearn.plots.levels import eigenvalue_parity, error_histogram, level_errors, spectrum
from hamlearn.plots.parity import parity
from hamlearn.plots.style import OCCUPIED, VIRTUAL, new_figure, save_figure

__all__ = [
    "CURVES",
    "OCCUPIED",
    "PROPERTY_CURVES",
    "VIRTUAL",
    "Curve",
    "block_errors",
    "block_name",
    "eigenvalue_parity",
    "error_against_std",
    "error_histogram",
    "histogram",
    "learning_curve",
    "level_errors",
    "new_figure",
    "parity",
    "reliability",
    "save_figure",
    "spectrum",
]
