"""Make the files of this folder: minima by RHF/def2-SVP, thermal samples along their normal modes, and properties.

Run from anywhere, about three minutes on one core:  python data/make_data.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.build
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from numpy.typing import NDArray
from pyscf import grad
from pyscf.scf import cphf

from hamlearn.config import QMSettings
from hamlearn.qm.hessian import compute_hessian
from hamlearn.qm.molecule import build_mole
from hamlearn.qm.scf import converge
from hamlearn.structures import check_structures, normal_modes, random_rotation, rotate, sample_normal_modes
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV

FOLDER = Path(__file__).parent
LEVEL = QMSettings(method="RHF", basis="def2-SVP")
LARGEST_FORCE = 1e-3  # eV/Å, at the minimum
SEED = 2024

WATERS, WATER_KELVIN = 500, 1000.0
LABELLED, LABEL_LEVEL = 200, QMSettings(method="RHF", basis="sto-3g", conv_tol=1e-11)
RESPONSE_LEVEL = QMSettings(method="RHF", basis="def2-SVP", conv_tol=1e-11)
RESPONSE_TOL, RESPONSE_CYCLES = 1e-11, 50
SAMPLES, KELVIN = 38, 500.0
CHNO = {
    "ammonia": "NH3",
    "methane": "CH4",
    "acetylene": "C2H2",
    "ethene": "C2H4",
    "ethane": "C2H6",
    "hydrogen_cyanide": "HCN",
    "nitrogen": "N2",
    "carbon_monoxide": "CO",
    "carbon_dioxide": "CO2",
    "formaldehyde": "H2CO",
    "methanol": "CH3OH",
    "hydrogen_peroxide": "H2O2",
    "formic_acid": "HCOOH",
    "methylamine": "H3CNH2",
    "ethanol": "CH3CH2OH",
}
"""Our name of each molecule, and the one ASE has its starting geometry under."""


class HartreeFock(Calculator):
    """Energies and forces for ASE's optimiser."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        """Run one calculation."""
        super().calculate(atoms, properties, system_changes)
        mean_field = mean_field_of(atoms, LEVEL)
        gradient = grad.RHF(mean_field).kernel()  # Hartree/Bohr
        self.results = {"energy": mean_field.e_tot * HARTREE_EV, "forces": -gradient * HARTREE_EV / BOHR_ANGSTROM}


def minimum(ase_name: str) -> Atoms:
    atoms = ase.build.molecule(ase_name)
    atoms.calc = HartreeFock()
    if not BFGS(atoms, logfile=None).run(fmax=LARGEST_FORCE, steps=200):
        raise RuntimeError(f"the geometry of {ase_name} did not converge")
    return Atoms(atoms.symbols, atoms.positions)


def thermal_samples(name: str, ase_name: str, kelvin: float, n: int, seed: int) -> list[Atoms]:
    atoms = minimum(ase_name)
    hessian = compute_hessian(atoms, LEVEL)
    wavenumbers = normal_modes(atoms, hessian).wavenumbers
    samples = sample_normal_modes(atoms, hessian, kelvin, n, seed)
    for sample in samples:
        sample.positions = sample.positions.round(8) + 0.0  # as they are written, and no minus zeros
        sample.info["name"] = name
    check_structures(samples, source=name)
    moved = np.sqrt(np.mean([(sample.positions - atoms.positions) ** 2 for sample in samples]))
    print(f"{name:18} {n:4} samples, modes {wavenumbers[0]:5.0f} to {wavenumbers[-1]:5.0f} cm^-1, moved {moved:.3f} Å")
    return samples


def turned(atoms: Atoms, seed: int) -> Atoms:
    """Return a copy, turned at random."""
    rotation = random_rotation(np.random.default_rng([SEED, seed]))
    copy = rotate(Atoms(atoms.symbols, atoms.positions), rotation)
    copy.positions = copy.positions.round(8) + 0.0
    return copy


def mean_field_of(atoms: Atoms, level: QMSettings) -> Any:
    mole = build_mole(atoms.numbers, atoms.positions / BOHR_ANGSTROM, level.basis)
    return converge(mole, level).mean_field


def labelled(atoms: Atoms, seed: int) -> Atoms:
    """Return a copy, turned at random, with energy (eV), dipole (atomic units) and forces (eV/Å)."""
    copy = turned(atoms, seed)
    mean_field = mean_field_of(copy, LABEL_LEVEL)
    gradient = grad.RHF(mean_field).kernel()
    copy.info = {
        "energy_ev": float(mean_field.e_tot * HARTREE_EV),
        "dipole_au": mean_field.dip_moment(unit="AU", verbose=0),
    }
    copy.arrays["forces_ev_angstrom"] = -gradient * HARTREE_EV / BOHR_ANGSTROM
    return copy


def polarizability(mean_field: Any) -> NDArray[np.float64]:
    """Return -d^2 E / dF_x dF_y [3, 3] in atomic units, by the linear response of the orbitals to a uniform field."""
    occupied = mean_field.mo_occ > 0
    o, v = mean_field.mo_coeff[:, occupied], mean_field.mo_coeff[:, ~occupied]
    dipole = np.einsum("xpq,pa,qi->xai", mean_field.mol.intor_symmetric("int1e_r", comp=3), v, o)
    potential = mean_field.gen_response(hermi=1)

    def induced(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        density = 2 * np.einsum("pa,xai,qi->xpq", v, flat.reshape(-1, v.shape[1], o.shape[1]), o)
        answer = potential(density + density.transpose(0, 2, 1))
        return np.einsum("xpq,pa,qi->xai", answer, v, o).reshape(len(density), -1)

    energies, occupation = mean_field.mo_energy, mean_field.mo_occ
    response, _ = cphf.solve(induced, energies, occupation, dipole, max_cycle=RESPONSE_CYCLES, tol=RESPONSE_TOL)
    out = -4 * np.einsum("xai,yai->xy", dipole, np.reshape(response, dipole.shape))
    return 0.5 * (out + out.T)


def with_polarizability(atoms: Atoms, seed: int) -> Atoms:
    """Return the same copy with dipole and polarizability (atomic units)."""
    copy = turned(atoms, seed)
    mean_field = mean_field_of(copy, RESPONSE_LEVEL)
    copy.info = {
        "dipole_au": mean_field.dip_moment(unit="AU", verbose=0).round(8),
        "polarizability_au": polarizability(mean_field).ravel().round(8),
    }
    return copy


def main() -> None:
    waters = thermal_samples("water", "H2O", WATER_KELVIN, WATERS, SEED)
    ase.io.write(FOLDER / "water.extxyz", waters)
    ase.io.write(FOLDER / "water_properties.extxyz", [labelled(waters[k], k) for k in range(LABELLED)])
    ase.io.write(FOLDER / "water_polarizability.extxyz", [with_polarizability(waters[k], k) for k in range(LABELLED)])
    others = [
        sample
        for seed, (name, ase_name) in enumerate(CHNO.items(), start=SEED + 1)
        for sample in thermal_samples(name, ase_name, KELVIN, SAMPLES, seed)
    ]
    ase.io.write(FOLDER / "chno.extxyz", others)


if __name__ == "__main__":
    main()
