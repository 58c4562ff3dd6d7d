"""What a learner knows of the targets of a group, in memory and as named tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from hamlearn.regression.fit import Fit
from hamlearn.regression.posterior import Posterior
from hamlearn.types import FloatArray, IntArray

Name = TypeVar("Name")
"""What tells fits apart: a group, or a number."""


@dataclass(frozen=True)
class Fitted:
    """Weights of the targets of a group, and how they were found.

    Attributes:
        weights: [column, target].
        offsets: what was subtracted from the targets before the fit [target].
        alphas: relative regularisation of every target [target].
        cv_mse: cross-validated mean squared error per component [target]; nan where nothing was left out.
        posterior: how uncertain predictions are; None without error bars.
        columns: which features are kept, ascending; None for all.
    """

    weights: FloatArray
    offsets: FloatArray
    alphas: FloatArray
    cv_mse: FloatArray
    posterior: Posterior | None = None
    columns: IntArray | None = None

    @classmethod
    def of(cls, fit: Fit, offsets: FloatArray, columns: IntArray | None = None) -> Fitted:
        """Return what is kept of a fit."""
        return cls(np.ascontiguousarray(fit.weights), offsets, fit.alphas, fit.cv_mse, fit.posterior, columns)


PLAIN = [field.name for field in fields(Fitted) if field.name != "posterior"]


def fitted_tensors(fits: Mapping[Name, Fitted]) -> dict[str, Tensor]:
    """Return everything by name, in their order."""
    out: dict[str, Tensor] = {}
    for k, fit in enumerate(fits.values()):
        named = {name: array for name in PLAIN if (array := getattr(fit, name)) is not None}
        if fit.posterior is not None:
            named |= {f"posterior.{name}": array for name, array in fit.posterior.arrays().items()}
        out |= {f"group.{k}.{name}": torch.from_numpy(np.array(array)) for name, array in named.items()}
    return out


def read_fitted(names: Iterable[Name], tensors: Mapping[str, Tensor]) -> dict[Name, Fitted]:
    """Return what :func:`fitted_tensors` made tensors of; other names are passed over."""
    out = {}
    for k, name_of_fit in enumerate(names):
        prefix = f"group.{k}."
        named = {name.removeprefix(prefix): t.numpy() for name, t in tensors.items() if name.startswith(prefix)}
        known = {name.removeprefix("posterior."): x for name, x in named.items() if name.startswith("posterior.")}
        posterior = Posterior.from_arrays(known) if known else None
        out[name_of_fit] = Fitted(**{name: named[name] for name in PLAIN if name in named}, posterior=posterior)
    return out
