"""Folders of format 1 in the layout of today; what they predict is tested by test_old_artifacts.py."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from water_models import change_spec, raw_spec, write_spec

from hamlearn.errors import ArtifactError, DomainError
from hamlearn.model.folder import CARD, FORMAT_VERSION, SPEC, TENSORS, read_spec, write_card
from hamlearn.model.loading import load_model
from hamlearn.model.upgrade import STEPS, _shared, upgraded_model
from hamlearn.structures import read_structures

OLD = Path(__file__).parents[1] / "resources" / "artifacts" / "0.1.0"
FILES = ("waters", "mixed", "cyanides")
STRUCTURES = [atoms for name in FILES for atoms in read_structures(OLD / "structures" / f"{name}.extxyz")]
WATERS = STRUCTURES[:2]
MODELS = (
    "ridge_saph",
    "ridge_fock",
    "wigner_sparse",
    "wigner_messages",
    "energy_forces",
    "derivatives",
    "dipole",
    "rematch",
)
WEIGHTS = {"energy_forces": {"energy_weight": 2.0, "force_weight": 0.5}}


@pytest.fixture
def old(tmp_path):
    """Copy a folder of version 0.1.0."""
    return lambda name: Path(shutil.copytree(OLD / "models" / name, tmp_path / name))


def test_every_format_has_its_step():
    assert list(STEPS) == list(range(1, FORMAT_VERSION))


@pytest.mark.parametrize("name", MODELS)
def test_old_folders_become_new_ones(name, tmp_path):
    """Loaded and saved, they are of today's format and predict the same to the last bit."""
    spec = raw_spec(OLD / "models" / name)
    model = load_model(OLD / "models" / name)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert (spec["format_version"], read_spec(tmp_path / "model")["format_version"]) == (1, FORMAT_VERSION)
    assert again.get_params() == model.get_params() and again.training_ == model.training_ == spec["training"]
    section = {"ridge": "features", "wigner": "wigner", "kernel": "kernel"}[spec["model"]["kind"]]
    found = model.model.features if section == "features" else model.model.kernel
    kept = {name: value for name, value in spec[section].items() if value is not None}
    assert kept.items() <= found.model_dump(mode="json").items()
    for weight, value in WEIGHTS.get(name, {}).items():
        assert getattr(model.target, weight) == value
    known = [atoms for atoms in STRUCTURES if _inside(model, atoms)][:1]
    assert known and model.predict(known) == again.predict(known)


def _inside(model, atoms):
    return not model.learner_.domain_.lacks(atoms)


@pytest.mark.parametrize("name", ["wigner_sparse", "ridge_fock", "energy_forces", "rematch"])
def test_the_card_of_an_old_folder_says_what_it_did(name, old):
    folder = old(name)
    before = (folder / CARD).read_text().splitlines()
    write_card(folder, {})
    after = (folder / CARD).read_text().splitlines()
    wordy = [line for line in before if not line.startswith("- Settings of the kernel")]  # there are more of them now
    assert set(wordy) <= set(after) and len(before) == len(after)
    assert read_spec(folder)["learner"].keys() <= {"kernel"}


def test_folders_from_before_there_were_error_bars(old):
    folder = old("ridge_saph")
    expected = load_model(folder).predict(WATERS)
    spec = raw_spec(folder)
    del spec["calibration"], spec["model"]["error_bars"]
    write_spec(folder, spec)
    loaded = load_model(folder)
    assert loaded.calibration_ == (1.0, 1.0) and not loaded.model.error_bars
    for a, b in zip(expected, loaded.predict(WATERS), strict=True):
        assert (a.hamiltonian == b.hamiltonian).all()


@pytest.mark.parametrize("name", ["ridge_saph", "wigner_full", "energy_forces"])
def test_the_domain_of_an_old_folder_is_known(name, old):
    model = load_model(old(name))
    far = Atoms("OHH", [[0, 0, 0], [0.95, 0, 0], [9.0, 0, 0]])
    with pytest.raises(DomainError, match="element S not in the training set"):
        model.predict(Atoms("SHH", [[0, 0, 0], [0.9, 0, 0.9], [-0.9, 0, 0.9]]))
    assert not _inside(model, Atoms("OO", [[0, 0, 0], [0, 0, 1.3]]))
    assert _inside(model, far)  # fewer neighbours than known are known


def test_what_is_missing_in_an_old_folder_is_said(old):
    for name, section in (("ridge_saph", "orbitals"), ("wigner_full", "groups"), ("dipole", "baseline")):
        folder = old(name)
        spec = raw_spec(folder)
        del spec[section]
        write_spec(folder, spec)
        with pytest.raises(ArtifactError, match=f"not a whole model .*{section}"):
            load_model(folder)
    change_spec(old("soap"), format_version=0)
    with pytest.raises(ArtifactError, match="not a whole model"):
        load_model(folder.parent / "soap")


def test_folders_of_today_are_left_as_they_are():
    spec, tensors = {"format_version": FORMAT_VERSION, "anything": 1}, {}
    assert upgraded_model(spec, tensors) == (spec, tensors)


def test_an_upgrade_changes_no_file(old):
    folder = old("dipole")
    before = {name: (folder / name).read_bytes() for name in (SPEC, TENSORS, CARD)}
    load_model(folder)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_two_factors_share_their_directions():
    """Large numbers whose difference is small stay apart."""
    rng = np.random.default_rng(0)
    root, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    minus = root * 10.0 ** np.arange(6)
    plus = minus @ rng.normal(size=(6, 4)) * 1e-3
    directions, left = _shared(minus, plus)
    np.testing.assert_allclose(directions @ directions.T, minus @ minus.T, rtol=1e-9, atol=1e-3)
    np.testing.assert_allclose((directions * left) @ directions.T, plus @ plus.T, rtol=1e-6, atol=1e-6)
    assert (left >= 0).all() and (left[4:] == 0).all()
    directions, left = _shared(minus, np.zeros((6, 0)))
    assert (directions == minus).all() and (left == 0).all()
