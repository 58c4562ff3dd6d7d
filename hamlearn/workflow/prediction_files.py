"""What predictions leave on disk: files that stand alone, readable with h5py, ASE and numpy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from hamlearn.artifacts import save_arrays, written_atomically
from hamlearn.config import installed_versions
from hamlearn.observables import AnyPrediction, SpinPrediction
from hamlearn.observables.properties import PropertyPrediction
from hamlearn.structures.write import write_extxyz
from hamlearn.targets.labels import Labels, in_own_shape
from hamlearn.targets.spins import SPINS
from hamlearn.workflow.new_folders import MATRICES, PROPERTIES, STRUCTURES

if TYPE_CHECKING:
    import h5py
    from ase import Atoms

    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.property import PropertyModel

FORMAT_VERSION, PROPERTIES_VERSION = 2, 1
FRONTIER = ("homo", "lumo", "gap")
LAYOUT = """\
One group per molecule: 000000, 000001, ... Its datasets, each with its unit:
  numbers [atom], positions_angstrom [atom, 3]
  hamiltonian [ao, ao], Hartree; attribute ao_labels: atom, element, shell, m of every row
  overlap [ao, ao] of those functions; absent where they are orthonormal
  eigenvalues_ev [level], ascending: H C = S C eps; eigenvalues_std_ev: standard deviations, where the model has them
  occupations [level], electrons
  reference_eigenvalues_ev [level], computed by PySCF, where they are known
