"""Models of ions: every target, the right levels, one charge per model; old folders are of neutral singlets."""

import numpy as np
import pytest
from ase import Atoms
from water_models import RIDGE, TARGETS, raw_spec, write_spec

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError, DomainError, StructureError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.loading import load_model
from hamlearn.observables import reference_prediction
from hamlearn.qm import run_scf
from hamlearn.targets import build_target, predict_side
from hamlearn.units import BOHR_ANGSTROM

ION = QMSettings(basis="6-31G", conv_tol=1e-11, charge=1)
TRIANGLE = 0.88 * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.866, 0]])


@pytest.fixture(scope="module")
def ions():
    """20 distorted H3+, charged by info, and their calculations."""
    rng = np.random.default_rng(5)
    found = [Atoms("H3", TRIANGLE + rng.normal(scale=0.03, size=(3, 3)), info={"charge": 1}) for _ in range(20)]
    guesses = ("minao", "atom", "core")
    return found, [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, ION, guesses) for a in found]


def fitted(target, ions, qm=ION):
    structures, records = ions
    model = HamiltonianModel(qm, TARGETS[target], RIDGE)
    return model.fit(structures[:15], [build_target(record, TARGETS[target]) for record in records[:15]])


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "valence"])
def test_every_target_of_an_ion(target, ions):
    structures, records = ions
    model = fitted(target, ions)
    predictions = model.predict(structures[15:])
    for prediction, record in zip(predictions, records[15:], strict=True):
        exact = reference_prediction(build_target(record, TARGETS[target]))
        assert prediction.n_occupied == exact.n_occupied == 1
        assert exact.homo_ev == pytest.approx(27.211386 * record.orbital_energies[0], abs=1e-4)
        assert prediction.gap_ev == pytest.approx(exact.gap_ev, abs=0.3)
    metric, baseline = predict_side(structures[0].numbers, records[0].positions, ION, TARGETS[target])
    expected = build_target(records[0], TARGETS[target])
    for ours, theirs in ((metric, expected.metric), (baseline, expected.baseline)):
        assert (ours is None) == (theirs is None)
        assert ours is None or np.abs(ours - theirs).max() < 1e-8


def test_another_charge_is_outside_the_domain(ions, tmp_path):
    model = fitted("saph", ions, QMSettings(basis="6-31G"))
    anion = Atoms("H3", 1.2 * TRIANGLE, info={"charge": -1})
    with pytest.raises(DomainError, match=r"trained on molecules of charge 1, multiplicity 1(.|\n)*structure 1 .* -1"):
        model.predict([ions[0][0], anion])
    with pytest.raises(StructureError, match="an odd number"):
        model.predict([Atoms("H3", TRIANGLE)])
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.task_.electrons == model.task_.electrons
    assert again.predict(ions[0][:1])[0].n_occupied == 1
    with pytest.raises(DomainError, match="charge -1"):
        again.predict([anion])


def test_a_folder_without_electrons_is_of_neutral_singlets(ions, tmp_path):
    fitted("saph", ions).save(tmp_path / "model")
    spec = raw_spec(tmp_path / "model")
    assert spec["task"].pop("electrons") == {"charge": 1, "multiplicity": 1}
    write_spec(tmp_path / "model", spec)
    assert load_model(tmp_path / "model").task_.electrons.charge == 0


def test_training_sets_are_of_one_charge_and_their_own(ions):
    structures, records = ions
    targets = [build_target(record, TARGETS["saph"]) for record in records[:2]]
    other = structures[1].copy()
    other.info["charge"] = -1
    model = HamiltonianModel(QMSettings(basis="6-31G"), TARGETS["saph"], RIDGE)
    with pytest.raises(StructureError, match="the training set: several charges"):
        model.fit([structures[0], other], targets)
    anions = [atoms.copy() for atoms in structures[:2]]
    for atoms in anions:
        atoms.info["charge"] = -1
    with pytest.raises(ConfigError, match="target 0 has 1 occupied levels, structure 0 has 2"):
        model.fit(anions, targets)
