"""One benzene with a random Hamiltonian: the model can only learn its group average, and gives C60 all of Ih."""

from __future__ import annotations

import numpy as np
import pytest

from hamlearn import FeatureSettings, HamiltonianModel, Prediction, RidgeSettings, SaphTarget, Target, molecule
from hamlearn.errors import HamlearnWarning
from hamlearn.structures.transforms import with_positions
from hamlearn.symmetry import decompose, group_average, label_levels, point_group, representation
from hamlearn.symmetry.jahn_teller import level_responses
from hamlearn.targets import target_orbitals

GAMMA = {"A1g": 3, "A2g": 1, "B1u": 3, "B2u": 1, "A2u": 1, "B2g": 1, "E1u": 4, "E2g": 4, "E1g": 1, "E2u": 1}
GAMMA_C60 = {"Ag": 3, "Au": 1, "T1g": 5, "T1u": 7, "T2g": 5, "T2u": 7, "Gg": 8, "Gu": 8, "Hg": 11, "Hu": 9}


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    matrix = np.random.default_rng(0).random((30, 30))
    return matrix + matrix.T


@pytest.fixture(scope="module")
def model(raw: np.ndarray) -> HamiltonianModel:
    benzene = molecule("benzene")
    orbitals = target_orbitals(SaphTarget(), "def2-SVP", [1, 6])
    settings = RidgeSettings(features=FeatureSettings(cutoff_angstrom=6.0, pair_cutoff_angstrom=6.5))
    return HamiltonianModel(model=settings).fit([benzene], [Target(benzene.numbers, raw, None, orbitals, 15)])


def multiplets(prediction: Prediction, name: str) -> list:
    group = point_group(molecule(name))
    operations = representation(group, prediction.basis, prediction.numbers)
    return label_levels(prediction.hamiltonian, None, prediction.n_occupied, group, operations)


def test_prediction_is_the_group_average(model: HamiltonianModel, raw: np.ndarray) -> None:
    benzene = molecule("benzene")
    prediction = model.predict([benzene])[0]
    group = point_group(benzene)
    operations = representation(group, prediction.basis, benzene.numbers)
    assert abs(prediction.hamiltonian - group_average(raw, operations)).max() < 1e-9
    assert decompose(group, prediction.basis, benzene.numbers) == GAMMA
    for matrix, pairs in ((raw, 0), (prediction.hamiltonian, 10)):
        assert (np.diff(np.linalg.eigvalsh(matrix)) < 1e-9).sum() == pairs
    levels = multiplets(prediction, "benzene")
    assert sorted(m.degeneracy for m in levels) == [1] * 10 + [2] * 10
    assert max(m.spread_ev for m in levels) < 1e-9


def test_c60_has_all_multiplets_unbroken(model: HamiltonianModel) -> None:
    with pytest.warns(HamlearnWarning, match="further apart than pair_cutoff_angstrom"):
        prediction = model.predict([molecule("C60")])[0]
    levels = multiplets(prediction, "C60")
    found = {irrep: sum(m.irrep == irrep for m in levels) for irrep in GAMMA_C60}
    assert found == GAMMA_C60 and len(levels) == 64
    assert max(m.spread_ev for m in levels) < 1e-9


def test_degenerate_levels_split_linearly_along_a_quinoid_mode_only(model: HamiltonianModel) -> None:
    benzene = molecule("benzene")
    levels = multiplets(model.predict([benzene])[0], "benzene")
    x, y, _ = benzene.positions.T
    quinoid = np.stack([x, -y, 0 * x], axis=1)  # as x^2 - y^2: e2g
    breathing = np.stack([x, y, 0 * x], axis=1)  # a1g
    q = np.array([-2, -1, 1, 2]) * 5e-4
    for mode, splits in ((quinoid, True), (breathing, False)):
        mode = mode / np.linalg.norm(mode)
        path = [with_positions(benzene, benzene.positions + step * mode) for step in q]
        energies = np.array([p.eigenvalues_ev for p in model.predict(path)])
        for response in level_responses(levels, q, energies):
            if splits:
                assert abs(response.mean_slope) < 1e-4
                assert response.degeneracy == 1 or response.splitting_slope > 0.5
            else:
                assert abs(response.mean_slope) > 1e-2 and response.splitting_slope < 1e-7
