"""Sums of structures as data, and forces and virials as derivatives of what is predicted."""

import numpy as np
import pytest

import hamlearn
from hamlearn.config import FeatureSettings, KernelRidgeSettings, KernelSettings, PropertyTarget, RidgeSettings
from hamlearn.errors import ConfigError, StructureError

ENERGY = PropertyTarget(key="energy_ev")
KERNEL = KernelRidgeSettings(kernel=KernelSettings(max_l=2, max_channels=12, a=100.0, b=1.0, c0=1.0))
RIDGE = RidgeSettings(features=FeatureSettings(max_l=2, max_n=3))
STEP = 1e-4


@pytest.fixture(scope="module")
def waters():
    return hamlearn.read_structures("data/water_properties.extxyz")[:40]


def energies(structures):
    return np.array([atoms.info["energy_ev"] for atoms in structures])


def values(model, structures):
    return np.array([p.value for p in model.predict(structures)])


@pytest.fixture(scope="module", params=[KERNEL, RIDGE], ids=["kernel", "ridge"])
def model(request, waters):
    return hamlearn.PropertyModel(ENERGY, request.param).fit(waters[:25])


def moved(atoms, positions):
    other = atoms.copy()
    other.positions = positions
    return other


def test_forces_are_minus_the_derivative_of_the_energy(model, waters):
    atoms = waters[30]
    found = model.predict(atoms, forces=True)[0].forces
    for i, axis in np.ndindex(3, 3):
        shift = np.zeros((3, 3))
        shift[i, axis] = STEP
        up, down = values(model, [moved(atoms, atoms.positions + s * shift) for s in (1, -1)])
        assert found[i, axis] == pytest.approx(-(up - down) / (2 * STEP), abs=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), 0.0, atol=1e-9)


def test_virials_are_minus_the_derivative_with_respect_to_strain(model, waters):
    atoms = waters[31]
    found = model.predict(atoms, forces=True)[0].virial
    for a, b in np.ndindex(3, 3):
        strain = np.zeros((3, 3))
        strain[a, b] = STEP
        up, down = values(model, [moved(atoms, atoms.positions @ (np.eye(3) + s * strain).T) for s in (1, -1)])
        assert found[a, b] == pytest.approx(-(up - down) / (2 * STEP), abs=1e-5)
    np.testing.assert_allclose(found, found.T, atol=1e-9)
    assert model.predict(atoms)[0].virial is None


def test_forces_come_with_error_bars(model, waters):
    alone, both = model.predict(waters[30:33], std=True), model.predict(waters[30:33], forces=True, std=True)
    assert [p.std for p in both] == pytest.approx([p.std for p in alone], rel=1e-9)


def test_a_datum_for_every_structure_is_the_usual_fit(waters):
    train, test = waters[:25], waters[25:]
    usual = hamlearn.PropertyModel(ENERGY, KERNEL).fit(train)
    same = hamlearn.PropertyModel(ENERGY, KERNEL).fit(train, energies(train), functional=np.eye(25))
    for found, expected in zip(same.predict(test, std=True), usual.predict(test, std=True), strict=True):
        assert found.value == pytest.approx(expected.value, abs=1e-8)
        assert found.std == pytest.approx(expected.std, rel=1e-6)


def test_sums_of_structures_teach_differences(waters):
    """What every datum shares, here the energy of all, stays open; the rest is learned as from single energies."""
    train, test = waters[:25], waters[25:]
    differences = (np.eye(25) - np.eye(25, k=1))[:24]
    model = hamlearn.PropertyModel(ENERGY, KERNEL).fit(train, differences @ energies(train), functional=differences)
    error = values(model, test) - energies(test)
    assert error.std() < 0.5 * energies(test).std()


def test_sums_are_those_of_an_explicit_solution(waters):
    """x = A^T (A K A^T + 1)^-1 y for the kernel of the model."""
    rng = np.random.default_rng(0)
    train, test, weights = waters[:12], waters[25:30], rng.normal(size=(9, 12))
    target = PropertyTarget(key="energy_ev", baseline="none")
    y = weights @ rng.normal(size=12)
    model = hamlearn.PropertyModel(target, KERNEL).fit(train, y, functional=weights)
    kernel, mixture = model.learner_.kernel_, model.learner_.fit_.mixture
    own, new = kernel.environments(train), kernel.environments(test)
    gram, rows = np.tensordot(mixture, kernel.between(own, own), 1), np.tensordot(mixture, kernel.between(new, own), 1)
    scale = np.sqrt(np.mean(y**2))
    expected = rows @ weights.T @ np.linalg.solve(weights @ gram @ weights.T + np.eye(9), y / scale) * scale
    np.testing.assert_allclose(values(model, test), expected, rtol=1e-8)


def test_sums_of_vectors_follow_rotations(waters):
    from hamlearn.structures import random_rotation, rotate

    rng = np.random.default_rng(1)
    train, weights = waters[:12], rng.normal(size=(9, 12))
    dipoles = np.array([atoms.info["dipole_au"] for atoms in train])
    settings = KernelRidgeSettings(kernel=KERNEL.kernel.model_copy(update={"c0": 0.0}))
    target, rotation = PropertyTarget(key="dipole_au", l=1), random_rotation(rng, improper=True)
    model = hamlearn.PropertyModel(target, settings).fit(train, weights @ dipoles, functional=weights)
    turned = hamlearn.PropertyModel(target, settings).fit(
        [rotate(atoms, rotation) for atoms in train], weights @ dipoles @ rotation.T, functional=weights
    )
    np.testing.assert_allclose(values(turned, waters[30:32]), values(model, waters[30:32]), atol=1e-8)


def test_refusals(waters):
    train, y, weights = waters[:5], np.ones(2), np.ones((2, 5))
    with pytest.raises(ConfigError, match=r"functional has shape \[2, 4\]; .* \[2, 5\]"):
        hamlearn.PropertyModel(ENERGY, KERNEL).fit(train, y, functional=weights[:, 1:])
    with pytest.raises(ConfigError, match="a functional needs targets"):
        hamlearn.PropertyModel(ENERGY, KERNEL).fit(train, functional=weights)
    with pytest.raises(StructureError, match=r"the data have shape \[2, 2\]; expected 1 or 9 finite numbers"):
        hamlearn.PropertyModel(ENERGY, KERNEL).fit(train, np.ones((2, 2)), functional=weights)
    with pytest.raises(ConfigError, match=r"use model\.kind kernel"):
        hamlearn.PropertyModel(ENERGY, RIDGE).fit(train, y, functional=weights)
    with pytest.raises(ConfigError, match=r"set model\.basis: full"):
        sparse = KERNEL.model_copy(update={"basis": "sparse"})
        hamlearn.PropertyModel(ENERGY, sparse).fit(train, y, functional=weights)
