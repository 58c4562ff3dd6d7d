"""A model on disk: model.yaml says what it is, tensors.safetensors holds its numbers, MODEL_CARD.md is for people."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import yaml
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from hamlearn.angular.fingerprint import convention_fingerprint
from hamlearn.artifacts import check_format, written_atomically
from hamlearn.errors import ArtifactError
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

SPEC, TENSORS, CARD = "model.yaml", "tensors.safetensors", "MODEL_CARD.md"
Model = TypeVar("Model")


def write_model_folder(folder: Path, spec: Mapping[str, Any], tensors: Mapping[str, Tensor], card: str) -> None:
    """Write a model to a new folder, whole or not at all.

    Args:
        folder: where; must not exist or be empty.
        spec: content of model.yaml, with kind and format_version.
        tensors: every number of the model.
        card: content of MODEL_CARD.md.

    Raises:
        ArtifactError: if the folder exists and is not empty; nothing is overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtifactError(f"{folder} exists and is not empty; give a new folder, nothing is overwritten")
    content = save_tensors({name: tensor.contiguous() for name, tensor in tensors.items()})
    spec = {**spec, "tensors_sha256": hashlib.sha256(content).hexdigest()}
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _write(temporary / TENSORS, content)
    _write(temporary / SPEC, yaml.safe_dump(spec, sort_keys=False, width=120).encode())
    write_card(temporary, card)
    os.replace(temporary, folder)


def read_model_folder(
    folder: Path, kind: str, version: int, rebuild: Callable[[dict[str, Any], dict[str, Tensor]], tuple[Model, int]]
) -> Model:
    """Return what ``rebuild`` makes of model.yaml and the tensors: a model, and the largest l it uses.

    Raises:
        ArtifactError: if the folder is missing, incomplete, damaged, of another kind or a newer format, or made with
            harmonics or couplings of other signs than the installed ones.
    """
    spec = read_spec(folder, kind, version)
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
        model, max_l = rebuild(spec, tensors)
        stored = tensors["conventions"].numpy()
    except (SafetensorError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise ArtifactError(f"{folder} is not a whole model ({error}); copy or train it again") from None
    installed = convention_fingerprint(max_l)
    if stored.shape != installed.shape or not np.allclose(stored, installed, atol=1e-10):
        raise ArtifactError(
            f"{folder} was made with spherical harmonics or couplings of another order, sign or norm than the "
            f"installed libraries give; install the versions listed in {SPEC}"
        )
    return model


def read_spec(folder: Path, kind: str | None = None, version: int = 0) -> dict[str, Any]:
    """Return what model.yaml says, checked for kind and version if a kind is given.

    Raises:
        ArtifactError: if it is missing, damaged, of another kind or newer.
    """
    try:
        spec = yaml.safe_load((folder / SPEC).read_text(encoding="utf-8"))
    except OSError:
        raise ArtifactError(f"{folder} holds no {SPEC}; give a model folder, such as OUT/model of a run") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ArtifactError(f"{folder / SPEC} is damaged; copy or train the model again") from None
    if not isinstance(spec, dict):
        raise ArtifactError(f"{folder / SPEC} is empty or damaged; copy or train the model again")
    if kind is not None:
        check_format(spec, kind, version, str(folder / SPEC))
    return spec


def write_card(folder: Path, card: str) -> None:
    """Write the model card, for the first time or again."""
    _write(folder / CARD, card.encode())


def describe_training(structures: Sequence[Atoms], labels: Sequence[FloatArray]) -> dict[str, object]:
    """Return size, formulas and hash of a training set.

    Args:
        structures: geometries.
        labels: what was learned of each.
    """
    digest = hashlib.sha256()
    for atoms, label in zip(structures, labels, strict=True):
        for array in (atoms.numbers.astype("<i8"), atoms.positions.astype("<f8"), label.astype("<f8")):
            digest.update(np.ascontiguousarray(array).tobytes())
    sizes = [len(atoms) for atoms in structures]
    return {
        "n_structures": len(structures),
        "formulas": dict(sorted(Counter(atoms.get_chemical_formula() for atoms in structures).items())),
        "atoms_per_structure": [min(sizes), max(sizes)],
        "sha256": digest.hexdigest(),
    }


def training_lines(spec: Mapping[str, Any]) -> list[str]:
    """Return what a model card says of the training set and the versions."""
    training = spec["training"]
    smallest, largest = training["atoms_per_structure"]
    return [
        f"- Training set: {training['n_structures']} structures of {smallest} to {largest} atoms, "
        f"SHA-256 {training['sha256'][:16]}",
        f"- Formulas: {_formulas(training['formulas'])}",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in spec['versions'].items())}",
    ]


def _formulas(counts: Mapping[str, int]) -> str:
    listed = [f"{formula} ({n})" for formula, n in list(counts.items())[:20]]
    return ", ".join(listed) + (f" and {len(counts) - 20} more" if len(counts) > 20 else "")


def _write(path: Path, content: bytes) -> None:
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
