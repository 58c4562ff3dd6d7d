"""The model card: what a model was trained on, how, and how wrong it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hamlearn.angular.elements import symbol
from hamlearn.display import counted
from hamlearn.structures.charges import NEUTRAL_SINGLET, ElectronicState

LEVELS = {
    "eigenvalue_rmse_mev": "eigenvalues, RMSE",
    "eigenvalue_mae_mev": "eigenvalues, MAE",
    "gap_rmse_mev": "HOMO-LUMO gap, RMSE",
    "gap_mae_mev": "HOMO-LUMO gap, MAE",
    "hamiltonian_rmse_mev": "matrix, RMSE",
}
OF_CURVE = {"eigenvalue RMSE, meV": "eigenvalue_rmse_mev", "gap RMSE, meV": "gap_rmse_mev"}
TENSORS = {0: "scalar", 1: "vector", 2: "symmetric traceless tensor"}
VALID = {
    "hamiltonian_model": "{} of these elements and pairs of elements, near the training geometries; other elements, "
    "pairs or neighbours are refused.",
    "property_model": "{} of these elements, near the training geometries; other elements are refused.",
}
MOST_FORMULAS = 20


def model_card(spec: Mapping[str, Any], results: Mapping[str, Any] | None = None) -> str:
    """Return the card as Markdown, from model.yaml, and from results.json once errors were measured."""
    is_property = spec["kind"] == "property_model"
    training = spec["training"]
    smallest, largest = training["atoms_per_structure"]
    formulas = [f"{formula} ({n})" for formula, n in training["formulas"].items()]
    more = f" and {len(formulas) - MOST_FORMULAS} more" if len(formulas) > MOST_FORMULAS else ""
    said = [
        *(_about_property(spec["target"]) if is_property else _about_matrix(spec["qm"], spec["target"])),
        f"Elements: {', '.join(symbol(int(z)) for z in spec['elements'])}",
        *spec["in_words"],
        f"Training set: {training['n_structures']} structures of {smallest} to {largest} atoms, "
        f"SHA-256 {training['sha256'][:16]}",
        f"Formulas: {', '.join(formulas[:MOST_FORMULAS])}{more}",
        f"Versions: {', '.join(f'{name} {version}' for name, version in spec['versions'].items())}",
        f"Valid for {VALID[spec['kind']].format('molecules' if is_property else _electrons(spec))}",
    ]
    lines = ["# Model card", "", *(f"- {line}" for line in said), ""]
    if not results or not results.get("n_test"):
        return "\n".join([*lines, "Errors: not measured on a test set.", ""])
    lines += [f"## Errors on {counted(results['n_test'], 'test structure')}", ""]
    if is_property:
        unit = _unit(spec["target"])
        titles = {"value": f"{spec['target']['key']}, {unit}", "force": f"forces, {unit}/Å"}
        titles = {name: title for name, title in titles.items() if f"{name}_rmse" in results}
        rows = [[title, *(results[f"{name}_{e}"] for e in ("rmse", "mae"))] for name, title in titles.items()]
        lines += _table(["quantity", "RMSE", "MAE"], rows)
        columns = {f"{titles[name]}: {e.upper()}": f"{name}_{e}" for name in titles for e in ("rmse", "mae")}
    else:
        rows = [[words, results[key]] for key, words in LEVELS.items() if results.get(key) is not None]
        lines += _table(["quantity", "meV"], rows) + _error_bars(results.get("error_bars") or {})
        columns = OF_CURVE
    if curve := results.get("learning_curve"):
        rows = [[row[key] for key in ("n_train", "order", *columns.values())] for row in curve]
        lines += ["## Errors by training-set size", "", *_table(["structures", "order", *columns], rows)]
    return "\n".join(lines)


def _about_matrix(qm: Mapping[str, Any], target: Mapping[str, Any]) -> list[str]:
    method = qm["method"] + (f" ({qm['xc']})" if qm.get("xc") else "")
    form = f", virtuals {target['virtuals']}, {target['form']} form" if target["kind"] == "saph" else ""
    return [
        f"Predicts: {target['kind']} matrices, delta baseline {target['delta']}{form}",
        f"Reference: {method}/{qm['basis']}, SCF threshold {qm['conv_tol']:g} Hartree",
    ]


def _electrons(spec: Mapping[str, Any]) -> str:
    """Return which molecules a model of matrices is of, by charge and multiplicity."""
    state = ElectronicState(**spec["task"].get("electrons", {}))
    if state == NEUTRAL_SINGLET:
        return "neutral closed-shell molecules"
    return f"molecules of {state.in_words}"


def _about_property(target: Mapping[str, Any]) -> list[str]:
    forces = ", learned with forces" if target["forces_key"] else ""
    parity = "" if target["sigma"] == 1 else ", odd (pseudo)"
    return [f"Predicts: {target['key']}, a {TENSORS[target['l']]}{parity}, {_unit(target)}{forces}"]


def _unit(target: Mapping[str, Any]) -> str:
    return target["unit"] or "unit of the data"


def _error_bars(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, row in found.items():
        within = (f"{100 * row[key]:.0f} %" if row[key] is not None else "-" for key in ("coverage_68", "coverage_95"))
        lines.append("- Error bars of the {}: one holds {}, two hold {} of the errors.".format(name, *within))
    return [*lines, ""] if lines else []


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a table; numbers to three digits, - for those that are missing."""
    shown = [["-" if x is None else _short(x) if isinstance(x, float) else str(x) for x in row] for row in rows]
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(row)} |" for row in shown), ""]


def _short(value: float) -> str:
    """Return three digits, or all before the point."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
