"""Waters with noisy matrices and small settings: what the tests of kernels of atoms and pairs begin with."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from hamlearn.blocks import BlockCovariance, Blocks
from hamlearn.config import KernelRidgeSettings, WignerSettings
from hamlearn.job import SILENT
from hamlearn.learning.data import Data
from hamlearn.learning.pair_kernels import PairKernelLearner
from hamlearn.learning.tasks import MatrixTask

SMALL = WignerSettings(
    max_l=2, max_nu_centre=3, max_nu_pair=2, rate=1.0, smearing_angstrom=0.4, smearing_growth_angstrom=None
)
PLAIN = KernelRidgeSettings(kernel=SMALL)
BARS = KernelRidgeSettings(kernel=SMALL, error_bars=True)
SPARSE = KernelRidgeSettings(
    kernel=SMALL, error_bars=True, basis="sparse", active={"O": 10, "H": 16, "H-H": 10, "H-O": 16}
)
N = 16


@dataclass(frozen=True)
class Known:
    """What is learned of some structures."""

    structures: list[Atoms]
    task: MatrixTask
    data: Data
    matrices: list[np.ndarray]

    @classmethod
    def of(cls, structures, matrices, orbitals):
        task = MatrixTask(orbitals)
        data = task.encode(matrices, [atoms.numbers for atoms in structures])
        return cls(list(structures), task, data, list(matrices))

    def blocks(self, learner, structures) -> Blocks:
        """Predicted blocks of structures."""
        return self.task.decode(learner.predict(structures, SILENT), [atoms.numbers for atoms in structures])

    def with_covariances(self, learner, structures, job=SILENT) -> tuple[Blocks, list[BlockCovariance]]:
        """Predicted blocks of structures, and their covariances."""
        answers, numbers = learner.predict_with_covariance(structures, job), [atoms.numbers for atoms in structures]
        return self.task.decode(answers, numbers), self.task.decode_covariances(answers, numbers)


def noisy_waters(waters, water_lowdin) -> Known:
    """With noise, as converged calculations have it, so that regularisation matters."""
    matrices, orbitals = water_lowdin
    noise = 1e-4 * np.random.default_rng(0).normal(size=(N, *matrices[0].shape))
    return Known.of(waters[:N], [m + x + x.T for m, x in zip(matrices, noise, strict=False)], orbitals)


def fit(known, settings=BARS, job=SILENT, held_out=False, kernel=None, data=None) -> PairKernelLearner:
    """Fit a learner of these settings, with another kernel if one is given."""
    if kernel is not None:
        settings = settings.model_copy(update={"kernel": kernel})
    return PairKernelLearner(settings).fit(known.structures, known.data if data is None else data, job, held_out)


def assert_blocks(found, expected, tolerance):
    """Fail unless all blocks agree."""
    __tracebackhide__ = True
    assert found.values.keys() == expected.values.keys() and expected.values
    for key, values in expected.values.items():
        np.testing.assert_allclose(found.values[key], values, atol=tolerance)
