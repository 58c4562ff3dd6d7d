"""Ions and radicals from the file to the report and back to predictions, and what is refused before any SCF."""

import ase.io
import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import build_config
from hamlearn.errors import DomainError, StructureError
from hamlearn.workflow import evaluate, predict, run

TRIANGLE = 0.88 * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.866, 0]])
WATER = np.array([[0, 0, 0], [0.77, 0, 0.6], [-0.77, 0, 0.6]])
BENT = np.array([[0, 0, 0], [0.98, 0, 0.42], [-0.98, 0, 0.42]])


def written(path, symbols, shape, info, n=14):
    rng = np.random.default_rng(3)
    frames = [Atoms(symbols, shape + rng.normal(scale=0.03, size=shape.shape), info=dict(info)) for _ in range(n)]
    ase.io.write(path, frames, format="extxyz")
    return path


def settings(file, **qm):
    return build_config(
        {
            "structures": {"file": str(file)},
            "qm": {"basis": "6-31G", **qm},
            "model": {"error_bars": True},
            "split": {"train": 10, "test": 4, "curve": [5, 10]},
        }
    )


CASES = {
    "ion": ("H3", TRIANGLE, {"Charge": "1+"}, {}, "molecules of charge 1, multiplicity 1"),
    "ion by settings": ("H3", TRIANGLE, {}, {"charge": 1}, "molecules of charge 1, multiplicity 1"),
    "radical": ("CH2", BENT, {"multiplicity": 3}, {"method": "UHF", "basis": "STO-3G"}, "charge 0, multiplicity 3"),
    "restricted": ("CH2", BENT, {"mult": "3"}, {"method": "ROHF", "basis": "STO-3G"}, "charge 0, multiplicity 3"),
    "radical ion": ("OH2", WATER, {"charge": 1}, {"method": "UHF", "basis": "STO-3G"}, "charge 1, multiplicity 2"),
}


@pytest.mark.parametrize("kind", CASES)
def test_from_the_file_to_the_report_and_predictions(kind, tmp_path):
    symbols, shape, info, qm, words = CASES[kind]
    file = written(tmp_path / "set.extxyz", symbols, shape, info)
    result = run(settings(file, **qm), tmp_path / "run", executor="serial", echo=None)
    assert result.results["eigenvalue_rmse_mev"] < 50 and result.report.exists()
    assert result.results["equivariance_error"] < 1e-8
    assert words in (tmp_path / "run" / "model" / "MODEL_CARD.md").read_text()
    predictions = predict(tmp_path / "run" / "model", file, tmp_path / "predictions")
    assert all(p.gap_std_ev > 0 for p in predictions)
    errors = evaluate(tmp_path / "run" / "model", file, tmp_path / "evaluation", executor="serial", echo=None)
    assert errors["n_test"] == 14 and not errors["failures"]
    again = run(settings(file, **qm), tmp_path / "run", executor="serial", echo=None)
    assert again.results == result.results


def test_several_charges_are_refused_before_anything_is_written(tmp_path):
    file = written(tmp_path / "set.extxyz", "H3", TRIANGLE, {"charge": 1})
    frames = ase.io.read(file, ":")
    frames[3].info["charge"] = -1
    ase.io.write(file, frames, format="extxyz")
    with pytest.raises(StructureError, match="several charges or multiplicities"):
        run(settings(file), tmp_path / "run", executor="serial", echo=None)
    for atoms in frames:
        atoms.info["charge"] = 1
    frames[3].info["total_charge"] = 0
    ase.io.write(file, frames, format="extxyz")
    with pytest.raises(StructureError, match=r"set.extxyz: 1 of 14 .*: 3\n.*charge 1 contradicts total_charge 0"):
        run(settings(file), tmp_path / "run", executor="serial", echo=None)
    assert not (tmp_path / "run").exists()


def test_evaluation_computes_nothing_of_another_charge(tmp_path):
    file = written(tmp_path / "set.extxyz", "H3", TRIANGLE, {"charge": 1})
    run(settings(file), tmp_path / "run", executor="serial", echo=None, until="fit")
    other = written(tmp_path / "other.extxyz", "H3", TRIANGLE, {"charge": -1})
    with pytest.raises(DomainError, match="charge -1, multiplicity 1"):
        evaluate(tmp_path / "run" / "model", other, tmp_path / "evaluation", executor="serial", echo=None)
    assert not (tmp_path / "evaluation").exists()
