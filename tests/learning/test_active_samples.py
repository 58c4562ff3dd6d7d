"""Active sets of sparse kernel models."""

import numpy as np
import pytest
from noisy_waters import SMALL, SPARSE, N, fit, noisy_waters

from hamlearn.config import ModelSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel
from hamlearn.learning.active import choose_active
from hamlearn.learning.kernel_learner import KernelBlockModel
from hamlearn.regression.farthest import farthest_points
from hamlearn.structures.samples import Family


@pytest.fixture(scope="module")
def data(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


@pytest.fixture(scope="module")
def kernel(data):
    return BlockKernel(SMALL).fit(data[0])


def test_active_samples_are_those_asked_for(data, kernel, tmp_path, monkeypatch):
    centres = kernel.centres(data[0])
    chosen = choose_active(kernel, centres, {"O": 3, "H-O": 7})[0]
    counts = {name: chosen.count(Family(*name)) for name in (("on_site", 8, 8), ("cross", 1, 8), ("on_site", 1, 1))}
    assert list(counts.values()) == [3, 7, 2 * N]
    twice, rows = choose_active(kernel, centres, 5)
    again, _ = choose_active(kernel, centres, 5)
    assert twice.count(Family("plus", 1, 1)) == len(rows[Family("minus", 1, 1)]) == 5
    kept, _ = choose_active(kernel, centres, 5, folder=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("hamlearn.learning.active.results", lambda *a: [] if not a[2] else pytest.fail())
        found, _ = choose_active(kernel, centres, 5, folder=tmp_path)
    assert all(np.array_equal(x.direction, found.bonds[pair].direction) for pair, x in kept.bonds.items())
    direction = centres.bonds[1, 8].direction[rows[Family("cross", 1, 8)]]
    np.testing.assert_array_equal(twice.bonds[1, 8].direction, direction)
    np.testing.assert_array_equal(twice.bonds[1, 8].direction, again.bonds[1, 8].direction)


def test_active_samples_of_structures_are_those_of_the_same_structures(data, kernel):
    centres = kernel.centres(data[0])
    chosen, rows = choose_active(kernel, centres, {"O": 2, "H": 4, "H-O": 4, "H-H": 1}, "structures")
    owners = {family: centres.owners(family)[x] for family, x in rows.items()}
    two = set(owners[Family("on_site", 8, 8)].tolist())
    assert len(two) == 2
    for family in (Family("on_site", 1, 1), Family("cross", 1, 8)):
        assert sorted(owners[family].tolist()) == sorted([*two, *two])
    assert owners[Family("plus", 1, 1)][0] in two
    assert np.array_equal(rows[Family("plus", 1, 1)], rows[Family("minus", 1, 1)])
    assert chosen.count(Family("cross", 1, 8)) == 4


def test_farthest_active_samples_are_farthest(data, kernel, monkeypatch):
    """In the metric of the invariant kernel of low orders."""
    monkeypatch.setattr("hamlearn.learning.active.CANDIDATES", 2.0 * N)
    family = Family("cross", 1, 8)
    centres = kernel.centres(data[0])
    rows = choose_active(kernel, centres, {"H-O": 9})[1][family]
    low = BlockKernel(SMALL.model_copy(update={"max_nu_pair": 1, "max_nu_centre": 2})).fit(data[0])
    k = low.between(centres, centres, {family: [(0, 1)]})[family, (0, 1)][:, 0, :, 0]
    drawn = np.sort(np.random.default_rng(0).permutation(len(k)))
    assert rows.tolist() == sorted(drawn[farthest_points(k, 9, first=0)[0]])


def test_memory_is_looked_at_before_the_active_set_is_chosen(data, monkeypatch):
    monkeypatch.setattr("hamlearn.learning.kernel_learner.choose_active", lambda *a: pytest.fail("too late"))
    with pytest.raises(ConfigError, match="more than memory_gb"):
        fit(data, SPARSE.model_copy(update={"memory_gb": 1e-5}))


def test_choosing_structures_asks_for_an_active_set(data):
    model = KernelBlockModel(SMALL, ModelSettings(kind="wigner", active_by="structures"))
    with pytest.raises(ConfigError, match=r"an active set .* need structures that can be left out"):
        model.check(data[0][:1])


def test_a_refused_fit_leaves_the_model_as_it_was(data, waters):
    model = fit(data, SPARSE)
    before = model.predict(waters[N : N + 2])
    model.model = SPARSE.model_copy(update={"memory_gb": 1e-5})
    fewer = type(data[1])(data[1].samples, dict(list(data[1].values.items())[:1]))
    with pytest.raises(ConfigError, match="more than memory_gb"):
        model.fit(data[0], fewer)
    after = model.predict(waters[N : N + 2])
    for key, values in before.values.items():
        np.testing.assert_array_equal(after.values[key], values)
