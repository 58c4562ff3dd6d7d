"""A property model on disk, see :mod:`hamlearn.model.saved`, and models of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from hamlearn.angular.fingerprint import convention_fingerprint
from hamlearn.config import KernelSettings, ModelSettings, TargetSettings, installed_versions
from hamlearn.kernels.structure_kernel import kernel_class
from hamlearn.learning.functionals import make_basis
from hamlearn.model import saved
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.hamiltonian_folder import load_model as load_hamiltonian_model
from hamlearn.model.property import PropertyModel
from hamlearn.model.property_card import model_card
from hamlearn.regression.property_fit import Solution
from hamlearn.targets.composition import Baseline

KIND = "property_model"
FORMAT_VERSION = 1
SECTIONS = {"target": TargetSettings, "kernel": KernelSettings, "model": ModelSettings}
SOLUTION = ("weights", "mixture", "minus", "plus")


def load_model(folder: str | Path) -> HamiltonianModel | PropertyModel:
    """Read a saved model of either kind.

    Raises:
        ArtifactError: if the folder holds no model, or one that cannot be used.
    """
    folder = Path(folder)
    if saved.read_spec(folder).get("kind") == KIND:
        return load_property_model(folder)
    return load_hamiltonian_model(folder)


def load_property_model(folder: str | Path) -> PropertyModel:
    """Read a model saved by :meth:`PropertyModel.save`; its predictions are those of the saved one.

    Raises:
        ArtifactError: if the folder is missing, incomplete, damaged, of a newer format, or made with harmonics or
            couplings of other signs than the installed ones.
    """
    return saved.read_model_folder(Path(folder), KIND, FORMAT_VERSION, _rebuild)


def save_model(model: PropertyModel, folder: Path) -> None:
    """Write a model to a new folder, whole or not at all; see :meth:`PropertyModel.save`."""
    spec = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        **{name: getattr(model, name).model_dump(mode="json") for name in SECTIONS},
        "training": dict(model.training_),
        "versions": installed_versions(),
        "hyperparameters": dict(model.hyperparameters_),
        "baseline": {"kind": model.baseline_.kind, "coefficients": dict(model.baseline_.coefficients_)},
        "elements": model.elements_,
        "basis": {"kind": model.basis_kind, "size": len(model.solution_.weights)},
        "scale": model.scale_,
        "noise": model.solution_.noise,
        "amplitude": model.solution_.amplitude,
    }
    saved.write_model_folder(folder, spec, _tensors(model), model_card(spec))


def write_card(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the model card again, now with the errors measured on a test set."""
    saved.write_card(folder, model_card(saved.read_spec(folder, KIND, FORMAT_VERSION), results))


def _tensors(model: PropertyModel) -> dict[str, torch.Tensor]:
    structures = model.basis_.structures
    arrays = {
        "basis.sizes": np.array([len(atoms) for atoms in structures]),
        "basis.numbers": np.concatenate([atoms.numbers for atoms in structures]).astype(np.int64),
        "basis.positions": np.concatenate([atoms.positions for atoms in structures]),
        **{f"active.{z}": rows for z, rows in getattr(model.basis_, "rows", {}).items()},
        **{f"solution.{name}": getattr(model.solution_, name) for name in SOLUTION},
        "conventions": convention_fingerprint(model.kernel.max_l),
    }
    # copies: safetensors refuses tensors that share memory, and views of larger arrays
    return {**model.kernel_.tensors(), **{name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}}


def _rebuild(spec: dict[str, Any], tensors: dict[str, torch.Tensor]) -> tuple[PropertyModel, int]:
    model = PropertyModel(**{name: section(**spec[name]) for name, section in SECTIONS.items()})
    model.training_, model.hyperparameters_ = dict(spec["training"]), dict(spec["hyperparameters"])
    model.baseline_ = Baseline(spec["baseline"]["kind"], dict(spec["baseline"]["coefficients"]))
    model.scale_ = float(spec["scale"])
    solution = {name: tensors[f"solution.{name}"].numpy() for name in SOLUTION}
    model.solution_ = Solution(**solution, noise=float(spec["noise"]), amplitude=float(spec["amplitude"]))
    model.kernel_ = kernel_class(model.kernel).from_tensors(model.kernel, model.model.memory_gb, tensors)
    ends = np.cumsum(tensors["basis.sizes"].numpy())[:-1]
    numbers, positions = (np.split(tensors[f"basis.{name}"].numpy(), ends) for name in ("numbers", "positions"))
    structures = [Atoms(z, x) for z, x in zip(numbers, positions, strict=True)]
    rows = {int(name.split(".")[1]): t.numpy() for name, t in tensors.items() if name.startswith("active.")}
    model.basis_ = make_basis(model.basis_kind, model.kernel_, structures, model.irrep, rows)
    return model, model.kernel.max_l
