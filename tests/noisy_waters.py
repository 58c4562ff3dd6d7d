"""Waters with noisy matrices and small settings: what the tests of kernel block models begin with."""

import numpy as np

from hamlearn.blocks import split_matrices
from hamlearn.config import ModelSettings, WignerSettings
from hamlearn.learning.kernel_learner import KernelBlockModel

SMALL = WignerSettings(
    max_l=2, max_nu_centre=3, max_nu_pair=2, rate=1.0, smearing_angstrom=0.4, smearing_growth_angstrom=None
)
BARS = ModelSettings(kind="wigner", error_bars=True)
SPARSE = ModelSettings(kind="wigner", error_bars=True, basis="sparse", active={"O": 10, "H": 16, "H-H": 10, "H-O": 16})
N = 16


def noisy_waters(waters, water_lowdin):
    """With noise, as converged calculations have it, so that regularisation matters."""
    matrices, orbitals = water_lowdin
    noise = 1e-4 * np.random.default_rng(0).normal(size=(N, *matrices[0].shape))
    noisy = [m + x + x.T for m, x in zip(matrices, noise, strict=False)]
    return waters[:N], split_matrices(noisy, [a.numbers for a in waters[:N]], orbitals), orbitals


def fit(data, model=BARS, wigner=SMALL, **more):
    return KernelBlockModel(wigner, model).fit(data[0], data[1], **more)
