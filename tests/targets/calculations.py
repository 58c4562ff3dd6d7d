"""Converged calculations for the tests of targets, each made once per test process."""

from functools import cache

import numpy as np
from ase import Atoms

from hamlearn.config import QMSettings
from hamlearn.qm.calculation import run_scf
from hamlearn.qm.molecule import build_mole
from hamlearn.qm.record import QMRecord
from hamlearn.structures import molecule
from hamlearn.units import BOHR_ANGSTROM

BENT_WATER = Atoms("OHH", [[0.02, -0.05, 0.11], [0.76, 0.03, 0.66], [-0.71, 0.08, 0.69]])
PEROXIDE = Atoms("OOHH", [[0, 0.72, 0.05], [0.02, -0.73, 0], [0.79, 0.9, 0.48], [-0.81, -0.92, 0.44]])
OTHERS = {
    "bent water": BENT_WATER,
    "peroxide": PEROXIDE,
    "hydrogen cyanide": Atoms("HCN", [[0, 0, -1.064], [0, 0, 0], [0, 0, 1.156]]),
    "neon": Atoms("Ne"),
    "chloromethane": Atoms("CClH3", [[0, 0, -1.121], [0, 0, 0.656], [0, 1.029, -1.474],
                                     [0.891, -0.514, -1.474], [-0.891, -0.514, -1.474]]),
}  # fmt: skip


def geometry(name: str) -> Atoms:
    return OTHERS[name].copy() if name in OTHERS else molecule(name)


def calculate(atoms: Atoms, basis: str = "sto-3g", guesses: tuple[str, ...] = ()) -> QMRecord:
    settings = QMSettings(basis=basis, conv_tol=1e-12)
    return run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, settings, guesses)


@cache
def calculation(name: str, basis: str = "sto-3g", guesses: tuple[str, ...] = ()) -> QMRecord:
    return calculate(geometry(name), basis, guesses)


def mole_of(record: QMRecord):
    return build_mole(record.numbers, record.positions, record.provenance["basis"])


def nearest_level(levels: np.ndarray, among: np.ndarray) -> float:
    """Largest distance of any of ``levels`` from the closest of ``among``."""
    return float(np.abs(levels[:, None] - among).min(axis=1).max())
