"""The model card: what a model was trained on, how, and how wrong it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hamlearn.angular.elements import symbol
from hamlearn.display import counted

LEVELS = {
    "eigenvalue_rmse_mev": "eigenvalues, RMSE",
    "eigenvalue_mae_mev": "eigenvalues, MAE",
    "gap_rmse_mev": "HOMO-LUMO gap, RMSE",
    "gap_mae_mev": "HOMO-LUMO gap, MAE",
    "hamiltonian_rmse_mev": "matrix, RMSE",
}
TENSORS = {0: "scalar", 1: "vector", 2: "symmetric traceless tensor"}


def model_card(spec: Mapping[str, Any], results: Mapping[str, Any] | None = None) -> str:
    """Return the card as Markdown.

    Args:
        spec: content of model.yaml.
        results: content of results.json, once errors were measured.
    """
    of_property = spec["kind"] == "property_model"
    lines = [
        "# Model card",
        "",
        *(_property_lines(spec) if of_property else _matrix_lines(spec)),
        f"- Elements: {', '.join(symbol(int(z)) for z in spec['elements'])}",
        *[f"- {line}" for line in spec["in_words"]],
        *_training_lines(spec),
        _valid(of_property),
        "",
    ]
    if not results or not results.get("n_test"):
        return "\n".join([*lines, "Errors: not measured on a test set.", ""])
    lines += [f"## Errors on {counted(results['n_test'], 'test structure')}", ""]
    names = [name for name in ("value", "force") if f"{name}_rmse" in results]
    if of_property:
        titles = [_quantity(name, spec["target"]) for name in names]
        pairs = [[results[f"{name}_rmse"], results[f"{name}_mae"]] for name in names]
        rows = [[title, *map(_number, pair)] for title, pair in zip(titles, pairs, strict=True)]
        lines += _table(["quantity", "RMSE", "MAE"], rows)
        columns = {f"{title}: {error.upper()}": f"{name}_{error}" for title, name in zip(titles, names, strict=True)
                   for error in ("rmse", "mae")}  # fmt: skip
    else:
        rows = [[words, _number(results[key])] for key, words in LEVELS.items() if results.get(key) is not None]
        lines += _table(["quantity", "meV"], rows) + _error_bars(results.get("error_bars") or {})
        columns = {"eigenvalue RMSE, meV": "eigenvalue_rmse_mev", "gap RMSE, meV": "gap_rmse_mev"}
    curve = results.get("learning_curve") or []
    if curve:
        rows = [[row["n_train"], row["order"], *(_number(row[key]) for key in columns.values())] for row in curve]
        lines += ["## Errors by training-set size", "", *_table(["structures", "order", *columns], rows)]
    return "\n".join(lines)


def _matrix_lines(spec: Mapping[str, Any]) -> list[str]:
    qm, target = spec["qm"], spec["target"]
    method = qm["method"] + (f" ({qm['xc']})" if qm.get("xc") else "")
    form = f", virtuals {target['virtuals']}, {target['form']} form" if target["kind"] == "saph" else ""
    return [
        f"- Predicts: {target['kind']} matrices, delta baseline {target['delta']}{form}",
        f"- Reference: {method}/{qm['basis']}, SCF threshold {qm['conv_tol']:g} Hartree",
    ]


def _property_lines(spec: Mapping[str, Any]) -> list[str]:
    target = spec["target"]
    forces = ", learned with forces" if target["forces_key"] else ""
    parity = "" if target["sigma"] == 1 else ", odd (pseudo)"
    return [f"- Predicts: {target['key']}, a {TENSORS[target['l']]}{parity}, {_unit(target)}{forces}"]


def _training_lines(spec: Mapping[str, Any]) -> list[str]:
    training = spec["training"]
    smallest, largest = training["atoms_per_structure"]
    counts = training["formulas"]
    listed = [f"{formula} ({n})" for formula, n in list(counts.items())[:20]]
    more = f" and {len(counts) - 20} more" if len(counts) > 20 else ""
    return [
        f"- Training set: {training['n_structures']} structures of {smallest} to {largest} atoms, "
        f"SHA-256 {training['sha256'][:16]}",
        f"- Formulas: {', '.join(listed)}{more}",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in spec['versions'].items())}",
    ]


def _valid(of_property: bool) -> str:
    if of_property:
        return "- Valid for molecules of these elements, near the training geometries; other elements are refused."
    return (
        "- Valid for neutral closed-shell molecules of these elements and pairs of elements, near the training "
        "geometries; other elements, pairs or neighbours are refused."
    )


def _error_bars(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, row in found.items():
        within = (f"{100 * row[key]:.0f} %" if row[key] is not None else "-" for key in ("coverage_68", "coverage_95"))
        lines.append("- Error bars of the {}: one holds {}, two hold {} of the errors.".format(name, *within))
    return [*lines, ""] if lines else []


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows), ""]


def _unit(target: Mapping[str, Any]) -> str:
    return target["unit"] or "unit of the data"


def _quantity(name: str, target: Mapping[str, Any]) -> str:
    return f"{target['key']}, {_unit(target)}" if name == "value" else f"forces, {_unit(target)}/Å"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
