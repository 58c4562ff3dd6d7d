"""Models of properties: what they learn, how it turns with the molecule, forces, and what is refused."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import FIXED, SMALL, labelled, model, molecules, target, values

from hamlearn.config import PropertyTarget, TargetSettings
from hamlearn.errors import ConfigError, DomainError, StructureError
from hamlearn.model.property import PropertyModel
from hamlearn.observables.properties import property_metrics
from hamlearn.structures import invert, random_rotation, rotate, translate
from hamlearn.targets.labels import read_labels
from hamlearn.testing import TOLERANCE, assert_equivariant

EQUIVARIANCE = TOLERANCE["float64"]["equivariance"]
TRAIN, NEW = labelled(molecules(24)), labelled(molecules(6, seed=90))


@pytest.fixture(scope="module")
def energies():
    """Models of the energy by basis; sparse and derivatives learned forces."""
    return {
        "full": model().fit(TRAIN[:10]),
        "sparse": model(forces=True, active=15).fit(TRAIN),
        "derivatives": model(forces=True, basis="derivatives").fit(TRAIN[:12]),
    }


# -- learning


def test_more_structures_and_forces_teach_more():
    labels = read_labels(NEW, target(forces=True))
    few, many = (model(kernel=SMALL).fit(TRAIN[:n]) for n in (8, 24))
    joint = model(forces=True, kernel=SMALL, active=30).fit(TRAIN)
    errors = [property_metrics(m.predict(NEW, forces=True), labels, m.target) for m in (few, many, joint)]
    assert errors[0]["value_rmse"] > 2 * errors[1]["value_rmse"] > 4 * errors[2]["value_rmse"]
    assert errors[1]["force_rmse"] > 3 * errors[2]["force_rmse"]
    assert errors[2]["value_rmse"] < 0.02 * errors[2]["value_spread"]


@pytest.mark.parametrize(("key", "l", "bound"), [("dipole", 1, 0.05), ("alpha", 2, 0.05), ("alpha", 0, 0.1)])
def test_vectors_and_tensors_are_learned(key, l, bound):
    fitted = model(key, l, kernel=SMALL, folds=4).fit(TRAIN)
    errors = property_metrics(fitted.predict(NEW), read_labels(NEW, fitted.target), fitted.target)
    assert errors["value_rmse"] < bound * errors["value_spread"]
    assert fitted.predict(NEW)[0].value.shape == (3,) * l


def test_a_pseudoscalar_changes_sign_in_the_mirror_and_vanishes_for_planar_molecules(hydrogen_peroxide):
    rng = np.random.default_rng(3)
    shapes = [hydrogen_peroxide.copy() for _ in range(30)]
    for atoms in shapes:
        atoms.positions += rng.normal(scale=0.2, size=(4, 3))
    fitted = model("handedness", 0, -1, kernel=FIXED.model_copy(update={"max_nu": 4})).fit(labelled(shapes[:25]))
    own, mirrored = values(fitted, shapes[25:]), values(fitted, [invert(a) for a in shapes[25:]])
    np.testing.assert_allclose(own, -mirrored, atol=EQUIVARIANCE * fitted.task_.scale)
    assert np.corrcoef(own, [a.info["handedness"] for a in labelled(shapes[25:])])[0, 1] > 0.8
    flat = hydrogen_peroxide.copy()
    flat.positions[:, 2] = 0.0
    assert abs(values(fitted, [flat])[0]) < EQUIVARIANCE * fitted.task_.scale


def test_equal_values_are_learned_as_they_are():
    structures = molecules(6)
    for atoms in structures:
        atoms.info["energy"] = 3.0
    for baseline in ("mean", "composition"):
        fitted = PropertyModel(PropertyTarget(key="energy", baseline=baseline), model(kernel=SMALL).model)
        np.testing.assert_allclose(values(fitted.fit(structures), NEW), 3.0)


@pytest.mark.filterwarnings("ignore:the cross-validated error")  # nor are they learned from so little
def test_radicals_have_energies():
    """An odd number of electrons is no obstacle where nothing is calculated."""
    radicals = [atoms[[0, 1]] for atoms in TRAIN]
    for atoms, whole in zip(radicals, TRAIN, strict=True):
        atoms.info["energy"] = whole.info["energy"]
    assert any(sum(atoms.numbers) % 2 for atoms in radicals)
    assert len(model().fit(radicals).predict(radicals)) == len(radicals)


# -- symmetry


@pytest.mark.parametrize(("key", "l"), [("energy", 0), ("dipole", 1), ("alpha", 2)])
@pytest.mark.parametrize("basis", ["full", "sparse"])
def test_values_turn_with_the_molecule(key, l, basis):
    fitted = model(key, l, basis=basis).fit(TRAIN[:12])
    assert_equivariant(fitted, NEW)
    moved = [translate(a, [3.0, -2.0, 1.0]) for a in NEW]
    np.testing.assert_allclose(values(fitted, moved), values(fitted, NEW), atol=1e-9 * fitted.task_.scale)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=5, deadline=None, derandomize=True)
def test_training_molecules_may_be_turned(seed, improper):
    rng = np.random.default_rng(seed)
    turned = labelled([rotate(a, random_rotation(rng, improper)) for a in TRAIN[:8]])
    plain, other = (model("dipole", 1).fit(some) for some in (TRAIN[:8], turned))
    np.testing.assert_allclose(values(plain, NEW[:2]), values(other, NEW[:2]), atol=1e-8 * plain.task_.scale)


@pytest.mark.parametrize("basis", ["sparse", "derivatives"])
def test_forces_turn_with_the_molecule(energies, basis):
    assert_equivariant(energies[basis], NEW, tolerance=1e-8)


# -- forces


@pytest.mark.parametrize("basis", ["full", "sparse", "derivatives"])
def test_forces_are_minus_the_gradient(energies, basis):
    fitted, h = energies[basis], 1e-4
    for atoms, predicted in zip(NEW[:2], fitted.predict(NEW[:2], forces=True), strict=True):
        moved = []
        for shift in (h, -h):
            for k in range(3 * len(atoms)):
                moved.append(atoms.copy())
                moved[-1].positions.flat[k] += shift
        up, down = np.split(values(fitted, moved), 2)
        np.testing.assert_allclose(predicted.forces.ravel(), -(up - down) / (2 * h), atol=1e-6)


@pytest.mark.parametrize("basis", ["sparse", "derivatives"])
def test_total_force_and_torque_vanish(energies, basis):
    for atoms, predicted in zip(NEW, energies[basis].predict(NEW, forces=True), strict=True):
        assert np.abs(predicted.forces.sum(axis=0)).max() < 1e-8
        assert np.abs(np.cross(atoms.positions, predicted.forces).sum(axis=0)).max() < 1e-8
        assert np.abs(predicted.forces).max() > 0.1


def test_forces_and_uncertainty_do_not_change_values(energies):
    for fitted in energies.values():
        both = fitted.predict(NEW, forces=True, std=True)
        np.testing.assert_allclose([p.value for p in both], values(fitted, NEW), rtol=1e-9)
        np.testing.assert_allclose([p.std for p in both], [p.std for p in fitted.predict(NEW, std=True)], rtol=1e-6)
        assert all(p.std > 0 for p in both)


# -- bad input


def test_what_does_not_fit_together_is_refused():
    soap = SMALL.model_copy(update={"kind": "soap"})
    refusals = [
        (lambda: model(forces=True, kernel=soap), "model.kernel.kind soap"),
        (lambda: model(forces=True, basis="full"), "model.basis full learns no forces"),
        (lambda: model(basis="derivatives"), "derivatives needs forces"),
        (lambda: model(basis="sparse", active={"H": 3, "Xy": 4}), "element 'Xy'"),
        (lambda: model(basis="sparse", active={"N": 3}).fit(TRAIN), "names N; the training set has H, C, O"),
        (lambda: model().fit(TRAIN[:1]), "give at least two training structures"),
        (lambda: model(kernel=soap).fit(TRAIN[:4]).predict(NEW, forces=True), "no derivatives"),
        (lambda: model("dipole", 1).fit(TRAIN[:4]).predict(NEW, forces=True), "forces belong to energies"),
        (
            lambda: PropertyModel(TargetSettings()),
            r"target is a SaphTarget, expected PropertyTarget\(.*; use Ham",
        ),
        (lambda: PropertyModel("e"), r"target is a str, expected PropertyTarget"),
    ]
    for call, words in refusals:
        with pytest.raises(ConfigError, match=words):
            call()


@pytest.mark.parametrize(
    ("key", "l", "sigma", "max_nu"), [("handedness", 0, -1, 2), ("dipole", 1, -1, 1), ("alpha", 2, 1, 2)]
)
def test_kernels_that_vanish_are_refused(key, l, sigma, max_nu):
    kernel = SMALL.model_copy(update={"max_nu": max_nu, "max_l": 1 if l == 2 else 2})
    with pytest.raises(ConfigError, match=r"max_nu|max_l"):
        model(key, l, sigma, kernel=kernel)


@pytest.mark.parametrize("basis", ["full", "sparse"])
def test_kernels_that_are_zero_by_symmetry_are_refused(basis):
    """Water is planar: nothing that is odd in the mirror."""
    waters = [a for a in TRAIN if len(a) == 3]
    with pytest.raises(ConfigError, match="l 0, sigma -1 vanish for all training structures"):
        model("handedness", 0, -1, kernel=SMALL, basis=basis).fit(waters)


def test_a_derivative_basis_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(ConfigError, match=r"derivatives of 24 structures .* needs .* GB, more than memory_gb = 0.001"):
        model(forces=True, basis="derivatives", memory_gb=0.001).fit(TRAIN)


def test_unknown_elements_are_refused_with_their_places():
    waters = model().fit([a for a in TRAIN if len(a) == 3][:4])
    foreign = [NEW[0], Atoms("SH2", [[0, 0, 0], [1, 0, 0], [0, 1, 0]])]
    for predict in (waters.predict, waters.predict_parts, lambda some: waters.predict(some, forces=True)):
        with pytest.raises(DomainError, match=r"structure 1 \(H2S\): element S not in the training set"):
            predict(foreign)


def test_unusable_geometries_and_labels_are_refused(energies):
    for call in (model().fit, energies["full"].predict, energies["full"].predict_parts):
        with pytest.raises(StructureError, match="no structures"):
            call([])
    with pytest.raises(StructureError, match="key 'dipol' is missing"):
        model("dipol", 1).fit(TRAIN)
