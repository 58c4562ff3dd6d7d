"""What follows from a matrix, computed or predicted: levels, gaps, orbitals, and errors of all of these.

A matrix in Hartree goes in; energies come out in eV, errors in meV.
"""

from hamlearn.observables.block_errors import block_errors
from hamlearn.observables.calibration import (
    calibration_factor,
    calibration_metrics,
    errors_with_stds,
    reliability_curve,
)
from hamlearn.observables.learning_curve import average_orders, final_slope
from hamlearn.observables.metrics import hamiltonian_rmse_mev, level_errors, metrics
from hamlearn.observables.prediction import Prediction
from hamlearn.observables.spins import AnyPrediction, SpinPrediction, each_spin, reference_prediction

__all__ = [
    "AnyPrediction",
    "Prediction",
    "SpinPrediction",
    "average_orders",
    "block_errors",
    "calibration_factor",
    "calibration_metrics",
    "each_spin",
    "errors_with_stds",
    "final_slope",
    "hamiltonian_rmse_mev",
    "level_errors",
    "metrics",
    "reference_prediction",
    "reliability_curve",
]
