"""Helpers for tests, shipped with the package: tolerances by dtype and symmetry assertions."""

from __future__ import annotations

TOLERANCE = {
    "float64": {"exact": 1e-12, "equivariance": 1e-10, "scf": 1e-8},
    "float32": {"exact": 1e-5, "equivariance": 1e-4, "scf": 1e-4},
}
"""exact: identities of linear algebra; equivariance: whole pipelines; scf: converged calculations, Hartree."""
