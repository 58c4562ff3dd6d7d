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
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from hamlearn.angular.fingerprint import convention_fingerprint
from hamlearn.artifacts import check_format, written_atomically
from hamlearn.errors import ArtifactError
from hamlearn.model.card import model_card
from hamlearn.model.upgrade import upgraded_model
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

SPEC, TENSORS, CARD = "model.yaml", "tensors.safetensors", "MODEL_CARD.md"
KINDS = ("hamiltonian_model", "property_model")
FORMAT_VERSION = 2
Model = TypeVar("Model")

# the parser in C where there is one: long files are read ten times as fast
LOADER, DUMPER = (getattr(yaml, f"C{name}", getattr(yaml, name)) for name in ("SafeLoader", "SafeDumper"))


def write_model_folder(
    folder: Path, spec: Mapping[str, Any], tensors: Mapping[str, Tensor], card: str, max_l: int
) -> None:
    """Write a model to a new folder, whole or not at all.

    Args:
        folder: where; must not exist or be empty.
        spec: content of model.yaml, with kind and format_version.
        tensors: every number of the model.
        card: content of MODEL_CARD.md.
        max_l: largest l of the harmonics used, up to which conventions are kept.

    Raises:
        ArtifactError: if the folder exists and is not empty; nothing is overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtifactError(f"{folder} exists and is not empty; give a new folder, nothing is overwritten")
    conventions = torch.from_numpy(convention_fingerprint(max_l))
    whole = {name: torch.as_tensor(tensor).contiguous() for name, tensor in tensors.items()}
    content = save_tensors(whole | {"conventions": conventions})
    spec = {**spec, "tensors_sha256": hashlib.sha256(content).hexdigest()}
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _write(temporary / TENSORS, content)
    _write(temporary / SPEC, yaml.dump(spec, Dumper=DUMPER, sort_keys=False, width=120).encode())
    _write(temporary / CARD, card.encode())
    os.replace(temporary, folder)


def read_model_folder(folder: Path, rebuild: Callable[[dict[str, Any], dict[str, Tensor]], tuple[Model, int]]) -> Model:
    """Return what ``rebuild`` makes of model.yaml and the tensors: a model, and the largest l it uses.

    Folders of older formats are brought to the layout of this one first.

    Raises:
        ArtifactError: if the folder is missing, incomplete, damaged, of another kind or a newer format, or made with
            harmonics or couplings of other signs than the installed ones.
    """
    spec = _read_yaml(folder)
    try:
        raw = (folder / TENSORS).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{folder / TENSORS} cannot be read ({error.strerror}); copy the whole folder") from None
    if hashlib.sha256(raw).hexdigest() != spec["tensors_sha256"]:
        raise ArtifactError(f"{folder / TENSORS} is truncated or changed since it was saved; copy the model again")
    try:
        spec, tensors = upgraded_model(spec, load_tensors(raw))
        model, max_l = rebuild(spec, tensors)
        stored = tensors["conventions"].numpy()
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{folder} is not a whole model ({error}); copy or train it again") from None
    installed = convention_fingerprint(max_l)
    if stored.shape != installed.shape or not np.allclose(stored, installed, atol=1e-10):
        raise ArtifactError(
            f"{folder} was made with spherical harmonics or couplings of another order, sign or norm than the "
            f"installed libraries give; install the versions listed in {SPEC}"
        )
    return model


def read_spec(folder: Path) -> dict[str, Any]:
    """Return what model.yaml says, in the layout of this version.

    Raises:
        ArtifactError: if it is missing, damaged, of another kind or newer.
    """
    try:
        spec = upgraded_model(_read_yaml(folder), {})[0]
        return {**spec, "learner": dict(spec["learner"])}
    except (LookupError, TypeError, ValueError, AttributeError):
        raise ArtifactError(f"{folder / SPEC} is damaged; copy or train the model again") from None


def write_card(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the model card again, now with the errors measured on a test set."""
    _write(folder / CARD, model_card(read_spec(folder), results).encode())


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


def _read_yaml(folder: Path) -> dict[str, Any]:
    try:
        spec = yaml.load((folder / SPEC).read_text(encoding="utf-8"), Loader=LOADER)
    except OSError:
        raise ArtifactError(f"{folder} holds no {SPEC}; give a model folder, such as OUT/model of a run") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ArtifactError(f"{folder / SPEC} is damaged; copy or train the model again") from None
    if not isinstance(spec, dict):
        raise ArtifactError(f"{folder / SPEC} is empty or damaged; copy or train the model again")
    kind = spec.get("kind")
    check_format(spec, kind if kind in KINDS else KINDS[0], FORMAT_VERSION, str(folder / SPEC))
    if "tensors_sha256" not in spec:  # written last
        raise ArtifactError(f"{folder / SPEC} is truncated; copy or train the model again")
    return spec


def _write(path: Path, content: bytes) -> None:
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
