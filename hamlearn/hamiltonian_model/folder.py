"""A model on disk: model.yaml says what it is, tensors.safetensors holds its numbers, MODEL_CARD.md is for people."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.fingerprint import convention_fingerprint
from hamlearn.artifacts import check_format, written_atomically
from hamlearn.blocks import BlockKey
from hamlearn.config import FeatureSettings, ModelSettings, QMSettings, TargetSettings, installed_versions
from hamlearn.errors import ArtifactError
from hamlearn.features import Featurizer
from hamlearn.hamiltonian_model.card import model_card
from hamlearn.hamiltonian_model.model import HamiltonianModel
from hamlearn.models import BlockModel, Group
from hamlearn.structures.samples import Family

KIND = "hamiltonian_model"
FORMAT_VERSION = 1
SPEC, TENSORS, CARD = "model.yaml", "tensors.safetensors", "MODEL_CARD.md"
SECTIONS = {"qm": QMSettings, "target": TargetSettings, "features": FeatureSettings, "model": ModelSettings}


def save_model(model: HamiltonianModel, folder: Path) -> None:
    """Write a model to a new folder, whole or not at all; see :meth:`HamiltonianModel.save`."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtifactError(f"{folder} exists and is not empty; give a new folder, nothing is overwritten")
    tensors = save_tensors(_tensors(model))
    spec = _spec(model) | {"tensors_sha256": hashlib.sha256(tensors).hexdigest()}
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _write(temporary / TENSORS, tensors)
    _write(temporary / SPEC, yaml.safe_dump(spec, sort_keys=False, width=120).encode())
    _write(temporary / CARD, model_card(spec).encode())
    os.replace(temporary, folder)


def load_model(folder: str | Path) -> HamiltonianModel:
    """Read a model saved by :meth:`HamiltonianModel.save`; its predictions are bitwise those of the saved one.

    Raises:
        ArtifactError: if the folder is missing, incomplete, damaged, of a newer format, or made with harmonics or
            couplings of other signs than the installed ones.
    """
    folder = Path(folder)
    spec = read_spec(folder)
    try:
        raw = (folder / TENSORS).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{folder / TENSORS} cannot be read ({error.strerror}); copy the whole folder") from None
    if "tensors_sha256" not in spec:
        raise ArtifactError(f"{folder / SPEC} is truncated; copy or train the model again")
    if hashlib.sha256(raw).hexdigest() != spec.get("tensors_sha256"):
        raise ArtifactError(f"{folder / TENSORS} is truncated or changed since it was saved; copy the model again")
    try:
        tensors = load_tensors(raw)
        model = _rebuild(spec, tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise ArtifactError(f"{folder} is not a whole model ({error}); copy or train it again") from None
    _check_conventions(tensors["conventions"].numpy(), model.features.max_l, folder)
    return model


def read_spec(folder: Path) -> dict[str, Any]:
    """Return what model.yaml says, checked for kind and version.

    Raises:
        ArtifactError: if it is missing, damaged or newer.
    """
    try:
        spec = yaml.safe_load((folder / SPEC).read_text(encoding="utf-8"))
    except OSError:
        raise ArtifactError(f"{folder} holds no {SPEC}; give a model folder, such as OUT/model of a run") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ArtifactError(f"{folder / SPEC} is damaged; copy or train the model again") from None
    if not isinstance(spec, dict):
        raise ArtifactError(f"{folder / SPEC} is empty or damaged; copy or train the model again")
    check_format(spec, KIND, FORMAT_VERSION, str(folder / SPEC))
    return spec


def write_card(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the model card again, now with the errors measured on a test set."""
    _write(folder / CARD, model_card(read_spec(folder), results).encode())


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
    return {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        **{name: getattr(model, name).model_dump(mode="json") for name in SECTIONS},
        "training": dict(model.training_),
        "versions": installed_versions(),
        "orbitals": model.orbitals_.to_dict(),
        "groups": groups,
    }


def _tensors(model: HamiltonianModel) -> dict[str, torch.Tensor]:
    fitted = model.block_model_
    out = {name: tensor.contiguous() for name, tensor in fitted.featurizer_.tensors().items()}
    for position, group in enumerate(fitted.blocks_):
        for name in ("weights", "offsets", "alphas", "cv_mse"):
            out[f"group.{position}.{name}"] = getattr(fitted, name + "_")[group].contiguous()
    out["conventions"] = torch.from_numpy(convention_fingerprint(model.features.max_l))
    return out


def _rebuild(spec: Mapping[str, Any], tensors: dict[str, torch.Tensor]) -> HamiltonianModel:
    model = HamiltonianModel(**{name: section(**spec[name]) for name, section in SECTIONS.items()})
    model.orbitals_ = Orbitals.from_dict(spec["orbitals"])
    model.training_ = dict(spec["training"])
    fitted = model.block_model_ = BlockModel(model.features, model.model)
    fitted.featurizer_ = Featurizer.from_tensors(model.features, tensors)
    for position, entry in enumerate(spec["groups"]):
        family = Family(entry["kind"], *entry["species"])
        group = Group(family, entry["L"], entry["sigma"])
        fitted.blocks_[group] = [BlockKey.of(family, (a[0], a[1]), (b[0], b[1]), group.L) for a, b in entry["shells"]]
        for name in ("weights", "offsets", "alphas", "cv_mse"):
            getattr(fitted, name + "_")[group] = tensors[f"group.{position}.{name}"]
    return model


def _check_conventions(stored: np.ndarray, max_l: int, folder: Path) -> None:
    installed = convention_fingerprint(max_l)
    if stored.shape != installed.shape or not np.allclose(stored, installed, atol=1e-10):
        raise ArtifactError(
            f"{folder} was made with spherical harmonics or couplings of another order, sign or norm than the "
            f"installed libraries give; install the versions listed in {SPEC}"
        )


def _write(path: Path, content: bytes) -> None:
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
