"""Features of a tile of structures as rows of groups."""

import numpy as np
import pytest

from hamlearn.config import FeatureSettings
from hamlearn.features import Featurizer
from hamlearn.learning.feature_rows import FeatureRows
from hamlearn.learning.groups import Group
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.testing.exact_problems import small_molecules

STRUCTURES = small_molecules(4)
NUMBERS = [atoms.numbers for atoms in STRUCTURES]
ATOMS = tuple(Family("on_site", z, z) for z in (1, 8))
OF_SAMPLES = [Group((ATOMS[1],), 1, 1), Group((Family("cross", 1, 8),), 1, -1), Group((Family("plus", 8, 8),), 0, 1)]
OF_SUMS = [Group(ATOMS, 0, 1, is_sum=True), Group(ATOMS, 2, 1, is_sum=True)]


@pytest.fixture(scope="module")
def featurizer():
    return Featurizer(FeatureSettings(max_l=2, max_n=2)).fit(iter([Samples.of(STRUCTURES)]))


@pytest.fixture(scope="module")
def features(featurizer):
    return featurizer.features(Samples.of(STRUCTURES))


@pytest.mark.parametrize("group", OF_SAMPLES)
def test_rows_of_samples_are_their_features(featurizer, features, group):
    rows = FeatureRows(featurizer, STRUCTURES, {})
    x = features.terms(group.family, group.irrep).tensor().numpy()
    np.testing.assert_array_equal(rows.matrix(group), x.reshape(-1, x.shape[2]))
    assert rows.sizes(group) == [group.n_rows(z) for z in NUMBERS] and rows.n_features(group) == x.shape[2]


@pytest.mark.parametrize("group", OF_SUMS)
def test_rows_of_sums_add_up_samples(featurizer, features, group):
    """Atom by atom; each element has features of its own."""
    rows = FeatureRows(featurizer, STRUCTURES, {})
    blocks = []
    for family in group.families:
        x, owner = features.terms(family, group.irrep).tensor().numpy(), family.samples(NUMBERS)[:, 0]
        blocks.append([sum(x[k] for k in np.flatnonzero(owner == s)) for s in range(len(STRUCTURES))])
    expected = np.concatenate([np.array(block) for block in blocks], axis=2)
    np.testing.assert_allclose(rows.matrix(group), expected.reshape(-1, expected.shape[2]), atol=1e-13)
    assert rows.sizes(group) == [group.width] * len(STRUCTURES)


@pytest.mark.parametrize("group", OF_SAMPLES + OF_SUMS)
@pytest.mark.parametrize("some", [False, True])
def test_projections_are_products_with_weights(featurizer, group, some):
    """Of all features, or of the columns that are kept, in any order."""
    everything = FeatureRows(featurizer, STRUCTURES, {})
    n, rng = everything.n_features(group), np.random.default_rng(0)
    columns = rng.permutation(n)[: n // 2] if some else np.arange(n)
    rows = FeatureRows(featurizer, STRUCTURES, {group: columns} if some else {})
    np.testing.assert_array_equal(rows.matrix(group), everything.matrix(group)[:, columns])
    weights = rng.normal(size=(len(columns), 3))
    np.testing.assert_allclose(rows.project(group, weights), rows.matrix(group) @ weights, atol=1e-11)


def test_structures_without_samples_have_no_rows(featurizer):
    rows = FeatureRows(featurizer, STRUCTURES[:1], {})
    group = OF_SAMPLES[2]
    assert rows.sizes(group) == [0] and rows.matrix(group).shape == (0, rows.n_features(group))
    assert rows.project(group, np.ones((rows.n_features(group), 2))).shape == (0, 2)
