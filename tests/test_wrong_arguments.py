"""Arguments of a wrong kind are named, with what was expected, by errors of the package."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import hamlearn
from hamlearn.angular.ao_order import Orbitals
from hamlearn.config import (
    FeatureSettings,
    FockTarget,
    KernelRidgeSettings,
    PropertyTarget,
    QMSettings,
    RidgeSettings,
    WignerSettings,
)
from hamlearn.errors import ArtifactError, HamlearnError
from hamlearn.job import Job
from hamlearn.observables import Prediction, metrics
from hamlearn.qm import Campaign, run_scf
from hamlearn.qm.campaign import check_campaign
from hamlearn.structures import molecule, read_structures
from hamlearn.symmetry import symmetrise
from hamlearn.targets import Target
from hamlearn.units import BOHR_ANGSTROM
from hamlearn.workflow import predict, run, symmetry_report

HELIUM = Atoms("He")
STO_3G = QMSettings(basis="sto-3g")
ONE = np.array([2]), np.array([[-1.0]]), None
MATRICES, ENERGIES = hamlearn.HamiltonianModel(STO_3G), hamlearn.PropertyModel(PropertyTarget(key="energy"))


def orbitals() -> Orbitals:
    from hamlearn.targets import target_orbitals

    return target_orbitals(FockTarget(), "sto-3g", [2])


def errors_of(*given: str) -> dict[str, float]:
    """Return the metrics of a prediction and a target, in some order."""
    made = {"prediction": Prediction(*ONE, 1, orbitals()), "target": Target(*ONE, orbitals(), 1)}
    return metrics(*([made[name]] for name in given))


WRONG = {
    "run_campaign": (
        lambda out: hamlearn.run_campaign([HELIUM], {"basis": "sto-3g"}, out),
        r"settings is a dict, expected QMSettings\(",
    ),
    "guess": (lambda out: hamlearn.run_campaign([HELIUM], STO_3G, out, guess_focks="sto3g"), "guess 'sto3g' is not"),
    "guesses": (lambda out: hamlearn.run_campaign([HELIUM], STO_3G, out, guess_focks=3), "guess_focks is a int"),
    "metrics": (lambda out: errors_of("target", "prediction"), r"predictions\[0\] is a Target, expected a Prediction"),
    "references": (
        lambda out: metrics([Prediction(*ONE, 1, orbitals())], [3]),
        r"targets\[0\] is a int, expected",
    ),
    "no list": (lambda out: metrics(3, 3), "predictions is a int, expected a list"),
    "qm": (lambda out: symmetry_report("water", qm=3), "qm is a int, expected METHOD/BASIS"),
    "group": (lambda out: symmetrise(molecule("water"), "C2v"), "group is a str, expected a PointGroup, such as"),
    "load_model": (lambda out: hamlearn.load_model(5), "folder is a int, expected the path of the folder of a saved"),
    "read_structures": (lambda out: read_structures(None), "path is a NoneType, expected that of a file"),
    "run": (lambda out: run({"structures": {"file": "x"}}, out), r"config is a dict, expected .* or Config\("),
    "run folder": (lambda out: run("x.yaml", None), "out is a NoneType, expected the path of a folder"),
    "predict": (lambda out: predict(MATRICES, HELIUM, out), "model_folder is a HamiltonianModel, .*call predict"),
    "scratch": (lambda out: Job(scratch=5), "scratch is a int, expected the path of a folder"),
    "executor": (lambda out: Job(executor="foo"), "executor 'foo' is not known; expected serial"),
    "executor of a job": (lambda out: Job(executor=4), "executor is a int, expected a name"),
    "echo": (lambda out: Job(echo="print"), "echo is a str, expected a function"),
    "job of matrices": (lambda out: MATRICES.fit(HELIUM, [], print), "job is a builtin_function.*, expected a Job"),
    "job of energies": (lambda out: ENERGIES.fit(HELIUM, job=print), "job is a builtin_function.*, expected a Job"),
    "features": (
        lambda out: RidgeSettings(features=WignerSettings()),
        "features: expected CoupledFeatures or BondFrameFeatures, got WignerSettings",
    ),
    "kernel": (
        lambda out: KernelRidgeSettings(kernel=FeatureSettings()),
        "kernel: expected WignerSettings or BondFrameKernel or KernelSettings, got CoupledFeatures",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name: str, tmp_path: Path) -> None:
    call, words = WRONG[name]
    with pytest.raises(HamlearnError, match=words):
        call(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_fitted_model_is_saved_to_a_path(tmp_path: Path) -> None:
    waters = read_structures("data/water_properties.extxyz")[:4]
    model = hamlearn.PropertyModel(PropertyTarget(key="energy_ev"), RidgeSettings(features=FeatureSettings(max_l=1)))
    model.fit(waters)
    with pytest.raises(HamlearnError, match="folder is a NoneType, expected the path of a new folder"):
        model.save(None)
    with pytest.raises(HamlearnError, match="job is a str, expected a Job"):
        model.predict(waters, job="local")
    model.save(str(tmp_path / "model"))


@pytest.mark.parametrize("index", [2, 99, -3])
def test_a_campaign_has_no_other_records(index: int) -> None:
    campaign = Campaign(Path("nowhere"), ("a", "b"), {1: "no convergence"}, (), 0.0)
    with pytest.raises(ArtifactError, match=f"there is no structure {index}; the campaign has 2, counted from 0"):
        campaign.load(index)
    with pytest.raises(HamlearnError, match="index is a str"):
        campaign.load("a")
    for failed in (1, -1):
        with pytest.raises(ArtifactError, match="structure 1 has no record: no convergence"):
            campaign.load(failed)


def test_right_arguments_in_other_forms(tmp_path: Path) -> None:
    record = run_scf(HELIUM.numbers, HELIUM.positions / BOHR_ANGSTROM, STO_3G, "core")
    assert set(record.guess_focks) == {"minao", "core"}
    check_campaign([HELIUM], STO_3G, "sto-3g")
    assert Job(scratch=str(tmp_path)).scratch == tmp_path
    assert errors_of("prediction", "target")["eigenvalue_rmse_mev"] == 0
    by_settings, by_name = (symmetry_report("water", qm=qm) for qm in (STO_3G, "RHF/sto-3g"))
    assert by_settings.decomposition == by_name.decomposition == {"A1": 4, "B1": 1, "B2": 2}
