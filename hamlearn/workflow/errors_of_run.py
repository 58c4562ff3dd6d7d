"""What a run measures on its test set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.artifacts import written_atomically
from hamlearn.hamiltonian_model import HamiltonianModel
from hamlearn.observables import Prediction, block_errors, level_errors, metrics, reference_prediction
from hamlearn.targets import Target
from hamlearn.testing.equivariance import equivariance_error

if TYPE_CHECKING:
    from ase import Atoms

N_EQUIVARIANCE = 10


def measure(
    out: Path,
    model: HamiltonianModel,
    structures: Sequence[Atoms],
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
) -> dict[str, Any]:
    """Return all errors of a test set and write levels and diagnostics beside them."""
    references = [reference_prediction(target) for target in targets]
    _write_levels(out / "test_levels.npz", predictions, references)
    _write_diagnostics(out / "diagnostics.npz", targets)
    chosen = structures[: max(N_EQUIVARIANCE, 1)]
    return {
        **metrics(predictions, targets),
        "equivariance_error": equivariance_error(model, chosen, seed=0),
        "levels_note": levels_note(model),
        "level_errors": level_errors(predictions, references),
        "block_errors": block_errors(predictions, references, model.orbitals_, model.block_model_),
    }
