"""A model on disk: model.yaml says what it is, tensors.safetensors holds its numbers, MODEL_CARD.md is for people."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from hamlearn.artifacts import check_format, written_atomically
from hamlearn.errors import ArtifactError
from hamlearn.model.card import model_card
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

SPEC, TENSORS, CARD = "model.yaml", "tensors.safetensors", "MODEL_CARD.md"
KINDS = ("hamiltonian_model", "property_model")
FORMAT_VERSION = 2

# the parser in C where there is one: long files are read ten times as fast
LOADER, DUMPER = (getattr(yaml, f"C{name}", getattr(yaml, name)) for name in ("SafeLoader", "SafeDumper"))


def write_model_folder(folder: Path, spec: Mapping[str, Any], tensors: Mapping[str, Tensor], max_l: int) -> None:
    """Write a model and its card to a new folder, whole or not at all.

    Args:
        folder: where; must not exist or be empty.
        spec: content of model.yaml, with kind and format_version.
        tensors: every number of the model.
        max_l: largest l of the harmonics used, up to which conventions are kept.

    Raises:
        ArtifactError: if the folder exists and is not empty; nothing is overwritten.
    """
    import torch
    from safetensors.torch import save as save_tensors

    from hamlearn.angular.fingerprint import convention_fingerprint

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtifactError(f"{folder} exists and is not empty; give a new folder, nothing is overwritten")
    whole = {name: torch.as_tensor(tensor).contiguous() for name, tensor in tensors.items()}
    content = save_tensors(whole | {"conventions": torch.from_numpy(convention_fingerprint(max_l))})
    signed = {**spec, "tensors_sha256": hashlib.sha256(content).hexdigest()}
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _write(temporary / TENSORS, content)
    _write(temporary / SPEC, yaml.dump(signed, Dumper=DUMPER, sort_keys=False, width=120).encode())
    _write(temporary / CARD, model_card(spec).encode())
    os.replace(temporary, folder)


def read_stored_spec(folder: Path) -> dict[str, Any]:
    """Return what model.yaml says, in the format it was written in.

    Raises:
        ArtifactError: if it is missing, damaged, of another kind or newer.
    """
    try:
        spec = yaml.load((folder / SPEC).read_text(encoding="utf-8"), Loader=LOADER)
    except OSError:
        raise ArtifactError(f"{folder} holds no {SPEC}; give a model folder, such as OUT/model of a run") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise _unusable(folder, "damaged") from None
    if not isinstance(spec, dict):
        raise _unusable(folder, "empty or damaged")
    kind = spec.get("kind")
    check_format(spec, kind if kind in KINDS else KINDS[0], FORMAT_VERSION, str(folder / SPEC))
    if "tensors_sha256" not in spec:  # written last
        raise _unusable(folder, "truncated")
    return spec


def read_spec(folder: Path) -> dict[str, Any]:
    """Return the same in the layout of this version."""
    from hamlearn.model.upgrade import upgraded_model

    try:
        spec = upgraded_model(read_stored_spec(folder), {})[0]
        return {**spec, "learner": dict(spec["learner"])}
    except (LookupError, TypeError, ValueError, AttributeError):
        raise _unusable(folder, "damaged") from None


def write_card(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the model card again, now with the errors measured on a test set."""
    _write(folder / CARD, model_card(read_spec(folder), results).encode())


def describe_training(structures: Sequence[Atoms], labels: Iterable[FloatArray]) -> dict[str, object]:
    """Return size, formulas and hash of a training set, structures with what was learned of each."""
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


def _unusable(folder: Path, how: str) -> ArtifactError:
    return ArtifactError(f"{folder / SPEC} is {how}; copy or train the model again")


def _write(path: Path, content: bytes) -> None:
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
