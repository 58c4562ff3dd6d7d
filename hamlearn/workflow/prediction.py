"""Predictions on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hamlearn.artifacts import save_arrays, written_atomically
from hamlearn.config import TargetSettings
from hamlearn.errors import ArtifactError
from hamlearn.observables import Prediction
from hamlearn.parallel import folder_lock

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.observables.properties import PropertyPrediction

FORMAT_VERSION = 1
STRUCTURES, MATRICES, PROPERTIES = "predictions.extxyz", "hamiltonians.h5", "properties.npz"


def predict(
    model_folder: str | Path, structures_file: str | Path, out: str | Path, executor: str = "serial"
) -> list[Prediction] | list[PropertyPrediction]:
    """Predict the molecules of a file with a saved model; write predictions.extxyz and hamiltonians.h5.

    A model with error bars (``model.error_bars``) writes those of levels and gap, too.

    A model of a property writes properties.npz instead of the matrices, with forces if it has learned any.

    Args:
        model_folder: folder of a saved model.
        structures_file: any file ASE reads.
        out: folder for the predictions; one that holds predictions already is refused.
        executor: where kernels, and overlaps and guess matrices if the target needs them, are computed.

    Returns:
        One prediction per structure, in order; error bars are those of levels and gap, without their covariance.

    Raises:
        HamlearnError: for a bad model, bad structures, structures outside the model's domain or a used folder.
    """
    from hamlearn.model.property import PropertyModel
    from hamlearn.model.property_folder import load_model
    from hamlearn.structures import read_structures

    out = Path(out)
    _refuse_existing(out)
    model = load_model(model_folder)
    structures = read_structures(structures_file)
    if isinstance(model, PropertyModel):
        properties = model.predict(structures, forces=model.has_forces, std=True)
        with _new_folder(out):
            write_properties(out, structures, properties, model.target)
        return properties
    predictions = model.predict(structures, executor, std=model.model.error_bars and "levels")
    with _new_folder(out):
        write_predictions(out, structures, predictions)
    return predictions


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    """Make and lock the folder of the predictions."""
    out.mkdir(parents=True, exist_ok=True)
    with folder_lock(out):
        _refuse_existing(out)
        yield


def write_predictions(folder: Path, structures: Sequence[Atoms], predictions: Sequence[Prediction]) -> None:
    """Write frontier levels to predictions.extxyz and matrices to hamiltonians.h5.

    The HDF5 file holds groups 000000, 000001, ... in input order, each with ``hamiltonian`` (Hartree, PySCF's order,
    attribute ``ao_labels``), ``eigenvalues_ev`` and, in a non-orthogonal basis, ``overlap``. Predictions with error
    bars add ``eigenvalues_std_ev`` there and ``hamlearn_gap_std_ev`` to the extxyz.
    """
    import ase.io
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    with written_atomically(folder / MATRICES) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["kind"], file.attrs["format_version"] = "predictions", FORMAT_VERSION
        for index, prediction in enumerate(predictions):
            group = file.create_group(f"{index:06d}")
            matrix = group.create_dataset("hamiltonian", data=prediction.hamiltonian)
            matrix.attrs["ao_labels"] = prediction.ao_labels
            matrix.attrs["unit"] = "hartree"
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
        if prediction.has_error_bars:
            copy.info["hamlearn_gap_std_ev"] = prediction.gap_std_ev
        labelled.append(copy)
    with written_atomically(folder / STRUCTURES) as temporary:
        ase.io.write(temporary, labelled, format="extxyz")


def write_properties(
    folder: Path, structures: Sequence[Atoms], predictions: Sequence[PropertyPrediction], target: TargetSettings
) -> None:
    """Write predicted properties to properties.npz and predictions.extxyz.

    The npz holds ``value`` [structure, ...], ``std`` [structure] (NaN where there is none) and, where forces were
    predicted, ``forces`` [atom, 3] of all structures one after the other with their ``n_atoms``. The extxyz has
    ``hamlearn_KEY`` and ``hamlearn_std`` for every structure and ``hamlearn_forces`` for every atom.
    """
    import ase.io
    import numpy as np

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
    with written_atomically(folder / STRUCTURES) as temporary:
        ase.io.write(temporary, labelled, format="extxyz")


def _refuse_existing(folder: Path) -> None:
    if (folder / STRUCTURES).exists():  # written last: matrices alone are left by a killed prediction
        raise ArtifactError(f"{folder / STRUCTURES} exists already; give a new folder, nothing is overwritten")
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file; give a folder for the predictions")
