"""Thermal samples of a molecule: its minimum, Hessian and harmonic distribution, all by one method."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from numpy.typing import NDArray

from hamlearn.config import QMSettings
from hamlearn.qm import compute_hessian
from hamlearn.qm.guess import start_density
from hamlearn.qm.molecule import mole_of
from hamlearn.qm.scf import converge
from hamlearn.structures import check_structures, sample_normal_modes
from hamlearn.structures.charges import of_molecule
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV

KELVIN, SEED = 300.0, 2026
LARGEST_FORCE = 1e-3  # eV/Å, at the minimum
STEP = 1e-3  # Å, of the differences of forces


class HartreeFock(Calculator):
    """Energies and forces for ASE's optimiser."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, settings: QMSettings) -> None:
        super().__init__()
        self.settings = settings

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        """Run one calculation."""
        super().calculate(atoms, properties, system_changes)
        settings = of_molecule(self.settings, atoms)
        mole = mole_of(atoms.numbers, atoms.positions / BOHR_ANGSTROM, settings)
        field = converge(mole, settings, start_density).mean_field
        gradient = field.nuc_grad_method().kernel()  # Hartree/Bohr
        self.results = {"energy": field.e_tot * HARTREE_EV, "forces": -gradient * HARTREE_EV / BOHR_ANGSTROM}


def minimum(start: Atoms, settings: QMSettings) -> Atoms:
    """Return the minimum of the energy near a geometry, with what ``info`` says of the electrons."""
    atoms = Atoms(start.symbols, start.positions, info=dict(start.info))
    atoms.calc = HartreeFock(settings)
    if not BFGS(atoms, logfile=None).run(fmax=LARGEST_FORCE, steps=200):
        raise RuntimeError(f"the geometry of {start.symbols} did not converge")
    atoms.calc = None
    return atoms


def hessian_of(atoms: Atoms, settings: QMSettings) -> NDArray[np.float64]:
    """Return the Hessian, Hartree/Bohr^2; of diatomics from forces, as PySCF has none for shared electrons."""
    if len(atoms) > 2:
        return compute_hessian(atoms, settings)
    rows = []
    for k in range(6):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[k // 3, k % 3] += sign * STEP
            moved.calc = HartreeFock(settings)
            ends.append(moved.get_forces().ravel())
        rows.append((ends[1] - ends[0]) / (2 * STEP))  # eV/Å^2
    hessian = np.array(rows) * BOHR_ANGSTROM**2 / HARTREE_EV
    return 0.5 * (hessian + hessian.T)


def thermal_samples(start: Atoms, settings: QMSettings, n: int) -> list[Atoms]:
    """Return ``n`` samples of the harmonic distribution at 300 K around the minimum near a geometry."""
    atoms = minimum(start, settings)
    samples = sample_normal_modes(atoms, hessian_of(atoms, settings), KELVIN, n, SEED, exclude_soft=True)
    check_structures(samples, str(start.symbols), qm=settings)
    return samples
