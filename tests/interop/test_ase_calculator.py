"""A learned energy as an ASE calculator."""

import copy
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import units
from ase.calculators.fd import calculate_numerical_forces
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from hamlearn import HamlearnCalculator
from hamlearn.config import FeatureSettings, KernelRidgeSettings, KernelSettings, PropertyTarget, RidgeSettings
from hamlearn.errors import ArtifactError, ConfigError, StructureError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.property import PropertyModel
from hamlearn.structures import read_structures

WATERS = read_structures(Path(__file__).parents[2] / "data" / "water_properties.extxyz")
KERNEL = KernelSettings(
    max_nu=3, max_l=2, cutoff_angstrom=4, smearing_angstrom=0.4, smearing_growth_angstrom=None, max_channels=10, b=1.0
)
ENERGY = PropertyTarget(key="energy_ev", unit="eV")


def energy_model(unit="eV", key="energy_ev", l=0, kernel=KERNEL):
    forces = "forces_ev_angstrom" if key == "energy_ev" else None
    active = 20 if key == "energy_ev" else None
    target = PropertyTarget(key=key, l=l, unit=unit, forces_key=forces)
    return PropertyModel(target, KernelRidgeSettings(kernel=kernel, active=active))


@pytest.fixture(scope="module")
def fitted():
    return energy_model().fit(WATERS[:80])


def thermal(fitted, kelvin=300):
    atoms = WATERS[100].copy()
    atoms.calc = HamlearnCalculator(fitted)
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=100)
    masses = atoms.get_masses()[:, None]
    velocities = np.random.default_rng(0).normal(size=(3, 3)) * np.sqrt(2 * kelvin * units.kB / masses)
    atoms.set_velocities(velocities - (masses * velocities).sum(axis=0) / masses.sum())
    return atoms


def total_energies(atoms, steps, femtoseconds=0.5):
    out = []
    dynamics = VelocityVerlet(atoms, timestep=femtoseconds * units.fs)
    dynamics.attach(lambda: out.append(atoms.get_total_energy()))
    dynamics.run(steps)
    return np.array(out)


def test_energy_and_forces_are_those_of_the_model(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    atoms = WATERS[90].copy()
    (expected,) = fitted.predict([atoms], forces=True)
    for calculator in (HamlearnCalculator(fitted), HamlearnCalculator(tmp_path / "model")):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(expected.value, rel=1e-14)
        np.testing.assert_allclose(atoms.get_forces(), expected.forces, atol=1e-10)
    np.testing.assert_allclose(expected.forces, WATERS[90].arrays["forces_ev_angstrom"], atol=0.5)


def test_numerical_forces_agree():
    """Also those of a model that has seen energies alone; its hyperparameters leave little to rounding."""
    kernels = KernelRidgeSettings(kernel=KERNEL.model_copy(update={"a": 1e5, "c0": 10.0}))
    for settings in (kernels, RidgeSettings(features=FeatureSettings(max_l=3, max_n=3))):
        atoms = WATERS[91].copy()
        atoms.calc = HamlearnCalculator(PropertyModel(ENERGY, settings).fit(WATERS[:40]))
        np.testing.assert_allclose(calculate_numerical_forces(atoms, eps=1e-4), atoms.get_forces(), atol=1e-6)


def test_units_are_converted(fitted):
    other = copy.deepcopy(fitted)
    other.target = other.target.model_copy(update={"unit": "kcal/mol"})  # the same numbers, called otherwise
    atoms = WATERS[92].copy()
    results = []
    for some in (fitted, other):
        atoms.calc = HamlearnCalculator(some)
        results.append((atoms.get_potential_energy(), atoms.get_forces()))
    factor = units.kcal / units.mol
    assert results[1][0] == pytest.approx(factor * results[0][0], rel=1e-12)
    np.testing.assert_allclose(results[1][1], factor * results[0][1], rtol=1e-6, atol=1e-6)


def test_dynamics_conserve_energy_and_momentum(fitted):
    """50 fs; the fluctuation is that of the integrator, of second order in the time step."""
    coarse, fine = (np.ptp(total_energies(thermal(fitted), int(50 / dt), dt)) for dt in (1.0, 0.5))
    assert fine < 0.01 and fine < coarse / 3
    atoms = thermal(fitted)
    total_energies(atoms, 20)
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-8


@pytest.mark.slow
def test_one_picosecond_has_no_drift(fitted):
    energies = total_energies(thermal(fitted), 2000)
    drift = np.polyfit(np.linspace(0, 1, len(energies)), energies, 1)[0]
    assert abs(drift) < 1e-4, f"{drift} eV/ps"
    assert np.ptp(energies) < 0.01


def test_a_molecule_may_lie_in_a_file(fitted, tmp_path):
    calculator = HamlearnCalculator(fitted)
    calculator.calculate(WATERS[50])
    expected = calculator.results["energy"]
    ase.io.write(tmp_path / "water.xyz", WATERS[50])
    for given in (tmp_path / "water.xyz", [WATERS[50]]):
        calculator.calculate(given, ["energy", "forces"])
        assert calculator.results["energy"] == pytest.approx(expected, abs=1e-6)
        assert calculator.results["forces"].shape == (3, 3)
    with pytest.raises(StructureError, match="the list holds 2 structures"):
        calculator.calculate(WATERS[:2])


def test_models_that_give_no_forces_are_refused(tmp_path):
    dipole = energy_model(None, "dipole_au", 1).fit(WATERS[:6])
    with pytest.raises(ConfigError, match="forces belong to energies"):
        HamlearnCalculator(dipole)
    soap = KernelRidgeSettings(kernel=KERNEL.model_copy(update={"kind": "soap", "b": None}))
    average = KernelRidgeSettings(kernel=KERNEL.model_copy(update={"structure": "average"}))
    for settings, words in ((soap, r"model\.kernel\.kind soap"), (average, r"model\.kernel\.structure average")):
        with pytest.raises(
            ConfigError, match=f"{words} has no derivatives .* train by ridge regression, or with kernels of"
        ):
            HamlearnCalculator(PropertyModel(ENERGY, settings).fit(WATERS[:6]))
    with pytest.raises(ConfigError, match="not fitted"):
        HamlearnCalculator(energy_model())
    for unit in (None, "furlong"):
        with pytest.raises(ConfigError, match=r"train with target\.unit"):
            HamlearnCalculator(energy_model(unit).fit(WATERS[:10]))
    with pytest.raises(ArtifactError, match="holds no model"):
        HamlearnCalculator(tmp_path)
    with pytest.raises(ConfigError, match="got a HamiltonianModel; expected a model of an energy"):
        HamlearnCalculator(HamiltonianModel())


def test_a_calculator_without_atoms_and_one_that_is_copied(fitted):
    calculator = HamlearnCalculator(fitted)
    with pytest.raises(ConfigError, match=r"no atoms to calculate; set atoms\.calc"):
        calculator.calculate()
    calculator.calculate(WATERS[50])
    again = copy.deepcopy(calculator)
    again.calculate(WATERS[51])
    assert again.model is not fitted and again.results["energy"] != calculator.results["energy"]
    assert "forces" not in again.results
