"""Kernels of one molecule, and of blocks out of reach."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from noisy_waters import Known

from hamlearn import molecule
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.blocks import assemble_matrices
from hamlearn.config import FockTarget, KernelRidgeSettings, SaphTarget, WignerSettings
from hamlearn.errors import HamlearnWarning
from hamlearn.job import SILENT
from hamlearn.learning.groups import Group
from hamlearn.learning.pair_kernels import PairKernelLearner
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.structures.families import Family
from hamlearn.symmetry import group_average, point_group, representation
from hamlearn.targets import target_orbitals

O = (Family("on_site", 8, 8),)


@pytest.fixture(scope="module")
def random_focks():
    """Random geometries of three atoms with random matrices."""
    orbitals = target_orbitals(FockTarget(), "def2-SVP", [1, 8])
    rng = np.random.default_rng(0)
    water = [Atoms("OHH", rng.normal(size=(3, 3))) for _ in range(4)]
    n = orbitals.n_ao(water[0].numbers)
    return Known.of(water, [m + m.T for m in rng.normal(size=(4, n, n))], orbitals)


def fit(known, **kernel):
    settings = KernelRidgeSettings(kernel=WignerSettings(**kernel))
    return PairKernelLearner(settings).fit(known.structures, known.data, SILENT)


def test_blocks_no_kernel_reaches_are_told(random_focks):
    """d orbitals next to kernels that stop at l = 1."""
    with pytest.warns(HamlearnWarning) as told:
        learner = fit(random_focks, max_l=1, max_nu_centre=1, max_nu_pair=0)
    words = [str(w.message) for w in told]
    assert all("raise model.kernel.max_l, max_nu_centre or max_nu_pair" in w for w in words if "no kernel" in w)
    zero = {group for group, fit in learner.fits_.items() if not fit.weights.any()}
    lost = {Group(O, *irrep) for irrep in ((2, 1), (1, -1), (2, -1))}
    assert lost <= zero  # one density has sigma = 1 alone, and here l = 1 at most
    for group in learner.fits_:
        name = f"L = {group.L}, sigma = {group.sigma:+d} ({group.name}, {group.family.kind})"
        is_told = any(f"no kernel reaches blocks of {name}" in w for w in words)
        assert is_told or group not in lost
        assert not is_told or group in zero


def test_blocks_that_messages_reach_are_not_said_to_be_out_of_reach(random_focks):
    """d orbitals of atoms by kernels of their pairs, where those of atoms alone stop at l = 1."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        learner = fit(random_focks, max_l=1, max_nu_centre=1, max_nu_pair=2, message_passing=True)
    assert learner.fits_[Group(O, 2, 1)].weights.any()
    assert not any("L = 2, sigma = +1 (O" in str(w.message) for w in told)


@pytest.mark.parametrize("message_passing", [False, True])
def test_random_hamiltonian_of_benzene_becomes_its_group_average(message_passing):
    """One molecule and any matrix at all: what is learned is the part of it that has the symmetry of the molecule."""
    benzene = molecule("benzene")
    raw = np.random.default_rng(0).random((30, 30))
    raw = raw + raw.T
    orbitals = target_orbitals(SaphTarget(), "def2-SVP", [1, 6])
    known = Known.of([benzene], [raw], orbitals)
    learner = fit(known, max_nu_centre=3, max_nu_pair=2, message_passing=message_passing)
    rng = np.random.default_rng(1)
    r, order = random_rotation(rng, improper=True), rng.permutation(12)
    expected = group_average(raw, representation(point_group(benzene), orbitals, benzene.numbers))
    for atoms in (benzene, rotate(permute(benzene, order), r)):
        (found,) = assemble_matrices(known.blocks(learner, [atoms]), [atoms.numbers], orbitals)
        t = ao_rotation(orbitals, atoms.numbers, r) if atoms is not benzene else np.eye(30)
        p = ao_permutation(orbitals, benzene.numbers, order) if atoms is not benzene else np.arange(30)
        assert abs(found - t @ expected[np.ix_(p, p)] @ t.T).max() < 1e-9
    levels = np.linalg.eigvalsh(expected)
    assert (np.diff(levels) < 1e-9).sum() == 10
