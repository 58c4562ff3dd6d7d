"""Harmonic vibrations of a molecule and thermal samples along them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError, HamlearnWarning, StructureError
from hamlearn.structures.transforms import with_positions
from hamlearn.types import FloatArray
from hamlearn.units import BOHR_ANGSTROM, DALTON_ELECTRON_MASS, HARTREE_KELVIN, HARTREE_WAVENUMBER

Statistics = Literal["quantum", "classical"]

SOFTEST_WAVENUMBER = 20.0
_LINEAR = 1e-3  # smallest over largest radius of gyration of a molecule that is not linear
_ASYMMETRY = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class NormalModes(ByValue, Shown):
    """Vibrations in ascending order, translations and rotations left out.

    Attributes:
        frequencies: h-bar omega [mode], Hartree; minus |h-bar omega| for an imaginary mode.
        vectors: orthonormal mass-weighted displacements [mode, 3N], defined up to sign and mixing of equal modes.
        inverse_root_masses: 1 / sqrt(m) of each coordinate [3N], electron masses.

    Frequencies are invariant under rotation, inversion and permutation; vectors move with the atoms.
    """

    frequencies: FloatArray
    vectors: FloatArray
    inverse_root_masses: FloatArray

    def shown(self) -> dict[str, object]:
        """Return how many modes there are, and between which wavenumbers."""
        return {"n_modes": len(self.frequencies), "wavenumbers": self.wavenumbers, "vectors": self.vectors}

    @property
    def wavenumbers(self) -> FloatArray:
        """Frequencies in cm^-1, negative for imaginary modes [mode]."""
        return self.frequencies * HARTREE_WAVENUMBER

    def amplitudes(self, temperature_kelvin: float, statistics: Statistics = "quantum") -> FloatArray:
        """Return the standard deviation of each mass-weighted coordinate [mode], Bohr sqrt(electron mass).

        sigma^2 = coth(omega / 2kT) / 2 omega (quantum) or kT / omega^2 (classical), with h-bar = 1.

        Raises:
            ConfigError: for a negative temperature or unknown statistics.
        """
        if not 0 <= temperature_kelvin < np.inf:
            raise ConfigError(f"temperature_kelvin is {temperature_kelvin}; expected a finite number, at least 0")
        kt, omega = temperature_kelvin / HARTREE_KELVIN, self.frequencies
        if statistics == "classical":
            return np.sqrt(kt) / omega
        if statistics == "quantum":
            coth = 1.0 / np.tanh(omega / (2.0 * kt)) if kt else np.ones_like(omega)
            return np.sqrt(coth / (2.0 * omega))
        raise ConfigError(f"statistics is '{statistics}'; expected 'quantum' or 'classical'")

    def displacement_covariance(self, temperature_kelvin: float, statistics: Statistics = "quantum") -> FloatArray:
        """Return the thermal covariance C of the displacements [3N, 3N], Å^2; R C R^T for a rotated molecule."""
        root = self._displacement_root(self.amplitudes(temperature_kelvin, statistics))
        return root @ root.T

    def _displacement_root(self, amplitudes: FloatArray) -> FloatArray:
        """Return M^{-1/2} V^T sigma V, which turns unit normal numbers into displacements [3N, 3N], Å.

        The symmetric root of the mass-weighted covariance does not depend on the arbitrary signs and mixtures of
        eigenvectors, so that a seed means the same samples with every linear-algebra library.
        """
        root = self.vectors.T @ (amplitudes[:, None] * self.vectors)
        return BOHR_ANGSTROM * self.inverse_root_masses[:, None] * root


def normal_modes(atoms: Atoms, hessian: ArrayLike) -> NormalModes:
    """Diagonalise M^{-1/2} H M^{-1/2} in the space orthogonal to translations and rotations.

    Args:
        atoms: the structure, Å; average atomic masses are ASE's, 3N - 6 modes, or 3N - 5 if it is linear.
        hessian: second derivatives of the energy [3N, 3N], Hartree/Bohr^2, coordinates x y z of atom 0, then 1, ...

    Raises:
        StructureError: for a single atom.
        ConfigError: if the Hessian has another shape, is not finite or not symmetric.

    Source: E. B. Wilson, J. C. Decius, P. C. Cross, Molecular Vibrations (McGraw-Hill, 1955), chapter 2.
    """
    if len(atoms) < 2:
        raise StructureError(f"{len(atoms)} atoms were given; vibrations need at least two")
    matrix = _checked_hessian(hessian, 3 * len(atoms))
    inverse_root_masses = np.repeat(1.0 / np.sqrt(atoms.get_masses() * DALTON_ELECTRON_MASS), 3)
    internal = _internal_space(atoms)
    weighted = matrix * np.outer(inverse_root_masses, inverse_root_masses)
    squares, vectors = np.linalg.eigh(internal @ weighted @ internal.T)
    frequencies = np.sign(squares) * np.sqrt(np.abs(squares))
    return NormalModes(frequencies, vectors.T @ internal, inverse_root_masses)


def sample_normal_modes(
    atoms: Atoms,
    hessian: ArrayLike,
    temperature_kelvin: float,
    n: int,
    seed: int,
    statistics: Statistics = "quantum",
    exclude_soft: bool = False,
) -> list[Atoms]:
    """Return ``n`` independent structures of the harmonic thermal distribution around ``atoms``.

    Args:
        atoms: a minimum of the energy, Å.
        hessian: second derivatives there [3N, 3N], Hartree/Bohr^2.
        temperature_kelvin: temperature, K; at 0 quantum statistics keep the zero-point motion.
        n: number of samples.
        seed: of the samples.
        statistics: 'quantum' or 'classical' harmonic oscillators.
        exclude_soft: leave modes that are imaginary or below 20 cm^-1 at rest, with a warning, instead of refusing.

    Raises:
        StructureError: for imaginary or very soft modes, unless excluded.
        ConfigError: for a Hessian, temperature, number or statistics that make no sense.

    The distribution moves with the molecule and its Hessian under rotation, inversion and permutation; single samples
    of one seed do not.
    """
    if n < 0:
        raise ConfigError(f"n is {n}; expected at least 0 samples")
    modes = _without_soft(normal_modes(atoms, hessian), exclude_soft)
    root = modes._displacement_root(modes.amplitudes(temperature_kelvin, statistics))
    numbers = np.random.default_rng(seed).normal(size=(n, len(root)))
    displacements = (numbers @ root.T).reshape(n, len(atoms), 3)
    return [with_positions(atoms, atoms.positions + displacement) for displacement in displacements]


def _checked_hessian(hessian: ArrayLike, size: int) -> FloatArray:
    matrix = np.asarray(hessian, dtype=np.float64)
    if matrix.shape != (size, size):
        raise ConfigError(f"the Hessian has shape {matrix.shape}; expected ({size}, {size}) for {size // 3} atoms")
    if not np.isfinite(matrix).all():
        raise ConfigError("the Hessian has entries that are NaN or infinite; compute it again")
    difference = np.abs(matrix - matrix.T).max()
    if difference > _ASYMMETRY * np.abs(matrix).max():
        raise ConfigError(f"the Hessian is not symmetric (largest difference {difference:.1e}); compute it again")
    return 0.5 * (matrix + matrix.T)


def _internal_space(atoms: Atoms) -> FloatArray:
    """Return an orthonormal basis [mode, 3N] of mass-weighted displacements that neither move nor turn the molecule."""
    root_masses = np.sqrt(atoms.get_masses())[:, None]
    centred = atoms.positions - atoms.get_center_of_mass()
    translations = [(root_masses * axis).ravel() / np.linalg.norm(root_masses) for axis in np.eye(3)]
    rotations = np.array([(root_masses * np.cross(axis, centred)).ravel() for axis in np.eye(3)])
    _, sizes, turns = np.linalg.svd(rotations, full_matrices=False)
    external = np.array([*translations, *turns[sizes > _LINEAR * sizes[0]]])
    return np.linalg.svd(external)[2][len(external) :]


def _without_soft(modes: NormalModes, exclude: bool) -> NormalModes:
    soft = modes.wavenumbers < SOFTEST_WAVENUMBER
    if not soft.any():
        return modes
    listed = ", ".join(f"{w:.0f}" for w in modes.wavenumbers[soft])
    found = f"modes at {listed} cm^-1 (negative: imaginary) are no vibrations"
    if not exclude:
        raise StructureError(
            f"{found}; expected at least {SOFTEST_WAVENUMBER:.0f} cm^-1: optimise the geometry "
            "with the method of the Hessian, or leave these modes at rest with exclude_soft=True"
        )
    warnings.warn(f"{found}; they are left at rest", HamlearnWarning, stacklevel=3)
    return NormalModes(modes.frequencies[~soft], modes.vectors[~soft], modes.inverse_root_masses)
