"""One benzene with a random Hamiltonian in the frames of bonds: its group average, and C60 has all of Ih."""

from __future__ import annotations

import numpy as np
import pytest

from hamlearn import (
    BondFrameFeatures,
    BondFrameKernel,
    HamiltonianModel,
    KernelRidgeSettings,
    RidgeSettings,
    SaphTarget,
    Target,
    molecule,
)
from hamlearn.symmetry import group_average, label_levels, point_group, representation
from hamlearn.targets import target_orbitals

PLANAR = BondFrameFeatures(
    max_l=4, max_n=4, cutoff_angstrom=6.0, max_nu_pair=2, max_nu_centre=3, threshold=1e-9, max_features=400
)
LEARNERS = {
    "ridge": RidgeSettings(features=PLANAR),
    "kernel": KernelRidgeSettings(
        kernel=BondFrameKernel(max_l=4, max_n=4, cutoff_angstrom=6.0, rolls=120, precision="float64")
    ),
}


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    matrix = np.random.default_rng(0).random((30, 30))
    return matrix + matrix.T


@pytest.fixture(scope="module", params=LEARNERS)
def benzene_model(request: pytest.FixtureRequest, raw: np.ndarray) -> HamiltonianModel:
    benzene = molecule("benzene")
    orbitals = target_orbitals(SaphTarget(), "def2-SVP", [1, 6])
    return HamiltonianModel(model=LEARNERS[request.param]).fit(
        [benzene], [Target(benzene.numbers, raw, None, orbitals, 15)]
    )


def test_random_benzene_becomes_its_group_average(benzene_model: HamiltonianModel, raw: np.ndarray) -> None:
    benzene = molecule("benzene")
    (prediction,) = benzene_model.predict([benzene])
    group = point_group(benzene)
    operations = representation(group, prediction.basis, benzene.numbers)
    average = group_average(raw, operations)
    assert abs(prediction.hamiltonian - average).max() < 1e-9 < abs(raw - average).max()
    levels = label_levels(prediction.hamiltonian, None, prediction.n_occupied, group, operations)
    assert sorted(m.degeneracy for m in levels) == [1] * 10 + [2] * 10


def test_c60_has_all_multiplets_unbroken(benzene_model: HamiltonianModel) -> None:
    c60 = molecule("C60")
    (prediction,) = benzene_model.predict([c60])
    group = point_group(c60)
    operations = representation(group, prediction.basis, c60.numbers)
    levels = label_levels(prediction.hamiltonian, None, prediction.n_occupied, group, operations)
    assert len(levels) == 64 and max(m.spread_ev for m in levels) < 1e-9
