"""The two regressors of blocks, features with ridge and kernels: made from settings, and to and from tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from torch import Tensor

from hamlearn.blocks import BlockKey
from hamlearn.config import FeatureSettings, ModelSettings, WignerSettings
from hamlearn.features import Featurizer
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.learning.groups import Group
from hamlearn.learning.kernel_learner import KernelBlockModel
from hamlearn.learning.ridge_learner import BlockModel
from hamlearn.regression.ridge_posterior import RidgePosterior

Regressor = BlockModel | KernelBlockModel
OF_GROUPS = ("weights", "offsets", "alphas", "cv_mse")
POSTERIOR = tuple(field.name for field in fields(RidgePosterior))


def new_regressor(
    features: FeatureSettings, wigner: WignerSettings, model: ModelSettings, scratch: Path | None = None
) -> Regressor:
    """Return what fits blocks with these settings, kernels kept in a folder or not."""
    return KernelBlockModel(wigner, model, scratch) if model.kind == "wigner" else BlockModel(features, model)


def largest_l(fitted: Regressor) -> int:
    """Return the largest l of the harmonics a regressor uses."""
    return fitted.wigner.max_l if isinstance(fitted, KernelBlockModel) else fitted.features.max_l


def regressor_tensors(fitted: Regressor) -> dict[str, Tensor]:
    """Return the numbers of a fitted regressor, by name."""
    if isinstance(fitted, KernelBlockModel):
        out = fitted.kernel_.tensors() | fitted.active_.tensors()
    else:
        out = dict(fitted.featurizer_.tensors())
    for position, group in enumerate(fitted.blocks_):
        prefix = f"group.{position}."
        out |= {prefix + name: getattr(fitted, name + "_")[group] for name in OF_GROUPS}
        if isinstance(fitted, KernelBlockModel):
            if group in fitted.factors_:
                out |= {prefix + "factors": fitted.factors_[group], prefix + "scales": fitted.scales_[group]}
        elif group in fitted.posteriors_:
            posterior = fitted.posteriors_[group]
            out |= {f"{prefix}posterior.{name}": getattr(posterior, name) for name in POSTERIOR}
    return out


def restored_regressor(
    fitted: Regressor, groups: Sequence[tuple[Group, list[BlockKey]]], tensors: Mapping[str, Tensor]
) -> Regressor:
    """Give a new regressor the numbers that :func:`regressor_tensors` returned, and return it."""
    if isinstance(fitted, KernelBlockModel):
        fitted.kernel_ = BlockKernel.from_tensors(fitted.wigner, tensors)
        fitted.active_ = Centres.from_tensors(tensors)
    else:
        fitted.featurizer_ = Featurizer.from_tensors(fitted.features, dict(tensors))
    for position, (group, keys) in enumerate(groups):
        prefix = f"group.{position}."
        fitted.blocks_[group] = keys
        for name in OF_GROUPS:
            getattr(fitted, name + "_")[group] = tensors[prefix + name]
        if not fitted.model.error_bars:
            continue
        if isinstance(fitted, KernelBlockModel):
            fitted.factors_[group], fitted.scales_[group] = tensors[prefix + "factors"], tensors[prefix + "scales"]
        else:
            parts = {name: tensors[f"{prefix}posterior.{name}"] for name in POSTERIOR}
            fitted.posteriors_[group] = RidgePosterior(**parts)
    return fitted
