"""Saved models of any kind."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hamlearn.errors import ArtifactError, check_type
from hamlearn.model.folder import SPEC, TENSORS, read_stored_spec

if TYPE_CHECKING:
    from hamlearn.model.base import Model


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
    return _model_of(folder, spec, raw)


def model_classes() -> dict[str, type[Model]]:
    """Return the class of every kind of model."""
    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.property import PropertyModel

    return {model.KIND: model for model in (HamiltonianModel, PropertyModel)}


def _model_of(folder: Path, spec: Mapping[str, Any], raw: bytes) -> Model:
    """Return the model of the bytes of a whole file of tensors; what is heavy is loaded here, after the refusals."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.torch import load as load_tensors

    from hamlearn.angular.fingerprint import convention_fingerprint
    from hamlearn.model.upgrade import upgraded_model

    try:
        spec, tensors = upgraded_model(dict(spec), load_tensors(raw))
        model = model_classes()[spec["kind"]].from_state(spec, tensors)
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
