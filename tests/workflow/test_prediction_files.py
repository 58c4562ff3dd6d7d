"""What predictions leave on disk stands alone: everything is read with h5py, ASE and numpy."""

import json

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from water_models import RIDGE, TARGETS, with_bars

from hamlearn.config import QMSettings
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.observables import reference_prediction
from hamlearn.qm import run_scf
from hamlearn.structures import read_structures
from hamlearn.targets import build_target
from hamlearn.units import BOHR_ANGSTROM
from hamlearn.workflow import evaluate, predict
from hamlearn.workflow.prediction_files import Predicted, write_predictions

QM = QMSettings(basis="sto-3g")
FLAGS = ("O-H 2.10 Å, training up to 1.21", 'odd = "word"')


@pytest.fixture(scope="module")
def model_folder(waters, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    records = [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, QM) for a in waters[:16]]
    targets = [build_target(record, TARGETS["fock"]) for record in records]
    HamiltonianModel(QM, TARGETS["fock"], with_bars(RIDGE)).fit(waters[:16], targets).save(folder)
    return folder


def test_matrices_are_read_with_h5py_alone(model_folder, waters, tmp_path):
    (prediction,) = predict(model_folder, waters[20:21], tmp_path / "out")
    with h5py.File(tmp_path / "out" / "hamiltonians.h5") as file:
        about, group = dict(file.attrs), file["000000"]
        said, units = dict(group.attrs), {name: item.attrs["unit"] for name, item in group.items()}
        held = {name: item[()] for name, item in group.items()}
        labels = list(group["hamiltonian"].attrs["ao_labels"])
    assert units == {
        "numbers": "1",
        "positions_angstrom": "angstrom",
        "hamiltonian": "hartree",
        "overlap": "1",
        "eigenvalues_ev": "eV",
        "eigenvalues_std_ev": "eV",
        "occupations": "electrons",
    }
    assert (about["kind"], about["format_version"], about["method"], about["basis"]) == (
        "predictions",
        2,
        "RHF",
        "sto-3g",
    )
    assert json.loads(about["target"])["kind"] == "fock" and "eigenvalues_ev [level]" in about["layout"]
    spec = (model_folder / "model.yaml").read_text()
    assert about["model_sha256"] in spec and about["training_sha256"] in spec
    assert json.loads(about["versions"])["hamlearn"] == about["hamlearn"]
    assert len(json.loads(about["orbitals"])["8"]["ao_index"]) == 5
    assert (said["index"], said["formula"], said["charge"], said["multiplicity"]) == (0, "H2O", 0, 1)
    assert said["gap_std_ev"] == prediction.gap_std_ev and said["homo_std_ev"] == prediction.homo_std_ev
    assert list(said["flags"]) == list(prediction.flags)
    np.testing.assert_array_equal(held["positions_angstrom"], waters[20].positions)
    assert held["occupations"].sum() == held["numbers"].sum() == 10
    assert labels[:2] == ["0 O 1s", "0 O 2s"] and len(labels) == 7
    from scipy.linalg import eigh

    levels = 27.211386245988 * eigh(held["hamiltonian"], held["overlap"], eigvals_only=True)
    np.testing.assert_allclose(levels, held["eigenvalues_ev"], atol=1e-6)
    homo, lumo = (held["eigenvalues_ev"][held["occupations"] > 0].max(), held["eigenvalues_ev"][5])
    assert (said["homo_ev"], said["lumo_ev"], said["gap_ev"]) == pytest.approx((homo, lumo, lumo - homo))


def test_a_test_set_holds_references_errors_and_places_in_the_file(model_folder, waters, tmp_path):
    """Also texts of the file, flags with odd characters, and nothing that an earlier model said."""
    structures = [atoms.copy() for atoms in waters[20:22]]
    structures[0].info = {"name": "", "origin": "a=b", "hamlearn_error_gap_ev": 9.0, "hamlearn_flags": "old"}
    from dataclasses import replace

    from hamlearn.model.loading import load_model

    model = load_model(model_folder)
    predictions = model.predict(structures, std="levels")
    predictions = [predictions[0], replace(predictions[1], flags=FLAGS)]
    records = [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, QM) for a in structures]
    references = [reference_prediction(build_target(record, TARGETS["fock"])) for record in records]
    write_predictions(tmp_path, Predicted(structures, predictions, model_folder, [7, 3]), model, references)
    written = ase.io.read(tmp_path / "predictions.extxyz", ":")
    assert written[0].info["origin"] == "a=b" and "hamlearn_flags" not in written[0].info
    assert written[1].info["hamlearn_flags"] == "; ".join(FLAGS)
    with h5py.File(tmp_path / "hamiltonians.h5") as file:
        assert [group.attrs["index"] for group in file.values()] == [7, 3]
        assert [list(group.attrs["flags"]) for group in file.values()] == [[], list(FLAGS)]
        for group, reference in zip(file.values(), references, strict=True):
            np.testing.assert_array_equal(group["reference_eigenvalues_ev"], reference.eigenvalues_ev)
    for atoms, p, r, index in zip(written, predictions, references, (7, 3), strict=True):
        assert atoms.info["hamlearn_index"] == index
        for name in ("homo", "lumo", "gap"):
            ours, theirs = getattr(p, f"{name}_ev"), getattr(r, f"{name}_ev")
            assert atoms.info[f"hamlearn_{name}_ev"] == pytest.approx(ours, abs=1e-7)
            assert atoms.info[f"hamlearn_reference_{name}_ev"] == pytest.approx(theirs, abs=1e-7)
            assert atoms.info[f"hamlearn_error_{name}_ev"] == pytest.approx(ours - theirs, abs=1e-7)
            assert atoms.info[f"hamlearn_{name}_std_ev"] == pytest.approx(getattr(p, f"{name}_std_ev"), abs=1e-7)
    again = read_structures(tmp_path / "predictions.extxyz")
    assert [len(atoms) for atoms in again] == [3, 3]


def test_evaluate_writes_the_same(model_folder, waters, tmp_path):
    evaluate(model_folder, waters[20:22], tmp_path / "out", executor="serial", echo=None)
    for index, atoms in enumerate(ase.io.read(tmp_path / "out" / "predictions.extxyz", ":")):
        record = run_scf(atoms.numbers, waters[20 + index].positions / BOHR_ANGSTROM, QM)
        gap = reference_prediction(build_target(record, TARGETS["fock"])).gap_ev
        assert atoms.info["hamlearn_index"] == index
        assert atoms.info["hamlearn_reference_gap_ev"] == pytest.approx(gap, abs=1e-6)


def test_a_molecule_without_a_gap_comes_back(model_folder, tmp_path):
    """Helium in a minimal basis has no virtual level."""
    from hamlearn.angular.ao_order import Orbitals
    from hamlearn.model.loading import load_model
    from hamlearn.observables import Prediction

    alone = Prediction(np.array([2]), np.array([[-1.0]]), None, 1, Orbitals({2: ((1, 0),)}, {2: (0,)}))
    write_predictions(tmp_path, Predicted([Atoms("He")], [alone], model_folder), load_model(model_folder))
    info = ase.io.read(tmp_path / "predictions.extxyz").info
    assert info["hamlearn_homo_ev"] == pytest.approx(-27.2114, abs=1e-3)
    assert np.isnan(info["hamlearn_lumo_ev"]) and np.isnan(info["hamlearn_gap_ev"])
