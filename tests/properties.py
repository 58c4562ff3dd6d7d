"""Molecules with made-up properties that are exactly known, and models that learn them quickly."""

import numpy as np
from ase import Atoms

from hamlearn.config import KernelRidgeSettings, KernelSettings, PropertyTarget
from hamlearn.model.property import PropertyModel

CHARGES = {1: 0.4, 6: -0.1, 8: -0.7}
BASES = {6: 1.3, 8: 2.1, 1: -0.4}
SMALL = KernelSettings(
    max_nu=3, max_l=2, cutoff_angstrom=4.0, smearing_angstrom=0.4, smearing_growth_angstrom=None, max_channels=12
)
FIXED = SMALL.model_copy(update={"a": 1e4, "b": 1.0, "c0": 10.0})
"""Hyperparameters given: no cross-validation, and weights small enough for symmetry to hold to 1e-10."""


def distorted(formula, positions, n, seed, amplitude=0.12):
    rng = np.random.default_rng(seed)
    return [
        Atoms(formula, np.asarray(positions) + rng.normal(scale=amplitude, size=np.shape(positions))) for _ in range(n)
    ]


def molecules(n, seed=0):
    """Waters and formaldehydes in turn, distorted."""
    water = distorted("OHH", [[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0.1, 0.59]], n, seed)
    aldehyde = distorted("COHH", [[0, 0, 0.0], [0, 0, 1.2], [0.94, 0, -0.54], [-0.94, 0.1, -0.54]], n, seed + 1)
    return [structure for pair in zip(water, aldehyde, strict=True) for structure in pair][:n]


def labelled(structures):
    """Return copies with energy and forces of pairs, dipole of charges, polarizability of bonds, and handedness."""
    return [_labelled(atoms) for atoms in structures]


def _labelled(atoms):
    vectors = atoms.positions[None] - atoms.positions[:, None]  # [i, j] = r_j - r_i
    r = np.linalg.norm(vectors, axis=-1) + np.eye(len(atoms))
    weight = np.sqrt(np.outer(atoms.numbers, atoms.numbers)) * (1 - np.eye(len(atoms)))
    energy = 0.5 * (weight * np.exp(-((r - 1.1) ** 2))).sum()
    slope = weight * -2 * (r - 1.1) * np.exp(-((r - 1.1) ** 2))
    gradient = -(slope[..., None] * vectors / r[..., None]).sum(1)
    pull = (weight * np.exp(-r))[..., None, None] * vectors[..., :, None] * vectors[..., None, :]
    charges = np.array([CHARGES[z] for z in atoms.numbers]) * np.exp(0.5 * (weight * np.exp(-(r**2))).sum(1))
    copy = atoms.copy()
    copy.info = {
        "energy": energy + sum(BASES[z] for z in atoms.numbers),
        "dipole": (charges - charges.mean()) @ atoms.positions,
        "alpha": pull.sum((0, 1)) + 2.0 * np.eye(3),
        "handedness": float(np.linalg.det(atoms.positions[1:4] - atoms.positions[0])) if len(atoms) > 3 else 0.0,
    }
    copy.arrays["forces"] = -gradient
    return copy


def target(key="energy", l=0, sigma=1, forces=False, **settings):
    unit = "eV" if l == 0 else None
    return PropertyTarget(key=key, l=l, sigma=sigma, forces_key="forces" if forces else None, unit=unit, **settings)


def model(key="energy", l=0, sigma=1, forces=False, kernel=FIXED, **settings):
    """Return a model by kernels; settings are those of its learner."""
    return PropertyModel(target(key, l, sigma, forces), KernelRidgeSettings(kernel=kernel, **settings))


def values(fitted, structures):
    """Return the values that a model predicts [structure, ...]."""
    return np.array([p.value for p in fitted.predict(structures)])
