import numpy as np
import pytest
from ase import Atoms

from hamlearn import HamiltonianModel, select_structures
from hamlearn.config import FeatureSettings, ModelSettings, QMSettings, TargetSettings, WignerSettings
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning, StructureError
from hamlearn.model.coverage import Coverage
from hamlearn.model.selection import choose
from hamlearn.qm import run_scf
from hamlearn.regression.farthest import farthest_points
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.structures.samples import Family
from hamlearn.targets import build_target
from hamlearn.units import BOHR_ANGSTROM

QM = QMSettings(basis="sto-3g", conv_tol=1e-11)
SMALL = WignerSettings(max_l=2, max_nu_centre=3, max_nu_pair=1, cutoff_angstrom=3.0)
FEATURES = FeatureSettings(max_l=2, max_n=3)
N = 8
WAYS = ("uncertainty", "farthest", "both")


@pytest.fixture(scope="module")
def targets(waters):
    records = [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, QM, ("minao",)) for a in waters[:12]]
    return [build_target(record, TargetSettings()) for record in records]


def fitted(waters, targets, n=N, wigner=SMALL, **settings):
    model = HamiltonianModel(qm=QM, features=FEATURES, wigner=wigner, model=ModelSettings(**settings))
    return model.fit(waters[:n], targets[:n])


@pytest.fixture(scope="module")
def model(waters, targets):
    return fitted(waters, targets, kind="wigner", error_bars=True)


@pytest.fixture(scope="module")
def ridge(waters, targets):
    return fitted(waters, targets, 12, kind="ridge", error_bars=True)


@pytest.fixture(scope="module")
def stretched(waters):
    far = waters[30].copy()
    far.set_distance(0, 1, 1.3, fix=0)
    return far


@pytest.fixture(scope="module")
def outsiders(hydrogen_peroxide):
    ammonia = Atoms("NHHH", [[0, 0, 0.0], [0.94, 0, 0.38], [-0.47, 0.81, 0.38], [-0.47, -0.81, 0.38]])
    return [ammonia, hydrogen_peroxide]


def squared_distances(model, candidates, known):
    """Mean over atoms of the squared kernel distance to the nearest known atom, one pair of atoms at a time."""
    kernel, both = model.block_model_.kernel_, [*candidates, *known]
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


def test_distances_are_those_of_the_nearest_atoms(model, waters):
    candidates = waters[N : N + 4]
    coverage = Coverage(model.block_model_.kernel_, candidates)
    alone = coverage.distances()
    coverage.add_known(model.block_model_.active_)
    found = coverage.distances()
    np.testing.assert_allclose(found**2, squared_distances(model, candidates, waters[:N]), rtol=1e-9)
    assert (found < alone).all()
    coverage.add(2)
    expected = squared_distances(model, candidates, [*waters[:N], candidates[2]])
    np.testing.assert_allclose(coverage.distances() ** 2, expected, rtol=1e-9, atol=1e-13)


def test_molecules_of_one_atom_are_farthest_points(model):
    """With one environment a molecule, distances between molecules are those between atoms."""
    atoms = [Atoms("He2", [[0, 0, 0], [0, 0, r]]) for r in (0.8, 0.85, 1.0, 1.3, 1.9, 2.5)]
    kernel = type(model.block_model_.kernel_)(SMALL).fit(atoms)
    centres = kernel.centres(atoms)
    family = Family("on_site", 2, 2)
    k = kernel.between(centres, centres, {family: [(0, 1)]})[family, (0, 1)][::2, 0, ::2, 0]
    coverage, order = Coverage(kernel, atoms), [0]
    coverage.add_known(kernel.centres(atoms[:1]))
    while len(order) < len(atoms):
        order.append(int(coverage.distances().argmax()))
        coverage.add(order[-1])
    assert order == farthest_points(k, len(atoms), first=0)[0].tolist()


def test_known_structures_of_other_elements_are_far_from_all(model, waters, outsiders):
    """Those without an element of the candidates, and those with one the kernel has not seen."""
    candidates, family = waters[N : N + 3], Family("on_site", 1, 1)
    expected = choose(model, candidates, 3, "farthest")
    found = choose(model, candidates, 3, "farthest", known=[outsiders[0], Atoms("N2", [[0, 0, 0], [0, 0, 1.1]])])
    assert found.indices.tolist() == expected.indices.tolist()
    np.testing.assert_array_equal(found.distances, expected.distances)
    kernel = model.block_model_.kernel_
    hydrogen, oxygen = Atoms("H2", [[0, 0, 0], [0, 0, 0.7]]), Atoms("O", [[0, 0, 0]])
    coverage = Coverage(kernel, [hydrogen])
    before = coverage.distances()
    coverage.add_known(kernel.centres([oxygen]))
    assert coverage.distances() == before == pytest.approx(np.sqrt(coverage._own[family].mean()))


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
    short_sighted = fitted(waters, targets, wigner=near, kind="wigner", error_bars=True)
    (why,) = choose(short_sighted, [waters[N], bent], 1).outside.items()
    assert why[0] == 1 and why[1].startswith("H near H within 1.25 Å not in the training set (wigner.element_likeness")


def test_sparse_models_measure_from_their_active_atoms(waters, targets, stretched):
    sparse = fitted(waters, targets, 12, kind="wigner", basis="sparse", active=6, error_bars=True)
    assert choose(sparse, [*waters[12:18], stretched], 3).indices[0] == 6


def test_ridge_regression_selects_as_far_as_it_can(ridge, waters, stretched):
    candidates = [*waters[12:16], stretched]
    assert choose(ridge, candidates, 2, "uncertainty").indices[0] == 4
    for by in ("farthest", "both"):
        assert choose(ridge, candidates, 2, by, known=waters[:12]).indices[0] == 4
        with pytest.raises(ConfigError, match=r"does not remember.*--known"):
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
    plain = fitted(waters, targets, kind="wigner")
    for by in ("uncertainty", "both"):
        with pytest.raises(ConfigError, match=r"set model\.error_bars: true"):
            select_structures(plain, waters[N:12], 1, by=by)
    assert len(select_structures(plain, waters[N:12], 2, by="farthest")) == 2
