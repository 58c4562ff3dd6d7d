"""Predictions on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hamlearn.errors import check_type
from hamlearn.job import Job
from hamlearn.types import Echo
from hamlearn.workflow.new_folders import UNFINISHED, new_folder, refuse_used

if TYPE_CHECKING:
    from hamlearn.observables import AnyPrediction
    from hamlearn.observables.properties import PropertyPrediction
    from hamlearn.structures import Structures


def predict(
    model_folder: str | Path, structures: Structures, out: str | Path, executor: str = "serial", echo: Echo = None
) -> list[AnyPrediction] | list[PropertyPrediction]:
    """Predict molecules with a saved model; write predictions.extxyz and hamiltonians.h5.

    A model with error bars (``model.error_bars``) writes those of levels and gap, too.

    A model of a property writes properties.npz instead of the matrices, with forces if it has learned any.

    Args:
        model_folder: folder of a saved model.
        structures: any file ASE reads, or molecules themselves, Å.
        out: folder for the predictions; one that is not empty is refused.
        executor: where kernels, and overlaps and guess matrices if the target needs them, are computed.
        echo: receives progress lines; None for silence.

    Returns:
        One prediction per structure, in order; error bars are those of levels and gap, without their covariance.

    Raises:
        HamlearnError: for a bad model, bad structures, structures outside the model's domain or a used folder.
    """
    from hamlearn.model.loading import load_model
    from hamlearn.structures import as_structures

    paths = (str, os.PathLike)
    check_type(model_folder, paths, "model_folder", "the folder of a saved model; of a model itself call predict")
    check_type(out, paths, "out", "the path of a folder")
    out = Path(out)
    refuse_used(out, UNFINISHED)
    model = load_model(model_folder)  # before what is heavy loads: most refusals are its
    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.property import PropertyModel
    from hamlearn.workflow.prediction_files import Predicted, write_predictions, write_properties

    structures = as_structures(structures)
    predictions = model.predict_all(structures, Job(echo, executor, label="prediction"))
    with new_folder(out, UNFINISHED):
        predicted = Predicted(structures, predictions, Path(model_folder))
        if isinstance(model, PropertyModel):
            write_properties(out, predicted, model)
        else:
            assert isinstance(model, HamiltonianModel)
            write_predictions(out, predicted, model)
    return predictions
