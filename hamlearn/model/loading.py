"""Saved models of any kind."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from hamlearn.angular.fingerprint import convention_fingerprint
from hamlearn.errors import ArtifactError, check_type
from hamlearn.model.base import Model
from hamlearn.model.folder import SPEC, TENSORS, read_stored_spec
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.property import PropertyModel
from hamlearn.model.upgrade import upgraded_model

CLASSES: dict[str, type[Model]] = {model.KIND: model for model in (HamiltonianModel, PropertyModel)}


def load_model(folder: str | Path) -> Model:
    """Read a model saved by ``save``; its predictions are those of the saved one.

    Raises:
        ArtifactError: if the folder is missing, incomplete, damaged, of a newer format, or made with harmonics or
            couplings of other signs than the installed ones.
        ConfigError: if its learner is of a kind that nobody registered.
    """
    check_type(folder, (str, os.PathLike), "folder", "the path of the folder of a saved model")
    folder = Path(folder)
    spec, path = read_stored_spec(folder), folder / TENSORS
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); copy the whole folder") from None
    if hashlib.sha256(raw).hexdigest() != spec["tensors_sha256"]:
        raise ArtifactError(f"{path} is truncated or changed since it was saved; copy the model again")
    try:
        spec, tensors = upgraded_model(spec, load_tensors(raw))
        model = CLASSES[spec["kind"]].from_state(spec, tensors)
        stored = tensors["conventions"].numpy()
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{folder} is not a whole model ({error}); copy or train it again") from None
    installed = convention_fingerprint(model.learner_.max_l)
    if stored.shape != installed.shape or not np.allclose(stored, installed, atol=1e-10):
        raise ArtifactError(
            f"{folder} was made with spherical harmonics or couplings of another order, sign or norm than the "
            f"installed libraries give; install the versions listed in {SPEC}"
        )
    return model
