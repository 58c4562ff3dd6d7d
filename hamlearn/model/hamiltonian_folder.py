"""A Hamiltonian model on disk, see :mod:`hamlearn.model.saved`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.fingerprint import convention_fingerprint
from hamlearn.blocks import BlockKey
from hamlearn.config import (
    FeatureSettings,
    ModelSettings,
    QMSettings,
    TargetSettings,
    WignerSettings,
    installed_versions,
)
from hamlearn.learning.groups import Group
from hamlearn.learning.kernel_learner import KernelBlockModel
from hamlearn.learning.registry import largest_l, new_regressor, regressor_tensors, restored_regressor
from hamlearn.model import saved
from hamlearn.model.card import model_card
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.structures.samples import Family

KIND = "hamiltonian_model"
FORMAT_VERSION = 1
SECTIONS = {
    "qm": QMSettings,
    "target": TargetSettings,
    "features": FeatureSettings,
    "wigner": WignerSettings,
    "model": ModelSettings,
}


def save_model(model: HamiltonianModel, folder: Path) -> None:
    """Write a model to a new folder, whole or not at all; see :meth:`HamiltonianModel.save`."""
    spec = _spec(model)
    saved.write_model_folder(folder, spec, _tensors(model), model_card(spec))


def load_model(folder: str | Path) -> HamiltonianModel:
    """Read a model saved by :meth:`HamiltonianModel.save`; its predictions are bitwise those of the saved one.

    Raises:
        ArtifactError: if the folder is missing, incomplete, damaged, of a newer format, or made with harmonics or
            couplings of other signs than the installed ones.
    """
    return saved.read_model_folder(Path(folder), KIND, FORMAT_VERSION, _rebuild)


def write_card(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the model card again, now with the errors measured on a test set."""
    saved.write_card(folder, model_card(saved.read_spec(folder, KIND, FORMAT_VERSION), results))


def _spec(model: HamiltonianModel) -> dict[str, Any]:
    fitted = model.block_model_
    groups = [
        {
            "kind": group.family.kind,
            "species": [group.family.species_i, group.family.species_j],
            "L": group.L,
            "sigma": group.sigma,
            "shells": [[list(key.shell_a), list(key.shell_b)] for key in keys],
        }
        for group, keys in fitted.blocks_.items()
    ]
    samples = {"samples": fitted.basis_counts()} if isinstance(fitted, KernelBlockModel) else {}
    return {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        **{name: getattr(model, name).model_dump(mode="json") for name in SECTIONS},
        "training": dict(model.training_),
        "calibration": list(model.calibration_),
        "versions": installed_versions(),
        "orbitals": model.orbitals_.to_dict(),
        **samples,
        "groups": groups,
    }


def _tensors(model: HamiltonianModel) -> dict[str, torch.Tensor]:
    conventions = torch.from_numpy(convention_fingerprint(largest_l(model.block_model_)))
    return regressor_tensors(model.block_model_) | {"conventions": conventions}


def _rebuild(spec: Mapping[str, Any], tensors: dict[str, torch.Tensor]) -> tuple[HamiltonianModel, int]:
    sections = {name: section(**spec.get(name, {})) for name, section in SECTIONS.items()}
    model = HamiltonianModel(**sections)
    model.orbitals_ = Orbitals.from_dict(spec["orbitals"])
    model.training_ = dict(spec["training"])
    levels, gap = spec.get("calibration", (1.0, 1.0))  # absent from older folders
    model.calibration_ = float(levels), float(gap)
    groups = []
    for entry in spec["groups"]:
        group = Group(Family(entry["kind"], *entry["species"]), entry["L"], entry["sigma"])
        keys = [BlockKey.of(group.family, (a[0], a[1]), (b[0], b[1]), group.L) for a, b in entry["shells"]]
        groups.append((group, keys))
    model.block_model_ = restored_regressor(new_regressor(model.features, model.wigner, model.model), groups, tensors)
    return model, largest_l(model.block_model_)
