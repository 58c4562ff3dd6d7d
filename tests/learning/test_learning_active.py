"""Active sets of sparse learners of pairs."""

import numpy as np
import pytest
from ase import Atoms
from noisy_waters import SMALL, SPARSE, N, fit, noisy_waters

from hamlearn.errors import ConfigError
from hamlearn.job import SILENT, Job
from hamlearn.kernels import BlockKernel
from hamlearn.learning.active import (
    active_counts,
    check_active,
    choose_active,
    clipped_active,
    family_counts,
    sample_counts,
)
from hamlearn.regression.farthest import farthest_points
from hamlearn.structures.families import Family

O, H, HO, HH = Family("on_site", 8, 8), Family("on_site", 1, 1), Family("cross", 1, 8), Family("plus", 1, 1)
MINUS = Family("minus", 1, 1)


@pytest.fixture(scope="module")
def known(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


@pytest.fixture(scope="module")
def kernel(known):
    return BlockKernel(SMALL).fit(known.structures)


@pytest.fixture(scope="module")
def centres(known, kernel):
    return kernel.centres(known.structures)


def test_active_samples_are_those_asked_for(kernel, centres):
    chosen = choose_active(kernel, centres, {"O": 3, "H-O": 7})[0]
    assert [chosen.count(family) for family in (O, HO, H)] == [3, 7, 2 * N]
    named_otherwise = choose_active(kernel, centres, {"O": 3, "O-H": 7})[0]
    assert [named_otherwise.count(family) for family in (O, HO, H)] == [3, 7, 2 * N]
    twice, rows = choose_active(kernel, centres, 5)
    again, _ = choose_active(kernel, centres, 5)
    assert twice.count(HH) == len(rows[MINUS]) == 5
    np.testing.assert_array_equal(twice.bonds[1, 8].direction, centres.bonds[1, 8].direction[rows[HO]])
    np.testing.assert_array_equal(twice.bonds[1, 8].direction, again.bonds[1, 8].direction)


def test_a_choice_that_is_in_a_folder_is_not_made_again(kernel, centres, tmp_path, monkeypatch):
    kept, rows = choose_active(kernel, centres, 5, job=Job(scratch=tmp_path))
    assert rows[HO].tolist() == choose_active(kernel, centres, 5)[1][HO].tolist()
    with monkeypatch.context() as patched:
        patched.setattr("hamlearn.learning.active.results", lambda *a: [] if not a[2] else pytest.fail())
        found, _ = choose_active(kernel, centres, 5, job=Job(scratch=tmp_path))
    assert all(np.array_equal(x.direction, found.bonds[pair].direction) for pair, x in kept.bonds.items())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hamlearn.learning.active.results", lambda *a: [] if not a[2] else pytest.fail("other"))
        with pytest.raises(pytest.fail.Exception, match="other"):
            choose_active(kernel, centres, 6, job=Job(scratch=tmp_path))


def test_active_samples_of_structures_are_those_of_the_same_structures(kernel, centres):
    chosen, rows = choose_active(kernel, centres, {"O": 2, "H": 4, "H-O": 4, "H-H": 1}, "structures")
    owners = {family: centres.owners(family)[x] for family, x in rows.items()}
    two = set(owners[O].tolist())
    assert len(two) == 2
    for family in (H, HO):
        assert sorted(owners[family].tolist()) == sorted([*two, *two])
    assert owners[HH][0] in two
    assert np.array_equal(rows[HH], rows[MINUS])
    assert chosen.count(HO) == 4


@pytest.mark.parametrize("candidates", [2.0, 2.0 * N])
def test_farthest_active_samples_are_farthest(known, kernel, centres, candidates, monkeypatch):
    """In the metric of the invariant kernel of low orders, among the candidates drawn, so many for each."""
    monkeypatch.setattr("hamlearn.learning.active.CANDIDATES", candidates)
    rows = choose_active(kernel, centres, {"H-O": 9})[1][HO]
    low = BlockKernel(SMALL.model_copy(update={"max_nu_pair": 1, "max_nu_centre": 2})).fit(known.structures)
    k = low.between(centres, centres, {HO: [(0, 1)]})[HO, (0, 1)][:, 0, :, 0]
    drawn = np.sort(np.random.default_rng(0).permutation(len(k))[: int(candidates * 9)])
    own = k[np.ix_(drawn, drawn)]
    assert rows.tolist() == sorted(drawn[farthest_points(lambda column: own[:, column], own.diagonal(), 9)])


@pytest.mark.parametrize("family", [HO, O, H])
def test_active_samples_are_farther_from_each_other_than_random_ones(waters, family):
    """With as many candidates as there are by default."""
    kernel, k = BlockKernel(SMALL).fit(waters), 10
    centres = kernel.centres(waters)
    low = BlockKernel(SMALL.model_copy(update={"max_nu_pair": 1, "max_nu_centre": 2})).fit(waters)
    matrix = low.between(centres, centres, {family: [(0, 1)]})[family, (0, 1)][:, 0, :, 0]
    squared = matrix.diagonal()[:, None] + matrix.diagonal() - 2 * matrix

    def nearest(rows):
        return squared[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)].min()

    random = [nearest(np.random.default_rng(seed).permutation(len(matrix))[:k]) for seed in range(30)]
    assert nearest(choose_active(kernel, centres, k)[1][family]) > np.quantile(random, 0.9)


