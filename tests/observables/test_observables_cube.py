"""Orbitals on a grid: PySCF's values, norms, and cube files other programs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io.cube import read_cube

from hamlearn import Prediction, QMSettings, TargetSettings, build_target, molecule
from hamlearn.errors import ConfigError
from hamlearn.observables import reference_prediction
from hamlearn.observables.cube import orbital_cubes, orbitals_at, write_cube
from hamlearn.qm import QMRecord, run_scf
from hamlearn.qm.molecule import build_mole
from hamlearn.units import BOHR_ANGSTROM

BASIS = "6-31G"  # two s and p shells: the minimal basis is a true subset


@pytest.fixture(scope="module")
def record() -> QMRecord:
    water = molecule("water")
    return run_scf(water.numbers, water.positions / BOHR_ANGSTROM, QMSettings(basis=BASIS))


def prediction(record: QMRecord, **settings: str) -> Prediction:
    return reference_prediction(build_target(record, TargetSettings(**settings)))


def test_values_are_those_of_pyscf(record: QMRecord) -> None:
    of_fock = prediction(record, kind="fock")
    points = np.random.default_rng(0).normal(size=(20, 3))
    mole = build_mole(record.numbers, record.positions, BASIS)
    expected = mole.eval_gto("GTOval_sph", points) @ of_fock.orbitals
    assert np.allclose(orbitals_at(of_fock, record.positions, BASIS, points), expected, atol=1e-13)


def test_lowdin_form_draws_the_orbitals_of_the_fock_matrix(record: QMRecord) -> None:
    points = np.random.default_rng(1).normal(size=(20, 3))
    fock, lowdin = (
        orbitals_at(prediction(record, kind=kind), record.positions, BASIS, points) for kind in ("fock", "lowdin")
    )
    assert np.allclose(np.abs(fock), np.abs(lowdin), atol=1e-8)


@pytest.mark.parametrize("settings", [{"kind": "saph"}, {"kind": "saph", "form": "nonorthogonal"}, {"kind": "lowdin"}])
def test_valence_orbitals_are_normalised(record: QMRecord, settings: dict[str, str]) -> None:
    found = prediction(record, **settings)
    homo = found.n_occupied - 1
    cube, lumo = orbital_cubes(found, record.positions, BASIS, [homo, homo + 1], spacing_bohr=0.25, margin_bohr=7.0)
    volume = cube.spacing_bohr**3
    assert (cube.values**2).sum() * volume == pytest.approx(1.0, abs=3e-3)
    assert (cube.values * lumo.values).sum() * volume == pytest.approx(0.0, abs=3e-3)


def test_ase_reads_the_file(record: QMRecord, tmp_path: Path) -> None:
    (cube,) = orbital_cubes(prediction(record, kind="saph"), record.positions, BASIS, [2], spacing_bohr=0.7)
    write_cube(tmp_path / "a.cube", cube, "b1 \n level")
    with open(tmp_path / "a.cube") as file:
        content = read_cube(file)
    assert content["data"].shape == cube.values.shape
    assert np.allclose(content["data"], cube.values, atol=1e-5)
    assert np.allclose(content["atoms"].positions, molecule("water").positions, atol=1e-5)
    assert np.allclose(content["origin"], cube.origin_bohr * BOHR_ANGSTROM, atol=1e-5)
    assert np.allclose(content["spacing"], np.eye(3) * cube.spacing_bohr * BOHR_ANGSTROM, atol=1e-5)


def test_bad_input_is_refused(record: QMRecord) -> None:
    found = prediction(record, kind="saph")
    with pytest.raises(ConfigError, match=r"levels \[6\] do not exist; the Hamiltonian has levels 0 to 5"):
        orbital_cubes(found, record.positions, BASIS, [0, 6])
    with pytest.raises(ConfigError, match="spacing_bohr 0 "):
        orbital_cubes(found, record.positions, BASIS, [0], spacing_bohr=0)
