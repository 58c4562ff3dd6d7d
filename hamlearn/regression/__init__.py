"""Regression on numbers alone: factors, folds, solvers, choice of regularisation, posteriors, farthest points."""
