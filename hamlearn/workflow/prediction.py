"""Predictions on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hamlearn.artifacts import save_arrays, written_atomically
from hamlearn.config import PropertyTarget
from hamlearn.errors import check_type
from hamlearn.job import Job
from hamlearn.observables import AnyPrediction, SpinPrediction
from hamlearn.targets.spins import SPINS
from hamlearn.workflow.new_folders import new_folder, refuse_used

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.observables.properties import PropertyPrediction
    from hamlearn.structures import Structures

FORMAT_VERSION = 1
STRUCTURES, MATRICES, PROPERTIES = "predictions.extxyz", "hamiltonians.h5", "properties.npz"
UNFINISHED = (MATRICES, PROPERTIES)
"""What a killed prediction leaves; the structures are written last."""


def predict(
    model_folder: str | Path, structures: Structures, out: str | Path, executor: str = "serial"
) -> list[AnyPrediction] | list[PropertyPrediction]:
    """Predict molecules with a saved model; write predictions.extxyz and hamiltonians.h5.

    A model with error bars (``model.error_bars``) writes those of levels and gap, too.

    A model of a property writes properties.npz instead of the matrices, with forces if it has learned any.

    Args:
        model_folder: folder of a saved model.
        structures: any file ASE reads, or molecules themselves, Å.
        out: folder for the predictions; one that is not empty is refused.
        executor: where kernels, and overlaps and guess matrices if the target needs them, are computed.

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
    model = load_model(model_folder)
    structures = as_structures(structures)
    predictions = model.predict_all(structures, Job(executor=executor))
    with new_folder(out, UNFINISHED):
        if isinstance(model.target, PropertyTarget):
            write_properties(out, structures, predictions, model.target)
        else:
            write_predictions(out, structures, predictions)
    return predictions


def write_predictions(folder: Path, structures: Sequence[Atoms], predictions: Sequence[AnyPrediction]) -> None:
    """Write frontier levels to predictions.extxyz and matrices to hamiltonians.h5.

    The HDF5 file holds groups 000000, 000001, ... in input order, each with ``hamiltonian`` (Hartree, PySCF's order,
    attribute ``ao_labels``), ``eigenvalues_ev`` and, in a non-orthogonal basis, ``overlap``. Predictions with error
    bars add ``eigenvalues_std_ev`` there and ``hamlearn_gap_std_ev`` to the extxyz. Of open shells matrices and levels
    have an axis of spins first, alpha and beta (attribute ``spins``); the gap is that of either spin, and those of each
    are ``hamlearn_alpha_gap_ev`` and ``hamlearn_beta_gap_ev``.
    """
    import h5py

    from hamlearn.structures.write import write_extxyz

    folder.mkdir(parents=True, exist_ok=True)
    with written_atomically(folder / MATRICES) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["kind"], file.attrs["format_version"] = "predictions", FORMAT_VERSION
        for index, prediction in enumerate(predictions):
            group = file.create_group(f"{index:06d}")
            matrix = group.create_dataset("hamiltonian", data=prediction.hamiltonian)
            matrix.attrs["ao_labels"] = prediction.ao_labels
            matrix.attrs["unit"] = "hartree"
            if isinstance(prediction, SpinPrediction):
                matrix.attrs["spins"] = SPINS
            group.create_dataset("eigenvalues_ev", data=prediction.eigenvalues_ev)
            if prediction.has_error_bars:
                group.create_dataset("eigenvalues_std_ev", data=prediction.eigenvalues_std_ev)
            if prediction.metric is not None:
                group.create_dataset("overlap", data=prediction.metric)
    labelled = []
    for atoms, prediction in zip(structures, predictions, strict=True):
        copy = atoms.copy()
        copy.info |= {
            "hamlearn_homo_ev": prediction.homo_ev,
            "hamlearn_lumo_ev": prediction.lumo_ev,
            "hamlearn_gap_ev": prediction.gap_ev,
        }
        if isinstance(prediction, SpinPrediction):
            gaps = zip(SPINS, prediction.spins, strict=True)
            copy.info |= {f"hamlearn_{spin}_gap_ev": of_spin.gap_ev for spin, of_spin in gaps}
        if prediction.has_error_bars:
            copy.info["hamlearn_gap_std_ev"] = prediction.gap_std_ev
        labelled.append(copy)
    write_extxyz(folder / STRUCTURES, labelled)


def write_properties(
    folder: Path, structures: Sequence[Atoms], predictions: Sequence[PropertyPrediction], target: PropertyTarget
) -> None:
    """Write predicted properties to properties.npz and predictions.extxyz.

    The npz holds ``value`` [structure, ...], ``std`` [structure] (NaN where there is none) and, where forces were
    predicted, ``forces`` [atom, 3] of all structures one after the other with their ``n_atoms``. The extxyz has
    ``hamlearn_KEY`` and ``hamlearn_std`` for every structure and ``hamlearn_forces`` for every atom.
    """
    import numpy as np

    from hamlearn.structures.write import write_extxyz

    folder.mkdir(parents=True, exist_ok=True)
    stds = [np.nan if p.std is None else p.std for p in predictions]
    arrays = {
        "kind": "properties",
        "format_version": FORMAT_VERSION,
        "key": target.key,
        "unit": target.unit or "",
        "value": np.stack([p.value for p in predictions]),
        "std": stds,
    }
    forces = [p.forces for p in predictions if p.forces is not None]
    if forces:
        arrays |= {"forces": np.concatenate(forces), "n_atoms": [len(f) for f in forces]}
    save_arrays(folder / PROPERTIES, arrays)
    labelled = []
    for atoms, prediction in zip(structures, predictions, strict=True):
        copy = atoms.copy()
        copy.info |= {f"hamlearn_{target.key}": prediction.value}
        if prediction.std is not None:
            copy.info["hamlearn_std"] = prediction.std
        if prediction.forces is not None:
            copy.arrays["hamlearn_forces"] = prediction.forces
        labelled.append(copy)
    write_extxyz(folder / STRUCTURES, labelled)
