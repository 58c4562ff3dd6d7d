"""The errors of a run in a few rows, the same on the command line and in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hamlearn.display import number as number

QUANTITIES = (
    ("Hamiltonian matrix", "hamiltonian"),
    ("orbital energies", "eigenvalue"),
    ("HOMO–LUMO gap", "gap"),
)


def headline(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of quantity, RMSE and MAE as text, in meV or the property's unit; empty if there was nothing to test on."""
    if "value_rmse" in metrics:
        entries = [(words, f"{name}_rmse", f"{name}_mae") for name, words in property_quantities(metrics).items()]
    else:
        entries = [(label, f"{name}_rmse_mev", f"{name}_mae_mev") for label, name in QUANTITIES]
    rows = [(label, number(metrics.get(rmse)), number(metrics.get(mae))) for label, rmse, mae in entries]
    return [row for row in rows if row[1:] != ("–", "–")]


def headline_columns(metrics: Mapping[str, Any]) -> tuple[str, str, str]:
    """Names of the columns of :func:`headline`; properties name their unit in every row."""
    return ("", "RMSE", "MAE") if "value_rmse" in metrics else ("", "RMSE / meV", "MAE / meV")


def property_quantities(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Label with unit of every error of a property there is: value and force."""
    key, unit = metrics["target"]["key"], metrics["target"].get("unit")
    labels = {"value": f"{key} / {unit}" if unit else key, "force": f"forces / {unit}/Å" if unit else "forces"}
    return {name: words for name, words in labels.items() if f"{name}_rmse" in metrics}
