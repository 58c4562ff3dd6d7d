"""Which molecules are far from a training set: against brute force, under symmetry, in-domain and outside."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from hamlearn.learning.intervals import Intervals
from hamlearn.learning.novelty import Novelty
from hamlearn.learning.novelty_scales import differences, scales_of
from hamlearn.learning.surroundings import CUTOFF, AllPairs, Kind, kinds_of
from hamlearn.regression.folds import random_order
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.structures.samples import Samples

NAMES = ("CH3CH2OH", "CH3OH")
ELEMENTS = (1, 6, 8)


def distorted(name, rng, size=0.05):
    atoms = molecule(name)
    return Atoms(atoms.symbols, atoms.positions + size * rng.normal(size=atoms.positions.shape))


@pytest.fixture(scope="module")
def training():
    rng = np.random.default_rng(0)
    return [distorted(NAMES[k % 2], rng) for k in range(120)]


@pytest.fixture(scope="module")
def novelty(training):
    return Novelty.of(training, random_order(len(training)))


def with_bond(atoms, i, j, length):
    out, vector = atoms.copy(), atoms.positions[j] - atoms.positions[i]
    out.positions[j] = out.positions[i] + length * vector / np.linalg.norm(vector)
    return out


def test_lengths_against_loops(training):
    some = training[:3]
    lengths, kinds = AllPairs.of(Samples.of(some), ELEMENTS).lengths(), kinds_of(ELEMENTS)
    expected = []
    for structure, atoms in enumerate(some):
        z, d = atoms.numbers, atoms.get_all_distances()
        for i in range(len(atoms)):
            for j in range(i):
                expected.append((kinds.index(Kind("distance", *sorted((z[i], z[j])))), structure, d[i, j]))
            for a in ELEMENTS:
                others = [d[i, j] for j in range(len(atoms)) if j != i and z[j] == a]
                if others:
                    expected.append((kinds.index(Kind("nearest", z[i], a)), structure, min(others)))
    found = sorted(zip(lengths.kind.tolist(), lengths.owner.tolist(), lengths.values.tolist(), strict=True))
    np.testing.assert_allclose(found, sorted(expected), atol=1e-12)


def test_surroundings_of_two_neighbours_by_hand():
    """sum_m c_m c'_m of single neighbours is the addition theorem: R R' (2 l + 1) / (4 pi) P_l(cos)."""
    water = Atoms("OHH", [(0, 0, 0), (0.96, 0, 0), (-0.3, 1.1, 0)])
    x = AllPairs.of(Samples.of([water]), [1, 8]).environments()[0]
    r = np.linalg.norm(water.positions[1:], axis=1)
    cos = water.positions[1] @ water.positions[2] / r.prod()
    centres = np.linspace(0.8, 3.8, 5)
    radial = np.exp(-0.5 * ((r[:, None] - centres) / 0.6) ** 2) * (0.5 + 0.5 * np.cos(np.pi * r / CUTOFF))[:, None]
    legendre = [1, cos, (3 * cos**2 - 1) / 2, (5 * cos**3 - 3 * cos) / 2]
    for angular, p in enumerate(legendre):
        both = np.einsum("iq,ik,ij->qk", radial, radial, np.eye(2)) + p * (
            np.outer(radial[0], radial[1]) + np.outer(radial[1], radial[0])
        )
        # of 10 channels the first 5 are of hydrogen: rows of the upper triangle begin with them
        block = x.reshape(4, -1)[angular]
        rows, columns = np.triu_indices(10)
        ours = np.zeros((10, 10))
        ours[rows, columns] = block / np.where(rows == columns, 1, 2**0.5)
        expected = np.triu(both * (2 * angular + 1) ** 0.5 / (4 * np.pi))
        np.testing.assert_allclose(ours[:5, :5], expected, atol=1e-12)


def test_new_samples_of_the_training_distribution_are_inside(novelty):
    rng = np.random.default_rng(1)
    found = novelty.find([distorted(NAMES[k % 2], rng) for k in range(200)])
    assert sum(bool(own.flags) for own in found) <= 10
    assert all(own.excess == 0 for own in found if not own.flags)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (with_bond(molecule("CH3OH"), 1, 3, 2.0), r"H nearest to O at 2\.00 Å; training 0\.\d\d \.\.\. 1\.\d\d"),
        (with_bond(molecule("CH3OH"), 0, 1, 1.9), r"C nearest to O at 1\.90 Å; training 1\.\d\d \.\.\. 1\.\d\d"),
        (
            with_bond(molecule("CH3OH"), 0, 2, 1.6),
            r"(H-C distance|C nearest to H at) 1\.60 Å; training has none from 1\.\d\d to \d\.\d\d Å",
        ),
        (molecule("CH3CH2OCH3"), r"larger than any training molecule: 12 atoms, at most 9"),
        (molecule("CH3CHO"), r"surroundings of C unlike any: \d+\.\d times the largest distance of structures left"),
        (molecule("C2H2"), r"H nearest to H at 3\.35 Å; training 1\.\d\d \.\.\. 2\.\d\d"),
    ],
)
def test_molecules_outside_are_told_why(novelty, atoms, words):
    (found,) = novelty.find([atoms])
    assert found.flags and any(re.match(words, flag) for flag in found.flags), found.flags


def test_a_distance_is_told_once(novelty):
    """That of O and H is too long as a distance, for the nearest H of O, and for the nearest O of H."""
    (found,) = novelty.find([with_bond(molecule("CH3OH"), 1, 3, 2.0)])
    assert sum("2.00 Å" in flag for flag in found.flags) == 1


def test_the_farther_the_more(novelty):
    atoms = molecule("CH3OH")
    found = novelty.find([with_bond(atoms, 1, 3, r) for r in (0.97, 1.3, 1.6, 2.0)])
    excess = [own.excess for own in found]
    assert excess[0] == 0 and np.all(np.diff(excess) > 0)


def test_nothing_depends_on_frame_order_or_company(novelty):
    rng = np.random.default_rng(2)
    new = [with_bond(molecule("CH3OH"), 1, 3, 1.7), molecule("CH3CHO"), molecule("CH3CH2OCH3"), distorted("CH3OH", rng)]
    together = novelty.find(new)
    for atoms, known in zip(new, together, strict=True):
        moved = rotate(permute(atoms, rng.permutation(len(atoms))), random_rotation(rng, improper=True))
        moved.positions += rng.normal(size=3)
        (found,) = novelty.find([moved])
        assert found.flags == known.flags
        assert found.excess == pytest.approx(known.excess, rel=1e-6)


def test_state_is_all_there_is(novelty):
    again = Novelty.from_state(*novelty.state())
    new = [with_bond(molecule("CH3OH"), 1, 3, 1.7), molecule("CH3CHO"), molecule("CH3OH")]
    assert again.find(new) == novelty.find(new)


def test_one_structure_is_a_training_set():
    novelty = Novelty.of([molecule("H2O")], random_order(1))
    assert not novelty.find([molecule("H2O")])[0].flags


def test_pairs_that_never_occurred_are_named():
    novelty = Novelty.of([molecule("CO"), molecule("CH4")] * 10, random_order(20))
    (found,) = novelty.find([molecule("H2O")])
    assert "H nearest to O at 0.97 Å; no such pair in training" in found.flags


def test_intervals_against_all_lengths():
    rng = np.random.default_rng(3)
    values = [rng.uniform(1, 3, size=40), np.zeros(0), rng.uniform(0.5, 9, size=30)]
    intervals = Intervals.of(values, [0.0, 1.0, 0.0])
    asked = rng.uniform(0, 12, size=50)
    for kind in (0, 2):
        expected = np.abs(asked[:, None] - values[kind]).min(axis=1)
        np.testing.assert_allclose(intervals.distances(asked, np.full(50, kind)), expected, atol=1e-9)
    assert np.isinf(intervals.distances(asked, np.ones(50, dtype=int))).all()
    closed = Intervals.of([np.array([1.0, 1.1, 1.5])], [0.2])
    np.testing.assert_allclose(
        closed.distances(np.array([1.05, 1.3, 1.0, 2.0]), np.zeros(4, dtype=int)), [0, 0.2, 0, 0.5]
    )
    np.testing.assert_allclose(closed.around(0, 1.3), [1.0, 1.5, 1.1, 1.5])


def test_scales_against_loops():
    rng = np.random.default_rng(4)
    n, kinds = 40, [Kind("environment", 1), Kind("environment", 8)]
    rows = {
        kind: (size * rng.normal(size=(3 * n, 2)), np.repeat(np.arange(n), 3))
        for kind, size in zip(kinds, (1, 20), strict=True)
    }
    fold = np.arange(n) % 8
    found = scales_of(rows, fold, ["A"] * n)
    worst = {}
    for kind, (x, owner) in rows.items():
        d = np.linalg.norm(x[:, None] - x, axis=2)
        d[fold[owner][:, None] == fold[owner]] = np.inf
        worst[kind] = d.min(axis=1).reshape(n, 3).max(axis=1)
    units = {kind: np.sqrt(np.mean(w**2)) for kind, w in worst.items()}
    score = max((w / units[kind]).max() for kind, w in worst.items())  # of 40 all count
    for kind, (x, owner) in rows.items():
        assert found[kind].largest == pytest.approx(score * units[kind])
        assert found[kind].threshold == pytest.approx((1.25 + 5 / n) * score * units[kind])
        both = [differences(x[owner == k], x[owner == k + 1]).min(axis=1).max() for k in range(n - 1)]
        assert found[kind].typical == pytest.approx(np.sqrt(np.mean(np.square(both))))
