"""Saved models of any kind."""

from __future__ import annotations

import os
from pathlib import Path

from hamlearn.errors import check_type
from hamlearn.model.base import Model
from hamlearn.model.folder import read_model_folder
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.property import PropertyModel

CLASSES: dict[str, type[Model]] = {model.KIND: model for model in (HamiltonianModel, PropertyModel)}


def load_model(folder: str | Path) -> Model:
    """Read a model saved by ``save``; its predictions are those of the saved one.

    Raises:
        ArtifactError: if the folder is missing, incomplete, damaged, of a newer format, or made with harmonics or
            couplings of other signs than the installed ones.
        ConfigError: if its learner is of a kind that nobody registered.
    """
    check_type(folder, (str, os.PathLike), "folder", "the path of the folder of a saved model")
    return read_model_folder(Path(folder), lambda spec, tensors: CLASSES[spec["kind"]].from_state(spec, tensors))
