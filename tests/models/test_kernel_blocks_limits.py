"""Kernel models of one molecule, and of blocks out of reach."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn import molecule
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.blocks import assemble_matrices, split_matrices
from hamlearn.config import ModelSettings, TargetSettings, WignerSettings
from hamlearn.errors import HamlearnWarning
from hamlearn.models import Group, KernelBlockModel
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.structures.samples import Family
from hamlearn.symmetry import group_average, point_group, representation
from hamlearn.targets import target_orbitals


def test_blocks_no_kernel_reaches_are_told():
    """d orbitals next to kernels that stop at l = 1."""
    orbitals = target_orbitals(TargetSettings(kind="fock"), "def2-SVP", [1, 8])
    rng = np.random.default_rng(0)
    water = [Atoms("OHH", rng.normal(size=(3, 3))) for _ in range(4)]
    n = orbitals.n_ao(water[0].numbers)
    blocks = split_matrices([m + m.T for m in rng.normal(size=(4, n, n))], [a.numbers for a in water], orbitals)
    wigner = WignerSettings(max_l=1, max_nu_centre=1, max_nu_pair=0)
    with pytest.warns(HamlearnWarning) as told:
        model = KernelBlockModel(wigner, ModelSettings(kind="wigner")).fit(water, blocks)
    words = [str(w.message) for w in told]
    assert any("no kernel reaches blocks of L = 2, sigma = +1 (on_site)" in w for w in words)
    assert not any("L = 1," in w or "L = 0," in w for w in words)
    group = Group(Family("on_site", 8, 8), 2, 1)
    assert not model.weights_[group].any()


@pytest.mark.parametrize("message_passing", [False, True])
def test_random_hamiltonian_of_benzene_becomes_its_group_average(message_passing):
    """One molecule and any matrix at all: what is learned is the part of it that has the symmetry of the molecule."""
    benzene = molecule("benzene")
    raw = np.random.default_rng(0).random((30, 30))
    raw = raw + raw.T
    orbitals = target_orbitals(TargetSettings(), "def2-SVP", [1, 6])
    blocks = split_matrices([raw], [benzene.numbers], orbitals)
    wigner = WignerSettings(max_nu_centre=3, max_nu_pair=2, message_passing=message_passing)
    model = KernelBlockModel(wigner, ModelSettings(kind="wigner")).fit([benzene], blocks)
    rng = np.random.default_rng(1)
    r, order = random_rotation(rng, improper=True), rng.permutation(12)
    for atoms in (benzene, rotate(permute(benzene, order), r)):
        (found,) = assemble_matrices(model.predict([atoms]), [atoms.numbers], orbitals)
        t = ao_rotation(orbitals, atoms.numbers, r) if atoms is not benzene else np.eye(30)
        p = ao_permutation(orbitals, benzene.numbers, order) if atoms is not benzene else np.arange(30)
        expected = group_average(raw, representation(point_group(benzene), orbitals, benzene.numbers))
        assert abs(found - t @ expected[np.ix_(p, p)] @ t.T).max() < 1e-9
    levels = np.linalg.eigvalsh(expected)
    assert (np.diff(levels) < 1e-9).sum() == 10
