"""The model card of a property: what a model was trained on, how, and how wrong it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hamlearn.angular.elements import symbol
from hamlearn.model.saved import training_lines

KINDS = {0: "scalar", 1: "vector", 2: "symmetric traceless tensor"}


def model_card(spec: Mapping[str, Any], results: Mapping[str, Any] | None = None) -> str:
    """Return the card as Markdown.

    Args:
        spec: content of model.yaml.
        results: content of results.json, once errors were measured.
    """
    target, kernel, hyper = spec["target"], spec["kernel"], spec["hyperparameters"]
    forces = ", learned with forces" if target["forces_key"] else ""
    parity = "" if target["sigma"] == 1 else ", odd (pseudo)"
    mixture = ", ".join(f"{name} {value:.3g}" for name, value in hyper.items() if name != "cv_error")
    settings = ", ".join(
        f"{name} {_setting(value)}" for name, value in kernel.items() if name not in ("grid", "a", "b", "c0")
    )
    elements = spec["elements"]
    unit = target["unit"] or "unit of the data"
    lines = [
        "# Model card",
        "",
        f"- Predicts: {target['key']}, a {KINDS[target['l']]}{parity}, {unit}{forces}",
        f"- Kernel: {kernel['kind']}, order {kernel['max_nu']}, l <= {kernel['max_l']}, "
        f"cut-off {kernel['cutoff_angstrom']:g} Å; {mixture}",
        f"- Settings of the kernel, those chosen on a grid included: {settings}",
        f"- Cross-validated error: {hyper['cv_error']:.3g}, in units of the spread of the data",
        f"- Basis: {spec['basis']['kind']}, {spec['basis']['size']} functions",
        f"- Elements: {', '.join(symbol(int(z)) for z in elements)}",
        *training_lines(spec),
        "- Valid for molecules of these elements, near the training geometries; other elements are refused.",
        "",
    ]
    if not results or not results.get("n_test"):
        return "\n".join([*lines, "Errors: not measured on a test set.", ""])
    names = [name for name in ("value", "force") if f"{name}_rmse" in results]
    lines += [
        f"## Errors on {results['n_test']} test structures",
        "",
        "| quantity | RMSE | MAE |",
        "|---|---|---|",
        *[f"| {_quantity(name, target, unit)} | {_cells(results, name)} |" for name in names],
        "",
    ]
    curve = results.get("learning_curve") or []
    if curve:
        header = " | ".join(f"{_quantity(name, target, unit)}: RMSE | MAE" for name in names)
        lines += [
            "## Errors by training-set size",
            "",
            f"| structures | order | {header} |",
            "|---" * (2 + 2 * len(names)) + "|",
            *[
                f"| {row['n_train']} | {row['order']} | {' | '.join(_cells(row, name) for name in names)} |"
                for row in curve
            ],
            "",
        ]
    return "\n".join(lines)


def _setting(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return "none" if value is None else str(value)


def _quantity(name: str, target: Mapping[str, Any], unit: str) -> str:
    return f"{target['key']}, {unit}" if name == "value" else f"forces, {unit}/Å"


def _cells(row: Mapping[str, Any], name: str) -> str:
    return f"{row[f'{name}_rmse']:.3g} | {row[f'{name}_mae']:.3g}"
