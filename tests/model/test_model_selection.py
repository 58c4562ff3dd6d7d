"""Which molecules to compute next."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from properties import labelled, molecules
from properties import model as property_model
from water_models import QM, targets_of

from hamlearn import HamiltonianModel, select_structures
from hamlearn.config import FeatureSettings, KernelRidgeSettings, RidgeSettings, WignerSettings
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning, StructureError
from hamlearn.model.coverage import Coverage
from hamlearn.model.selection import choose
from hamlearn.structures import permute, random_rotation, rotate

SMALL = WignerSettings(max_l=2, max_nu_centre=3, max_nu_pair=1, cutoff_angstrom=3.0)
RIDGE = RidgeSettings(features=FeatureSettings(max_l=2, max_n=3), error_bars=True)
N = 8
WAYS = ("uncertainty", "farthest", "both")


@pytest.fixture(scope="module")
def targets(records):
    return targets_of("saph", records[:12])


def fitted(waters, targets, n=N, kernel=SMALL, **settings):
    settings = KernelRidgeSettings(kernel=kernel, **{"error_bars": True, **settings})
    return HamiltonianModel(QM, model=settings).fit(waters[:n], targets[:n])


@pytest.fixture(scope="module")
def model(waters, targets):
    return fitted(waters, targets)


@pytest.fixture(scope="module")
def ridge(waters, targets):
    return HamiltonianModel(QM, model=RIDGE).fit(waters[:12], targets)


@pytest.fixture(scope="module")
def stretched(waters):
    far = waters[30].copy()
    far.set_distance(0, 1, 1.3, fix=0)
    return far


@pytest.fixture(scope="module")
def outsiders(hydrogen_peroxide):
    ammonia = Atoms("NHHH", [[0, 0, 0.0], [0.94, 0, 0.38], [-0.47, 0.81, 0.38], [-0.47, -0.81, 0.38]])
    return [ammonia, hydrogen_peroxide]


def test_known_structures_of_other_elements_are_far_from_all(model, waters, outsiders):
    """Those without an element of the candidates, and those with one the kernel has not seen."""
    candidates = waters[N : N + 3]
    expected = choose(model, candidates, 3, "farthest")
    found = choose(model, candidates, 3, "farthest", known=[outsiders[0], Atoms("N2", [[0, 0, 0], [0, 0, 1.1]])])
    assert found.indices.tolist() == expected.indices.tolist()
    np.testing.assert_array_equal(found.distances, expected.distances)


@pytest.mark.parametrize("by", WAYS)
def test_what_is_new_comes_first_and_copies_never(model, waters, stretched, by):
    rng = np.random.default_rng(0)
    new = [*waters[N : N + 4], stretched]
    copies = [permute(rotate(a, random_rotation(rng, improper=True)), [0, 2, 1]) for a in [*new, *waters[:3]]]
    found = choose(model, [*new, *copies], 4, by)
    assert found.indices[0] % 5 == 4
    assert len(set(found.indices % 5)) == 4 and found.indices.max() < 10
    assert (np.diff(found.distances) < 0).all() or by != "farthest"
    with pytest.warns(HamlearnWarning, match="5 of 8 candidates were chosen"):
        assert set(select_structures(model, [*new, *copies], 8, by=by) % 5) == set(range(5))
    with pytest.raises(ConfigError, match="copies of known structures"):
        choose(model, copies[5:], 1, by)
    with pytest.raises(ConfigError, match="copies of known structures"):
        choose(model, copies[:5], 1, by, known=new)


@pytest.mark.parametrize("of", ["gap", "levels"])
def test_error_bars_decide(model, waters, of):
    candidates = waters[N:16]
    predictions = model.predict(candidates, std=True)
    stds = [p.gap_std_ev if of == "gap" else np.sqrt(np.mean(p.eigenvalues_std_ev**2)) for p in predictions]
    found = choose(model, candidates, 6, "uncertainty", of)
    assert found.indices[0] == np.argmax(stds)
    np.testing.assert_allclose(found.stds_ev, np.array(stds)[found.indices], rtol=1e-6)
    both, farthest = (choose(model, candidates, 6, by, of) for by in ("both", "farthest"))
    assert np.isnan(farthest.stds_ev).all()
    assert both.stds_ev[0] * both.distances[0] >= stds[farthest.indices[0]] * farthest.distances[0]


def test_each_way_weighs_error_bars_and_distances_as_it_says(model, waters):
    """s D / D_0, D, or s D, one candidate after the other; the three choose differently here."""
    candidates, orders = waters[N:20], {}
    stds = np.array([np.sqrt(np.mean(p.eigenvalues_std_ev**2)) for p in model.predict(candidates, std="levels")])
    for by in WAYS:
        coverage, chosen = Coverage(model.learner_.kernel_, candidates), []
        coverage.add_known(model.learner_.active_)
        weights = {"uncertainty": stds / coverage.distances(), "farthest": np.ones_like(stds), "both": stds}[by]
        while len(chosen) < 5:
            scores = weights * coverage.distances()
            scores[chosen] = 0.0
            second, best = np.argsort(scores)[-2:].tolist()
            assert scores[second] < 0.9999 * scores[best]  # no tie
            chosen.append(best)
            coverage.add(best)
        assert select_structures(model, candidates, 5, by, "levels").tolist() == chosen
        orders[by] = tuple(chosen)
    assert len(set(orders.values())) == 3


@pytest.mark.parametrize("by", WAYS)
def test_turned_candidates_give_the_same_choice(model, waters, by):
    rng = np.random.default_rng(1)
    candidates = waters[N:16]
    turned = [permute(rotate(a, random_rotation(rng, improper=True)), [2, 0, 1]) for a in candidates]
    before, after = (select_structures(model, x, 5, by=by) for x in (candidates, turned))
    assert (before == after).all() and len(set(before)) == 5


def test_candidates_outside_the_domain_are_reported(model, waters, stretched, outsiders):
    candidates = [outsiders[0], waters[N], outsiders[1], stretched]
    found = choose(model, candidates, 2)
    assert found.indices.tolist() == [3, 1]
    assert found.outside == {0: "element N not in the training set", 2: "pair O-O not in the training set"}
    with pytest.warns(HamlearnWarning, match="2 candidates are outside.*0: element N"):
        assert select_structures(model, candidates, 1).tolist() == [3]
    with pytest.raises(DomainError, match=r"(?s)2 of 4 lie inside.*structure 2: pair O-O"):
        choose(model, candidates, 3)


def test_neighbours_never_seen_are_outside(waters, targets):
    near = WignerSettings(max_l=2, max_nu_pair=1, cutoff_angstrom=1.25, cutoff_width_angstrom=0.2)
    bent = Atoms("OHH", [[0, 0, 0.0], [0.55, 0, 0.75], [-0.55, 0, 0.75]])
    short_sighted = fitted(waters, targets, kernel=near)
    (why,) = choose(short_sighted, [waters[N], bent], 1).outside.items()
    assert why[0] == 1 and why[1].startswith("H near H within 1.25 Å not in the training set (element_likeness")


def test_sparse_models_measure_from_their_active_atoms(waters, targets, stretched):
    sparse = fitted(waters, targets, 12, basis="sparse", active=6)
    assert choose(sparse, [*waters[12:18], stretched], 3).indices[0] == 6


def test_ridge_regression_selects_as_far_as_it_can(ridge, waters, stretched):
    candidates = [*waters[12:16], stretched]
    assert choose(ridge, candidates, 2, "uncertainty").indices[0] == 4
    for by in ("farthest", "both"):
        assert choose(ridge, candidates, 2, by, known=waters[:12]).indices[0] == 4
        with pytest.raises(ConfigError, match=r"which model\.kind ridge does not remember.*--known"):
            choose(ridge, candidates, 2, by)


def test_refusals(model, waters, targets):
    for n in (0, 4):
        with pytest.raises(ConfigError, match=f"n is {n}, and there are 3 candidates"):
            select_structures(model, waters[:3], n)
    with pytest.raises(ConfigError, match="expected uncertainty, farthest, both"):
        select_structures(model, waters[:3], 1, by="random")
    with pytest.raises(ConfigError, match="expected gap, levels"):
        select_structures(model, waters[:3], 1, of="energy")
    with pytest.raises(ConfigError, match="expected a model of Hamiltonians"):
        select_structures("model", waters[:3], 1)
    with pytest.raises(StructureError, match="odd number"):
        select_structures(model, [waters[N], Atoms("OH", [[0, 0, 0], [0, 0, 1]])], 1)
    with pytest.raises(ConfigError, match="select got a PropertyModel; expected a model of Hamiltonians"):
        select_structures(property_model().fit(labelled(molecules(4))), waters[:3], 1)
    with pytest.raises(ConfigError, match="this HamiltonianModel was not fitted"):
        select_structures(HamiltonianModel(QM), waters[:3], 1)
    plain = fitted(waters, targets, error_bars=None)
    for by in ("uncertainty", "both"):
        with pytest.raises(ConfigError, match=r"set model\.error_bars: true"):
            select_structures(plain, waters[N:12], 1, by=by)
    assert len(select_structures(plain, waters[N:12], 2, by="farthest")) == 2


def test_candidates_and_known_structures_come_in_any_form(model, waters, stretched, tmp_path):
    candidates = [*waters[N : N + 3], stretched]
    expected = select_structures(model, candidates, 2, by="farthest", known=waters[20])
    ase.io.write(tmp_path / "candidates.extxyz", candidates)
    ase.io.write(tmp_path / "known.extxyz", waters[20])
    found = select_structures(
        model, tmp_path / "candidates.extxyz", 2, by="farthest", known=str(tmp_path / "known.extxyz")
    )
    assert expected[0] == 3 and found.tolist() == expected.tolist()
    assert select_structures(model, stretched, 1).tolist() == [0]
