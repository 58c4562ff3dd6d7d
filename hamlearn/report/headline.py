"""The errors of a run in a few rows, the same on the command line and in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

QUANTITIES = (
    ("Hamiltonian matrix", "hamiltonian"),
    ("orbital energies", "eigenvalue"),
    ("HOMO–LUMO gap", "gap"),
)

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def headline(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of quantity, RMSE and MAE, both in meV as text; empty if there was nothing to test on."""
    rows = [
        (label, number(metrics.get(f"{name}_rmse_mev")), number(metrics.get(f"{name}_mae_mev")))
        for label, name in QUANTITIES
    ]
    return [row for row in rows if row[1:] != ("–", "–")]


def number(value: float | None) -> str:
    """Three significant digits, readable at any size: 0.213, 1 230, 3.2×10⁻¹⁴; a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        digits = max(0, 2 - int(f"{value:.2e}".split("e")[1]))
        return f"{value:,.{digits}f}".replace(",", "\u202f")
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10" + str(int(exponent)).translate(SUPERSCRIPT)
