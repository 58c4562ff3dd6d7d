"""The Hessian against differences of PySCF's gradients, and its symmetries."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hamlearn.config import QMSettings
from hamlearn.qm.hessian import compute_hessian
from hamlearn.qm.method import mean_field
from hamlearn.qm.molecule import build_mole
from hamlearn.units import BOHR_ANGSTROM

TIGHT = QMSettings(basis="STO-3G", conv_tol=1e-12)
STEP_BOHR = 1e-3


def gradient(numbers, positions):
    field = mean_field(build_mole(numbers, positions, TIGHT.basis), TIGHT)
    field.kernel()
    return field.nuc_grad_method().kernel().ravel()


@pytest.fixture(scope="module")
def hessian(water):
    return compute_hessian(water, TIGHT)


def test_hessian_is_the_difference_of_gradients(water, hessian):
    positions = water.positions / BOHR_ANGSTROM
    for coordinate in (0, 2, 4, 6):
        shift = np.zeros(9)
        shift[coordinate] = STEP_BOHR
        ends = [gradient(water.numbers, positions + sign * shift.reshape(3, 3)) for sign in (1, -1)]
        assert np.abs((ends[0] - ends[1]) / (2 * STEP_BOHR) - hessian[coordinate]).max() < 1e-5


def test_hessian_is_symmetric_and_blind_to_translation(hessian):
    assert hessian.shape == (9, 9)
    assert np.array_equal(hessian, hessian.T)
    assert np.abs(hessian.reshape(9, 3, 3).sum(axis=1)).max() < 1e-8


def test_hessian_turns_and_permutes_with_the_molecule(water, hessian):
    matrix = -Rotation.from_euler("xyz", [0.4, -1.2, 2.0]).as_matrix()
    order = [2, 0, 1]
    turned = water[order]
    turned.positions = turned.positions @ matrix.T
    blocks = hessian.reshape(3, 3, 3, 3)[np.ix_(order, range(3), order, range(3))]
    expected = np.einsum("ax,ixjy,by->iajb", matrix, blocks, matrix).reshape(9, 9)
    assert np.abs(compute_hessian(turned, TIGHT) - expected).max() < 1e-6


def test_kohn_sham_hessian_has_the_same_form(water, hessian):
    other = compute_hessian(water, QMSettings(method="RKS", xc="pbe", basis="STO-3G"))
    assert np.array_equal(other, other.T)
    assert 1e-3 < np.abs(other - hessian).max() < 0.5
