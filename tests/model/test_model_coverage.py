"""Distances of the atoms of candidates from known atoms, against plain loops."""

import numpy as np
import pytest
from ase import Atoms
from water_models import WIGNER

from hamlearn.kernels import BlockKernel
from hamlearn.model.coverage import Coverage
from hamlearn.regression.farthest import farthest_points
from hamlearn.structures.families import Family

N = 18
"""Waters the model of the fixture knows."""


def squared_distances(learner, candidates, known):
    """Mean over atoms of the squared kernel distance to the nearest known atom, one pair of atoms at a time."""
    kernel, both = learner.kernel_, [*candidates, *known]
    centres = kernel.centres(both)
    wanted = {Family("on_site", z, z): [(0, 1)] for z in (1, 8)}
    k = {f.species_i: x[:, 0, :, 0] for (f, _), x in kernel.between(centres, centres, wanted).items()}
    first = {1: 2, 8: 1}  # atoms per water
    out = []
    for a in range(len(candidates)):
        nearest = []
        for z, count in first.items():
            for i in range(a * count, (a + 1) * count):
                others = range(len(candidates) * count, len(both) * count)
                nearest.append(min(k[z][i, i] + k[z][j, j] - 2 * k[z][i, j] for j in others))
        out.append(np.mean(nearest))
    return out


def test_distances_are_those_of_the_nearest_atoms(saph, waters):
    learner = saph["full"].learner_
    candidates = waters[N : N + 4]
    coverage = Coverage(learner.kernel_, candidates)
    alone = coverage.distances()
    coverage.add_known(learner.active_)
    found = coverage.distances()
    np.testing.assert_allclose(found**2, squared_distances(learner, candidates, waters[:N]), rtol=1e-9)
    assert (found < alone).all()
    coverage.add(2)
    expected = squared_distances(learner, candidates, [*waters[:N], candidates[2]])
    np.testing.assert_allclose(coverage.distances() ** 2, expected, rtol=1e-9, atol=1e-13)


def test_molecules_of_one_atom_are_farthest_points():
    """With one environment a molecule, distances between molecules are those between atoms."""
    atoms = [Atoms("He2", [[0, 0, 0], [0, 0, r]]) for r in (0.8, 0.85, 1.0, 1.3, 1.9, 2.5)]
    kernel = BlockKernel(WIGNER).fit(atoms)
    centres = kernel.centres(atoms)
    family = Family("on_site", 2, 2)
    k = kernel.between(centres, centres, {family: [(0, 1)]})[family, (0, 1)][::2, 0, ::2, 0]
    coverage, order = Coverage(kernel, atoms), [0]
    coverage.add_known(kernel.centres(atoms[:1]))
    while len(order) < len(atoms):
        order.append(int(coverage.distances().argmax()))
        coverage.add(order[-1])
    assert order == farthest_points(lambda index: k[:, index], k.diagonal(), len(atoms)).tolist()


def test_atoms_of_other_elements_are_no_nearer(saph):
    """Before anything is known, an atom is as far as its own kernel says."""
    kernel, family = saph["full"].learner_.kernel_, Family("on_site", 1, 1)
    hydrogen, oxygen = Atoms("H2", [[0, 0, 0], [0, 0, 0.7]]), Atoms("O", [[0, 0, 0]])
    coverage = Coverage(kernel, [hydrogen])
    before = coverage.distances()
    coverage.add_known(kernel.centres([oxygen]))
    assert coverage.distances() == before == pytest.approx(np.sqrt(coverage._own[family].mean()))