Of open shells all but numbers, positions and overlap have an axis of spins first: alpha, beta.
Its attributes: index (from 0, in the file of structures), formula, charge, multiplicity, homo_ev, lumo_ev, gap_ev,
their standard deviations (homo_std_ev, ...) where the model has them, flags: why the molecule is outside the domain.
Attributes of the file: what is predicted (target, JSON) at which level (method, xc, basis), the functions of every
element (orbitals, JSON: shells n, l and the place of each function in the molecule's order), versions (JSON), and the
SHA-256 of the model's tensors and of its training set.
"""
Found = TypeVar("Found", AnyPrediction, PropertyPrediction)


@dataclass(frozen=True, eq=False)
class Predicted(Generic[Found]):
    """Molecules, what a model says of them, and which they are.

    Attributes:
        structures: geometries, Å.
        predictions: one for each.
        model_folder: where the model was saved.
        indices: position of each in its file; by default as they come.
    """

    structures: Sequence[Atoms]
    predictions: Sequence[Found]
    model_folder: Path
    indices: Sequence[int] | None = None

    @property
    def rows(self) -> list[tuple[int, Atoms, Found]]:
        """Index, structure and prediction of each."""
        indices = range(len(self.structures)) if self.indices is None else map(int, self.indices)
        return list(zip(indices, self.structures, self.predictions, strict=True))

    def write_labelled(self, folder: Path, labels: Sequence[Mapping[str, Any]]) -> None:
        """Write the structures with some words more about each and its index."""
        labelled = []
        for (index, atoms, prediction), found in zip(self.rows, labels, strict=True):
            copy = atoms.copy()
            said = {key: x for key, x in copy.info.items() if not str(key).startswith("hamlearn_")}  # of another model
            copy.info = said | {"hamlearn_index": index, **found}
            if isinstance(prediction, PropertyPrediction) and prediction.forces is not None:
                copy.arrays["hamlearn_forces"] = prediction.forces
            labelled.append(copy)
        write_extxyz(folder / STRUCTURES, labelled)


def write_predictions(
    folder: Path,
    predicted: Predicted[AnyPrediction],
    model: HamiltonianModel,
    references: Sequence[AnyPrediction] | None = None,
) -> None:
    """Write frontier levels to predictions.extxyz and matrices to hamiltonians.h5, laid out as ``LAYOUT`` says.

    The extxyz has ``hamlearn_index``, ``hamlearn_homo_ev``, ``_lumo_ev`` and ``_gap_ev``, with error bars their
    ``_std_ev``, and ``hamlearn_flags`` if there are any; with references ``hamlearn_reference_gap_ev`` and
    ``hamlearn_error_gap_ev``, predicted minus computed, and so on. The gap of open shells is that of either spin; those
    of each are ``hamlearn_alpha_gap_ev`` and ``hamlearn_beta_gap_ev``.

    Args:
        folder: made if absent.
        predicted: the molecules.
        model: what predicted them.
        references: the same molecules as computed.
    """
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    exact = [None] * len(predicted.structures) if references is None else list(references)
    with written_atomically(folder / MATRICES) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(_about(model, predicted.model_folder))
        for k, ((index, atoms, prediction), reference) in enumerate(zip(predicted.rows, exact, strict=True)):
            group = file.create_group(f"{k:06d}")
            group.attrs["index"], group.attrs["formula"] = index, atoms.get_chemical_formula()
            electrons = model.task_.electrons
            group.attrs["charge"], group.attrs["multiplicity"] = electrons.charge, electrons.multiplicity
            group.attrs["flags"] = np.array(prediction.flags, dtype=h5py.string_dtype())
            _write_molecule(group, atoms, prediction)
            if reference is not None:
                _dataset(group, "reference_eigenvalues_ev", reference.eigenvalues_ev, "eV")
    labels = [_frontier(p, reference) for p, reference in zip(predicted.predictions, exact, strict=True)]
    predicted.write_labelled(folder, labels)


def write_properties(
    folder: Path, predicted: Predicted[PropertyPrediction], model: PropertyModel, references: Labels | None = None
) -> None:
    """Write predicted properties to properties.npz and predictions.extxyz.

    The npz holds ``value`` [structure, ...], ``std`` [structure] (NaN where there is none) and, where forces were
    predicted, ``forces`` [atom, 3] of all structures one after the other with their ``n_atoms``. The extxyz has
    ``hamlearn_index``, ``hamlearn_KEY`` and ``hamlearn_std`` for every structure and ``hamlearn_forces`` for every
    atom; with references ``hamlearn_error_KEY``, predicted minus known, beside KEY itself.

    Args:
        folder: made if absent.
        predicted: the structures.
        model: what predicted them.
        references: what is known of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    predictions, target = predicted.predictions, model.target
    values = np.stack([np.asarray(p.value) for p in predictions])
    arrays = {
        "kind": "properties",
        "format_version": PROPERTIES_VERSION,
        "key": target.key,
        "unit": target.unit or "",
        "value": values,
        "std": [np.nan if p.std is None else p.std for p in predictions],
    }
    forces = [p.forces for p in predictions if p.forces is not None]
    if forces:
        arrays |= {"forces": np.concatenate(forces), "n_atoms": [len(f) for f in forces]}
    save_arrays(folder / PROPERTIES, arrays)
    labels: list[dict[str, Any]] = [{f"hamlearn_{target.key}": p.value} for p in predictions]
    for label, prediction in zip(labels, predictions, strict=True):
        if prediction.std is not None:
            label["hamlearn_std"] = prediction.std
    if references is not None:
        for label, error in zip(labels, values - in_own_shape(references.values, target.l), strict=True):
            label[f"hamlearn_error_{target.key}"] = error
    predicted.write_labelled(folder, labels)


def _about(model: HamiltonianModel, model_folder: Path) -> dict[str, Any]:
    """Return what the HDF5 file says of all molecules."""
    from hamlearn.model.folder import read_stored_spec

    versions = installed_versions()
    return {
        "kind": "predictions",
        "format_version": FORMAT_VERSION,
        "layout": LAYOUT,
        "hamlearn": versions["hamlearn"],
        "versions": json.dumps(versions),
        "model_sha256": read_stored_spec(model_folder)["tensors_sha256"],
        "training_sha256": model.training_["sha256"],
        "method": model.qm.method,
        "xc": model.qm.xc or "",
        "basis": model.qm.basis,
        "target": model.target.model_dump_json(),
        "orbitals": json.dumps(model.orbitals_.to_dict()),
    }


def _write_molecule(group: h5py.Group, atoms: Atoms, prediction: AnyPrediction) -> None:
    _dataset(group, "numbers", prediction.numbers, "1")
    _dataset(group, "positions_angstrom", atoms.positions, "angstrom")
    matrix = _dataset(group, "hamiltonian", prediction.hamiltonian, "hartree")
    matrix.attrs["ao_labels"] = prediction.ao_labels
    if isinstance(prediction, SpinPrediction):
        matrix.attrs["spins"] = SPINS
    if prediction.metric is not None:
        _dataset(group, "overlap", prediction.metric, "1")
    _dataset(group, "eigenvalues_ev", prediction.eigenvalues_ev, "eV")
    electrons = 1.0 if isinstance(prediction, SpinPrediction) else 2.0
    _dataset(group, "occupations", electrons * prediction.occupied, "electrons")
    group.attrs.update({f"{name}_ev": getattr(prediction, f"{name}_ev") for name in FRONTIER})
    if prediction.has_error_bars:
        _dataset(group, "eigenvalues_std_ev", prediction.eigenvalues_std_ev, "eV")
        group.attrs.update({f"{name}_std_ev": getattr(prediction, f"{name}_std_ev") for name in FRONTIER})


def _dataset(group: h5py.Group, name: str, values: Any, unit: str) -> h5py.Dataset:
    dataset = group.create_dataset(name, data=values)
    dataset.attrs["unit"] = unit
    return dataset


def _frontier(prediction: AnyPrediction, reference: AnyPrediction | None) -> dict[str, Any]:
    """Return what the extxyz says of one molecule."""
    out = {f"hamlearn_{name}_ev": getattr(prediction, f"{name}_ev") for name in FRONTIER}
    if isinstance(prediction, SpinPrediction):
        gaps = zip(SPINS, prediction.spins, strict=True)
        out |= {f"hamlearn_{spin}_gap_ev": of_spin.gap_ev for spin, of_spin in gaps}
    if prediction.has_error_bars:
        out |= {f"hamlearn_{name}_std_ev": getattr(prediction, f"{name}_std_ev") for name in FRONTIER}
    if prediction.flags:
        out["hamlearn_flags"] = "; ".join(prediction.flags)
    if reference is not None:
        for name in FRONTIER:
            known = getattr(reference, f"{name}_ev")
            out[f"hamlearn_reference_{name}_ev"] = known
            out[f"hamlearn_error_{name}_ev"] = out[f"hamlearn_{name}_ev"] - known
    return out
