"""What lies inside a training set."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import DensitySettings, KernelRidgeSettings, KernelSettings, RidgeSettings, WignerSettings
from hamlearn.errors import DomainError, HamlearnWarning
from hamlearn.learning.domain import Domain, families_of, warn_of_far_pairs
from hamlearn.learning.registry import new_learner
from hamlearn.structures.families import Family
from hamlearn.testing.exact_problems import through_yaml

CLOSE = Atoms("OHH", [[0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
APART = Atoms("OHH", [[0, 0, 0], [0, 0, 6.0], [0, 6.0, 0]])
SETTINGS = DensitySettings(cutoff_angstrom=3.0, max_channels=None)


def test_families_of_some_structures():
    found = families_of([CLOSE, Atoms("C"), Atoms("OCl")])
    expected = {Family("on_site", z, z) for z in (1, 6, 8, 17)}
    assert found == expected | {Family("plus", 1, 1), Family("cross", 1, 8), Family("cross", 8, 17)}


def test_neighbours_are_those_within_the_cutoff():
    """Of O and H by their side, and of H and H across the corner."""
    around = {(1, 8), (8, 1)}
    for cutoff, atoms, expected in ((1.2, CLOSE, around), (1.5, CLOSE, around | {(1, 1)}), (3.0, APART, set())):
        domain = Domain.of([atoms], DensitySettings(cutoff_angstrom=cutoff))
        assert (domain.cutoff, domain.neighbours) == (cutoff, expected)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms("OHF", CLOSE.positions), "element F not in the training set"),
        (Atoms("OO", [[0, 0, 0], [0, 0, 5.0]]), "pair O-O not in the training set"),
        (CLOSE, ""),
        (APART, ""),
    ],
)
def test_what_is_lacking_is_said(atoms, words):
    assert Domain.of([CLOSE], SETTINGS).lacks(atoms) == words


def test_structures_are_looked_at_together_but_stay_apart():
    domain = Domain.of([CLOSE], SETTINGS)
    assert domain.lacks(CLOSE, APART) == domain.lacks(Atoms("H"), Atoms("O")) == domain.lacks() == ""
    assert domain.lacks(CLOSE, Atoms("OHF", CLOSE.positions), Atoms("N")) == "element N, F not in the training set"


def test_pairs_do_not_matter_where_atoms_alone_are_learned():
    domain = Domain.of([CLOSE], SETTINGS, pairs=False)
    assert {family.kind for family in domain.families} == {"on_site"} and domain.elements == [1, 8]
    assert domain.lacks(Atoms("OO", [[0, 0, 0], [0, 0, 5.0]])) == ""
    near = Atoms("OO", [[0, 0, 0], [0, 0, 1.2]])
    assert domain.lacks(near) == "O near O within 3 Å not in the training set"
    assert Domain.of([APART], SETTINGS).lacks(CLOSE).startswith("H near H, O near H, H near O within 3 Å")


def test_alike_elements_stand_for_each_other():
    alike = Domain.of([CLOSE], SETTINGS.model_copy(update={"element_likeness": 1.0}), pairs=False)
    near = Atoms("OO", [[0, 0, 0], [0, 0, 1.2]])
    assert alike.neighbours is None and alike.lacks(near) == ""
    channels = Domain.of([CLOSE], SETTINGS.model_copy(update={"max_channels": 8}), pairs=False)
    assert channels.lacks(near).endswith("not in the training set (element_likeness lets them be like others)")


def test_every_structure_outside_is_named():
    """At most twenty of them."""
    domain, strange = Domain.of([CLOSE], SETTINGS), Atoms("OHF", CLOSE.positions)
    domain.check([CLOSE, APART])
    with pytest.raises(DomainError, match=r"trained on elements \['H', 'O'\](.|\n)*structure 1 \(HFO\): element F"):
        domain.check([CLOSE, strange])
    with pytest.raises(DomainError, match=r"structure 70 \("):
        domain.check([CLOSE, strange], [3, 70])
    with pytest.raises(DomainError, match=r"structure 19 (.|\n)*\.\.\. 5 more$"):
        domain.check([strange] * 25)


@pytest.mark.parametrize("domain", [Domain.of([CLOSE], SETTINGS), Domain.of([CLOSE], None)])
def test_a_domain_is_the_same_after_a_file(domain):
    assert Domain.from_state(through_yaml(domain.state())) == domain


@pytest.mark.parametrize("kernel", [WignerSettings, KernelSettings])
def test_a_grid_leaves_open_what_atoms_see(kernel):
    """A domain for each cut-off, and one for alike elements."""
    grid = {"cutoff_angstrom": (1.2, 3.0), "element_likeness": (None, 1.0, 2.0)}
    learner = new_learner(KernelRidgeSettings(kernel=kernel(grid=grid)))
    domains = learner.domains([CLOSE])
    assert [(d.cutoff, d.neighbours is None) for d in domains] == [(1.2, False), (0.0, True), (3.0, False), (0.0, True)]
    (only,) = new_learner(RidgeSettings()).domains([CLOSE], pairs=False)
    assert only == Domain.of([CLOSE], RidgeSettings().features, pairs=False)


def test_pairs_beyond_the_cutoff_are_warned_of():
    far = Atoms("HH", [[0, 0, 0], [0, 0, 8.0]])
    with pytest.warns(HamlearnWarning, match=r"pair_cutoff_angstrom = 8.0 in 1 structure \(first: \[1\]\)"):
        warn_of_far_pairs([CLOSE, far], 8.0)
    with pytest.warns(HamlearnWarning, match=r"in 2 structures \(first in the file: \[4, 7\]\)"):
        warn_of_far_pairs([far, CLOSE, far], 8.0, [7, 5, 4])
    warn_of_far_pairs([CLOSE, APART, Atoms("H")], 8.5)
    assert np.linalg.norm(APART.positions[1] - APART.positions[2]) < 8.5
