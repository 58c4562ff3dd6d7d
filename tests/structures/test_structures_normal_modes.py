import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

from hamlearn.errors import ConfigError, HamlearnWarning, StructureError
from hamlearn.structures import (
    MOLECULES,
    distort,
    molecule,
    normal_modes,
    permute,
    random_rotation,
    rotate,
    sample_normal_modes,
)
from hamlearn.structures.normal_modes import Statistics
from hamlearn.testing import TOLERANCE
from hamlearn.units import BOHR_ANGSTROM, DALTON_ELECTRON_MASS, HARTREE_KELVIN

EXACT = TOLERANCE["float64"]["exact"]
EQUIVARIANCE = TOLERANCE["float64"]["equivariance"]
LINEAR = ("acetylene", "carbon_dioxide")


def positive_hessian(atoms: Atoms, seed: int = 0) -> NDArray[np.float64]:
    """A Hessian of realistic size without soft directions; which one does not matter."""
    size = 3 * len(atoms)
    noise = np.random.default_rng(seed).normal(size=(size, size)) / size
    return 0.3 * np.eye(size) + 0.1 * (noise + noise.T)


def rotated(hessian: NDArray[np.float64], rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = np.kron(np.eye(len(hessian) // 3), rotation)
    return turn @ hessian @ turn.T


@pytest.mark.parametrize("name", [name for name in MOLECULES if name != "C60"])
def test_number_of_modes(name: str) -> None:
    atoms = rotate(molecule(name), random_rotation(np.random.default_rng(1)))
    modes = normal_modes(atoms, positive_hessian(atoms))
    assert len(modes.frequencies) == 3 * len(atoms) - (5 if name in LINEAR else 6)
    np.testing.assert_allclose(modes.vectors @ modes.vectors.T, np.eye(len(modes.vectors)), atol=EXACT)


def test_modes_neither_move_nor_turn_the_molecule() -> None:
    atoms = distort(molecule("methane"), 0.1, 0)
    modes = normal_modes(atoms, positive_hessian(atoms))
    weights = atoms.get_masses()[:, None]
    for vector in modes.vectors * modes.inverse_root_masses:
        move = vector.reshape(-1, 3) / np.linalg.norm(vector)
        np.testing.assert_allclose((weights * move).sum(axis=0), 0, atol=EQUIVARIANCE)
        momentum = np.cross(atoms.positions - atoms.get_center_of_mass(), weights * move).sum(axis=0)
        np.testing.assert_allclose(momentum, 0, atol=EQUIVARIANCE)


def spring(k: float) -> tuple[Atoms, NDArray[np.float64]]:
    """Carbon monoxide along z, held by a spring."""
    hessian = np.zeros((6, 6))
    hessian[np.ix_([2, 5], [2, 5])] = [[k, -k], [-k, k]]
    return Atoms("CO", [[0, 0, 0], [0, 0, 1.13]]), hessian


def test_diatomic_has_one_mode_at_the_root_of_k_over_mu() -> None:
    atoms, hessian = spring(1.2)
    m = atoms.get_masses() * DALTON_ELECTRON_MASS
    omega = np.sqrt(1.2 * m.sum() / m.prod())
    np.testing.assert_allclose(normal_modes(atoms, hessian).frequencies, [omega], rtol=EXACT)
    assert normal_modes(atoms, hessian).wavenumbers[0] == pytest.approx(2140, abs=120)


@pytest.mark.parametrize("name", ["water", "acetylene"])
def test_wavenumbers_against_pyscf(name: str) -> None:
    from pyscf import gto
    from pyscf.hessian.thermo import harmonic_analysis

    atoms = molecule(name)
    hessian, n = positive_hessian(atoms), len(atoms)
    mole = gto.M(atom=[(s, p) for s, p in zip(atoms.symbols, atoms.positions, strict=True)], basis="sto-3g", verbose=0)
    blocks = hessian.reshape(n, 3, n, 3).transpose(0, 2, 1, 3)
    reference = np.sort(harmonic_analysis(mole, blocks)["freq_wavenumber"].real)
    np.testing.assert_allclose(normal_modes(atoms, hessian).wavenumbers, reference, rtol=1e-4)  # masses differ slightly


def test_modes_are_equivariant() -> None:
    rng = np.random.default_rng(2)
    atoms = distort(molecule("methane"), 0.1, rng)
    hessian = positive_hessian(atoms)
    modes = normal_modes(atoms, hessian)
    covariance = modes.displacement_covariance(700.0)
    for improper in (False, True):
        r = random_rotation(rng, improper)
        turned = normal_modes(rotate(atoms, r), rotated(hessian, r))
        np.testing.assert_allclose(turned.frequencies, modes.frequencies, rtol=EQUIVARIANCE)
        np.testing.assert_allclose(
            turned.displacement_covariance(700.0), rotated(covariance, r), atol=EQUIVARIANCE * covariance.max()
        )
    order = rng.permutation(len(atoms))
    index = (3 * order[:, None] + np.arange(3)).ravel()
    shuffled = normal_modes(permute(atoms, order), hessian[np.ix_(index, index)])
    np.testing.assert_allclose(
        shuffled.displacement_covariance(700.0), covariance[np.ix_(index, index)], atol=EQUIVARIANCE * covariance.max()
    )


@pytest.mark.parametrize("statistics", ["quantum", "classical"])
@pytest.mark.parametrize("name", ["water", "carbon_dioxide"])
def test_sampled_covariance_is_the_theoretical_one(name: str, statistics: Statistics) -> None:
    atoms = molecule(name)
    hessian = positive_hessian(atoms)
    samples = sample_normal_modes(atoms, hessian, 600.0, 20000, seed=4, statistics=statistics)
    moves = np.array([(sample.positions - atoms.positions).ravel() for sample in samples])
    expected = normal_modes(atoms, hessian).displacement_covariance(600.0, statistics)
    np.testing.assert_allclose(moves.mean(axis=0), 0, atol=4 * np.sqrt(expected.max() / len(moves)))
    np.testing.assert_allclose(moves.T @ moves / len(moves), expected, atol=0.04 * expected.max())


def test_covariance_of_a_spring_is_the_textbook_one() -> None:
    atoms, hessian = spring(1.2)
    modes = normal_modes(atoms, hessian)
    (omega,), kt = modes.frequencies, 300.0 / HARTREE_KELVIN
    stretch = np.array([0, 0, -1, 0, 0, 1])
    energies: dict[Statistics, float] = {"classical": kt, "quantum": omega / 2 / np.tanh(omega / 2 / kt)}
    for statistics, energy in energies.items():
        variance = stretch @ modes.displacement_covariance(300.0, statistics) @ stretch / BOHR_ANGSTROM**2
        assert 1.2 * variance == pytest.approx(energy, rel=1e-10)  # mean potential energy k <x^2> / 2 is half of it


def test_limits_of_the_temperature() -> None:
    atoms = molecule("water")
    modes = normal_modes(atoms, positive_hessian(atoms))
    np.testing.assert_allclose(modes.amplitudes(0.0), modes.amplitudes(1e-3), rtol=EXACT)
    assert not modes.amplitudes(0.0, "classical").any()
    np.testing.assert_allclose(modes.amplitudes(1e7), modes.amplitudes(1e7, "classical"), rtol=1e-4)


def test_samples_are_seeded_whatever_the_signs_of_eigenvectors() -> None:
    atoms = molecule("methane")
    hessian = 0.3 * np.eye(15)  # degenerate modes
    first, again, other = (sample_normal_modes(atoms, hessian, 500.0, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal([a.positions for a in first], [a.positions for a in again])
    assert not np.allclose(first[0].positions, other[0].positions)
    nudged = sample_normal_modes(atoms, hessian + 1e-13 * positive_hessian(atoms), 500.0, 3, 1)
    np.testing.assert_allclose([a.positions for a in first], [a.positions for a in nudged], atol=1e-10)


def test_samples_keep_what_belongs_to_the_molecule() -> None:
    water = molecule("water")
    water.info["name"] = "water"
    (sample,) = sample_normal_modes(water, positive_hessian(water), 300.0, 1, seed=0)
    assert sample.info == {"name": "water"}
    assert list(sample.numbers) == [8, 1, 1]
    assert sample_normal_modes(water, positive_hessian(water), 300.0, 0, seed=0) == []


def test_imaginary_modes_are_refused_or_left_at_rest() -> None:
    atoms = molecule("water")
    hessian = positive_hessian(atoms)
    modes = normal_modes(atoms, hessian)
    softest = modes.vectors[0] / modes.inverse_root_masses
    saddle = hessian - 2 * modes.frequencies[0] ** 2 * np.outer(softest, softest)
    assert normal_modes(atoms, saddle).frequencies[0] == pytest.approx(-modes.frequencies[0])
    with pytest.raises(StructureError, match=r"modes at -\d+ cm\^-1 .*optimise the geometry"):
        sample_normal_modes(atoms, saddle, 300.0, 5, seed=0)
    with pytest.warns(HamlearnWarning, match="left at rest"):
        samples = sample_normal_modes(atoms, saddle, 300.0, 5, seed=0, exclude_soft=True)
    for sample in samples:
        move = (sample.positions - atoms.positions).ravel()
        assert np.linalg.norm(move) > 0.01
        assert abs(modes.vectors[0] @ (move / modes.inverse_root_masses)) < EQUIVARIANCE


def test_bad_input_is_refused() -> None:
    water = molecule("water")
    good = positive_hessian(water)
    lopsided, unknown = good.copy(), good.copy()
    lopsided[0, 1] += 1.0
    unknown[0, 0] = np.nan
    for hessian, message in ((good[:6, :6], r"\(6, 6\)"), (lopsided, "not symmetric"), (unknown, "NaN")):
        with pytest.raises(ConfigError, match=message):
            normal_modes(water, hessian)
    with pytest.raises(StructureError, match="at least two"):
        normal_modes(Atoms("He"), np.zeros((3, 3)))
    for arguments in ((-1.0, 1), (np.nan, 1), (300.0, -1)):
        with pytest.raises(ConfigError, match="expected"):
            sample_normal_modes(water, good, *arguments, seed=0)
    with pytest.raises(ConfigError, match="'bosonic'; expected 'quantum' or 'classical'"):
        sample_normal_modes(water, good, 300.0, 1, seed=0, statistics="bosonic")  # type: ignore[arg-type]
