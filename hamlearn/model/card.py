"""The model card: what a model was trained on, how, and how wrong it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hamlearn.angular.elements import symbol
from hamlearn.config.wigner import kernels_in_words
from hamlearn.model.saved import training_lines

ERRORS = {
    "eigenvalue_rmse_mev": "eigenvalues, RMSE",
    "eigenvalue_mae_mev": "eigenvalues, MAE",
    "gap_rmse_mev": "HOMO-LUMO gap, RMSE",
    "gap_mae_mev": "HOMO-LUMO gap, MAE",
    "hamiltonian_rmse_mev": "matrix, RMSE",
}


def model_card(spec: Mapping[str, Any], results: Mapping[str, Any] | None = None) -> str:
    """Return the card as Markdown.

    Args:
        spec: content of model.yaml.
        results: content of results.json, once errors were measured.
    """
    qm, target = spec["qm"], spec["target"]
    method = qm["method"] + (f" ({qm['xc']})" if qm.get("xc") else "")
    lines = [
        "# Model card",
        "",
        f"- Predicts: {target['kind']} matrices, delta baseline {target['delta']}"
        + (f", virtuals {target['virtuals']}, {target['form']} form" if target["kind"] == "saph" else ""),
        f"- Reference: {method}/{qm['basis']}, SCF threshold {qm['conv_tol']:g} Hartree",
        f"- Elements: {', '.join(symbol(int(z)) for z in spec['orbitals'])}",
        *_kernel_lines(spec),
        *training_lines(spec),
        "- Valid for neutral closed-shell molecules of these elements and pairs of elements, near the training "
        "geometries; other elements, pairs or neighbours are refused.",
        "",
    ]
    if not results or not results.get("n_test"):
        return "\n".join([*lines, "Errors: not measured on a test set.", ""])
    lines += [
        f"## Errors on {results['n_test']} test structures",
        "",
        "| quantity | meV |",
        "|---|---|",
        *[f"| {words} | {results[key]:.3g} |" for key, words in ERRORS.items() if results.get(key) is not None],
        "",
    ]
    for name, row in (results.get("error_bars") or {}).items():
        within = (f"{100 * row[key]:.0f} %" if row[key] is not None else "-" for key in ("coverage_68", "coverage_95"))
        lines.append("- Error bars of the {}: one holds {}, two hold {} of the errors.".format(name, *within))
    if results.get("error_bars"):
        lines.append("")
    curve = results.get("learning_curve") or []
    if curve:
        lines += [
            "## Errors by training-set size",
            "",
            "| structures | order | eigenvalue RMSE, meV | gap RMSE, meV |",
            "|---|---|---|---|",
            *[
                f"| {row['n_train']} | {row['order']} | {_number(row['eigenvalue_rmse_mev'])} "
                f"| {_number(row['gap_rmse_mev'])} |"
                for row in curve
            ],
            "",
        ]
    return "\n".join(lines)


def _kernel_lines(spec: Mapping[str, Any]) -> list[str]:
    if spec["model"]["kind"] != "wigner":
        return []
    samples = ", ".join(f"{name} {n}" for name, n in spec.get("samples", {}).items())  # absent from older folders
    return [f"- {kernels_in_words(spec['wigner'])}"] + (
        [f"- Atoms and pairs in the basis: {samples}"] if samples else []
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
