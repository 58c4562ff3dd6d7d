"""Vibrations by irrep, and the theorem of Jahn and Teller seen in levels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hamlearn import QMSettings, molecule
from hamlearn.errors import ConfigError
from hamlearn.qm.hessian import compute_hessian
from hamlearn.structures import normal_modes, random_rotation, rotate
from hamlearn.structures.transforms import with_positions
from hamlearn.symmetry import Multiplet, point_group
from hamlearn.symmetry.jahn_teller import level_responses
from hamlearn.symmetry.vibrations import vibrations

TEXTBOOK = {
    "water": "2A1 B2",
    "ammonia": "2A1 2E",
    "methane": "A1 E 2T2",
    "allene": "3A1 B1 3B2 4E",
    "benzene": "2A1g A2g A2u 2B1u 2B2g 2B2u E1g 3E1u 4E2g 2E2u",
    "acetylene": "2Sigma_g+ Sigma_u+ Pi_g Pi_u",
}


def springs(name: str) -> np.ndarray:
    """A Hessian with the symmetry of a molecule: springs between all atoms, and a little of everything else."""
    atoms = molecule(name)
    n = len(atoms)
    hessian = np.zeros((n, 3, n, 3))
    for i in range(n):
        for j in range(i):
            r = atoms.positions[i] - atoms.positions[j]
            d = np.linalg.norm(r)
            block = np.sqrt(atoms.numbers[i] * atoms.numbers[j]) / d**4 * (np.outer(r, r) / d**2 + 0.1 * np.eye(3))
            hessian[i, :, i] += block
            hessian[j, :, j] += block
            hessian[i, :, j] -= block
            hessian[j, :, i] -= block
    return 0.1 * hessian.reshape(3 * n, 3 * n)


@pytest.mark.parametrize("name", TEXTBOOK)
def test_vibrations_have_the_irreps_of_the_textbook(name: str) -> None:
    atoms = molecule(name)
    found = vibrations(atoms, springs(name), point_group(atoms))
    expected = Counter({t.lstrip("0123456789"): int(t[0]) if t[0].isdigit() else 1 for t in TEXTBOOK[name].split()})
    assert Counter(v.irrep for v in found) == expected
    plain = sorted(normal_modes(atoms, springs(name)).wavenumbers)
    assert np.allclose(sorted(w for v in found for w in [v.wavenumber] * len(v.displacements)), plain, rtol=1e-9)


def test_water_by_pyscf_has_two_symmetric_modes_and_a_stretch() -> None:
    water = molecule("water")
    hessian = compute_hessian(water, QMSettings(basis="STO-3G"))
    turn = random_rotation(np.random.default_rng(0))
    kron = np.kron(np.eye(3), turn)
    turned = rotate(water, turn)
    for atoms, matrix in ((water, hessian), (turned, kron @ hessian @ kron.T)):
        found = vibrations(atoms, matrix, point_group(atoms))
        assert [v.irrep for v in found] == ["A1", "A1", "B2"]
        assert [v.displacements.shape for v in found] == [(1, 3, 3)] * 3


def test_first_partner_keeps_what_symmetry_it_can() -> None:
    benzene = molecule("benzene")
    groups = {}
    for vibration in vibrations(benzene, springs("benzene"), point_group(benzene)):
        moved = with_positions(benzene, benzene.positions + 0.3 * vibration.displacements[0])
        groups.setdefault(vibration.irrep, set()).add(point_group(moved).name)
        gram = np.tensordot(vibration.displacements, vibration.displacements, axes=([1, 2], [1, 2]))
        assert np.allclose(np.diag(gram), 1.0)
    assert groups["A1g"] == {"D6h"}
    assert groups["E2g"] == {"D2h"}
    assert groups["B2u"] == {"D3h"}


Q = np.array([-2e-3, -1e-3, 1e-3, 2e-3])
LEVELS = [Multiplet(-3.0, "E", 2, 4, (0, 1), 0.0), Multiplet(1.0, "A1", 1, 0, (2,), 0.0)]


def test_slopes_and_curvatures_are_found() -> None:
    pair = -3.0 + 0.5 * Q**2
    levels = np.stack([pair - 0.7 * abs(Q), pair + 0.7 * abs(Q), 1.0 + 0.2 * Q - 1.5 * Q**2], axis=1)
    degenerate, single = level_responses(LEVELS, Q, levels)
    assert degenerate.splitting_slope == pytest.approx(1.4)
    assert degenerate.splitting_ev == pytest.approx(2.8e-3)
    assert degenerate.mean_slope == pytest.approx(0, abs=1e-9)
    assert degenerate.mean_curvature == pytest.approx(1.0)
    assert (single.mean_slope, single.mean_curvature) == (pytest.approx(0.2), pytest.approx(-3.0))
    assert (single.splitting_slope, single.splitting_ev) == (0, 0)


@pytest.mark.parametrize(("q", "columns"), [(Q[:3], 3), (np.array([0.0, 1, 2, 3]), 3), (Q, 2)])
def test_too_little_to_fit_is_refused(q: np.ndarray, columns: int) -> None:
    with pytest.raises(ConfigError, match="expected at least 4"):
        level_responses(LEVELS, q, np.zeros((len(q), columns)))