def test_samples_are_counted_by_name(hydrogen_peroxide, water):
    structures = [hydrogen_peroxide, water, Atoms("O")]
    assert sample_counts(structures) == {"H": 4, "O": 4, "H-H": 2, "O-O": 1, "H-O": 6}
    counts = family_counts(structures)
    assert counts[HH] == counts[MINUS] == 2 and counts[HO] == 6
    assert active_counts(counts, {"O-H": 4, "H": 9}) == counts | {HO: 4}
    assert active_counts(counts, 3) == {family: min(n, 3) for family, n in counts.items()}
    assert active_counts(counts, None) == counts
    assert family_counts(structures, pairs=False) == {H: 4, O: 4}
    assert sample_counts(structures, pairs=False) == {"H": 4, "O": 4}


@pytest.mark.parametrize(
    ("most", "pairs", "words"),
    [
        ({"C": 1, "O": 1}, True, "model.active names C; the training set has H, O, H-H, H-O"),
        ({"O-H": 1}, False, "model.active names O-H; the training set has H, O$"),
        ({"O": 3}, False, "model.active asks for 3 samples of O, the training set has 2; lower it"),
        ({"O-H": 5}, True, "model.active asks for 5 samples of O-H, the training set has 4; lower it"),
        (5, False, r"model.active is 5, but the training set has at most 4 samples of a kind \(H\); lower it"),
    ],
)
def test_what_a_training_set_does_not_hold_is_refused(water, most, pairs, words):
    with pytest.raises(ConfigError, match=words):
        check_active(most, [water, water], pairs)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("most", [None, 4, {"O": 2}, {"H": 4, "O": 1}])
def test_active_sets_that_a_training_set_holds_are_accepted(water, most, pairs):
    """All of those not named, and of those of which there are fewer."""
    check_active(most, [water, water], pairs)


def test_fewer_structures_have_fewer_active(water):
    """As the points of a learning curve need."""
    assert clipped_active(None, [water]) is None
    assert clipped_active(500, [water]) == 2
    assert clipped_active({"O": 5, "O-H": 1, "C": 3}, [water]) == {"O": 1, "O-H": 1}
    assert clipped_active({"O": 5, "H": 1}, [water], pairs=False) == {"O": 1, "H": 1}


def test_memory_is_looked_at_before_the_active_set_is_chosen(known, monkeypatch):
    monkeypatch.setattr("hamlearn.learning.pair_kernels.choose_active", lambda *a: pytest.fail("too late"))
    with pytest.raises(ConfigError, match="more than memory_gb"):
        fit(known, SPARSE.model_copy(update={"memory_gb": 1e-5}))


def test_the_size_of_the_active_set_is_told(known):
    told = []
    fit(known, SPARSE, Job(echo=told.append, label="waters"))
    assert "waters, active set: H 16, O 10, H-H 10, H-O 16" in told


def test_no_active_set_is_chosen_of_nothing(kernel, centres):
    """All samples of a family of which there are fewer."""
    rows = choose_active(kernel, centres, 10**6, job=SILENT)[1]
    assert all(np.array_equal(x, np.arange(centres.count(family))) for family, x in rows.items())
