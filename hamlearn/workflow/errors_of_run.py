"""What a run measures on its test set."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.artifacts import save_arrays
from hamlearn.config import MatrixTarget, SaphTarget
from hamlearn.errors import OutsideWarning
from hamlearn.job import Job
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.outside import warn_of_outside
from hamlearn.observables import (
    AnyPrediction,
    block_errors,
    calibration_metrics,
    each_spin,
    errors_with_stds,
    level_errors,
    metrics,
    reference_prediction,
)
from hamlearn.observables.judgement import judged
from hamlearn.qm.molecule import formula
from hamlearn.targets import Side, Target
from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms


N_EQUIVARIANCE = 10


def predicted(
    model: HamiltonianModel,
    structures: Sequence[Atoms],
    job: Job,
    indices: Sequence[int],
    sides: Sequence[Side] | None = None,
) -> list[AnyPrediction]:
    """Predict structures, with error bars if there are any; warnings call them by their indices in the input file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideWarning)
        out = model.predict_all(structures, job, sides=sides)
    warn_of_outside(structures, None if model.outside_ is None else out, model.has_error_bars, indices)
    return out


def measure(
    out: Path,
    model: HamiltonianModel,
    structures: Sequence[Atoms],
    predictions: Sequence[AnyPrediction],
    targets: Sequence[Target],
    indices: IntArray,
) -> dict[str, Any]:
    """Return all errors of a test set; the levels go to a file of the run folder.

    Args:
        out: run folder.
        model: the final model.
        structures: test geometries.
        predictions: what the model says of them.
        targets: what was computed.
        indices: position of every test structure in the input file.
    """
    references = [reference_prediction(target) for target in targets]
    _write_levels(out / "test_levels.npz", predictions, references, indices)
    return {
        **metrics(predictions, references),
        **error_bars(predictions, references),
        "equivariance_error": model.equivariance_error(structures[:N_EQUIVARIANCE]),
        "levels_note": levels_note(model.target),
        "level_errors": level_errors(predictions, references),
        "block_errors": _blocks(model, predictions, references),
        "judgement": judged(predictions, references),
        "flagged": sum(bool(prediction.flags) for prediction in predictions),
    }


def error_bars(predictions: Sequence[AnyPrediction], references: Sequence[AnyPrediction]) -> dict[str, Any]:
    """Return under ``error_bars`` how well those of levels and gap describe the errors; nothing if there are none.

    Args:
        predictions: of some molecules.
        references: the same as computed.
    """
    if not predictions[0].has_error_bars:
        return {}
    found = errors_with_stds(predictions, references)
    return {"error_bars": {name: calibration_metrics(*found[name]) for name in ("gap", "levels")}}


def levels_note(target: MatrixTarget) -> str:
    """Say which levels of the reference are levels of the molecule."""
    if not isinstance(target, SaphTarget):
        return "All levels are those of the full Fock matrix, HOMO, LUMO and gap included."
    if target.virtuals == "lowest":
        return (
            "All levels are exact levels of the full Fock matrix: the occupied valence levels and the lowest virtual "
            "levels that the minimal basis, or with delta those of the guess, can hold. HOMO, LUMO and gap are those "
            "of the molecule unless a structure is flagged for a skipped level."
        )
    return (
        "Occupied levels are exact levels of the full Fock matrix. Virtual levels are valence combinations: the LUMO "
        "and the gap given here are not those of the molecule."
    )


def write_diagnostics(path: Path, targets: Sequence[Target], indices: IntArray) -> None:
    """Write how well the projection of every structure went; nothing if none was projected.

    Args:
        path: npz file.
        targets: of training and test set.
        indices: position of every structure in the input file.
    """
    found = [target.diagnostics for target in targets if target.diagnostics is not None]
    if not found:
        return
    arrays = {
        "kind": "diagnostics",
        "format_version": 1,
        "smallest_singular_value": [d.singular_values[-1] for d in found],
        "largest_singular_value": [d.singular_values[0] for d in found],
        "rejected_gap_hartree": [d.rejected_gap for d in found],
        "smallest_projection": [min(d.projections, default=np.nan) for d in found],
        "flags": [json.dumps(d.flags) for d in found],
        "index": indices,
    }
    save_arrays(path, arrays)


def _write_levels(
    path: Path, predictions: Sequence[AnyPrediction], references: Sequence[AnyPrediction], indices: IntArray
) -> None:
    ours, exact = each_spin(predictions), each_spin(references)
    n_spins = [len(r.spins) for r in references]
    counts = [len(r.eigenvalues_ev) for r in exact]
    arrays = {
        "kind": "test_levels",
        "format_version": 1,
        "reference_ev": np.concatenate([r.eigenvalues_ev for r in exact]),
        "predicted_ev": np.concatenate([p.eigenvalues_ev for p in ours]),
        "occupied": np.concatenate([np.arange(n) < r.n_occupied for n, r in zip(counts, exact, strict=True)]),
        "structure": np.repeat(np.repeat(indices, n_spins), counts),
        "formula": [formula(r.numbers) for r in references],
        "flags": ["; ".join(p.flags) for p in predictions],
    }
    if predictions[0].has_error_bars:
        arrays |= {
            "std_ev": np.concatenate([p.eigenvalues_std_ev for p in ours]),
            "gap_std_ev": [p.gap_std_ev for p in predictions],
        }
    save_arrays(path, arrays)


def _blocks(
    model: HamiltonianModel, predictions: Sequence[AnyPrediction], references: Sequence[AnyPrediction]
) -> list[dict[str, Any]]:
    """Return the error of every block with its regularisation."""
    rows = block_errors(
        [p.channels for p in predictions],
        [r.channels for r in references],
        [r.numbers for r in references],
        model.orbitals_,
    )
    alphas = model.alpha_of_block()
    return [{**row, "alpha": alphas.get(key)} for key, row in rows.items()]
