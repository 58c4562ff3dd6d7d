"""A predicted property, and how wrong predictions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.config import PropertyTarget
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.targets.labels import Labels, in_own_shape
from hamlearn.types import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class PropertyPrediction(ByValue, Shown):
    """What a model says of one structure, in the unit of its training set.

    Attributes:
        value: scalar, vector (x, y, z) [3] or tensor [3, 3].
        std: standard deviation of a Gaussian process, calibrated by cross-validation; for vectors and tensors the
            root mean square over irreducible components, so that it is invariant under O(3). None if not asked for.
        forces: -d value / d position of every atom [atom, 3], unit/Å; None if not asked for.
        virial: -d value / d strain = sum_i F_i r_i^T, symmetric [3, 3], in the unit of the value; None without forces.
    """

    value: float | FloatArray
    std: float | None = None
    forces: FloatArray | None = None
    virial: FloatArray | None = None


def property_metrics(
    predictions: Sequence[PropertyPrediction], labels: Labels, target: PropertyTarget
) -> dict[str, float]:
    """Return errors over structures (and components), in the unit of the property.

    Args:
        predictions: one per structure.
        labels: what is known.
        target: type of the property.

    Returns:
        value_rmse, value_mae, value_spread (standard deviation of the reference), and where both sides have forces
        force_rmse, force_mae, force_spread over all their components.
    """
    reference = in_own_shape(labels.values, target.l)
    out = _errors("value", np.stack([p.value for p in predictions]), reference)
    forces = [p.forces for p in predictions if p.forces is not None]
    if labels.forces is not None and len(forces) == len(predictions):
        out |= _errors("force", np.concatenate(forces), labels.forces)
    return out


def _errors(name: str, predicted: FloatArray, reference: FloatArray) -> dict[str, float]:
    difference = predicted - reference
    return {
        f"{name}_rmse": float(np.sqrt(np.mean(difference**2))),
        f"{name}_mae": float(np.mean(np.abs(difference))),
        f"{name}_spread": float(np.sqrt(np.mean((reference - reference.mean(axis=0)) ** 2))),
    }
