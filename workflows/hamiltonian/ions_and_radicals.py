"""How well are the levels of ions, radicals and heavy halogens learned?

Minima and Hessians by the method of the calculations, 200 samples of the harmonic distribution at 300 K, 160 to learn
from and 40 to test on, one model per molecule: SAPH with valence virtuals, which do not jump, in PySCF's minao, and
features in the frames of bonds:

    python workflows/hamiltonian/ions_and_radicals.py OUT [NAME ...]

Sets and run folders go to OUT, the table of errors to OUT/ions_and_radicals.csv.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import ase.build
import ase.io
import numpy as np
from ase import Atoms
from thermal import thermal_samples

from hamlearn.config import QMSettings, build_config
from hamlearn.workflow import run

N_SAMPLES, N_TEST = 200, 40

RHF, UHF = QMSettings(basis="def2-SVP"), QMSettings(method="UHF", basis="def2-SVP")
TZVP = QMSettings(basis="def2-TZVP")
TETRAHEDRON = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / 3**0.5


def centred(centre: str, corner: str, bond: float) -> Atoms:
    """Return a tetrahedral molecule, bonds in Å."""
    return Atoms(f"{centre}{corner}4", np.vstack([np.zeros((1, 3)), bond * TETRAHEDRON]))


def allyl() -> Atoms:
    """Return a planar C3H5, roughly."""
    carbons = [(0, 0.44, 0), (1.23, -0.19, 0), (-1.23, -0.19, 0)]
    hydrogens = [(0, 1.53, 0), (1.3, -1.27, 0), (2.15, 0.38, 0), (-1.3, -1.27, 0), (-2.15, 0.38, 0)]
    return Atoms("C3H5", [*carbons, *hydrogens])


def acetate() -> Atoms:
    """Return acetic acid without the hydrogen of its hydroxyl group."""
    acid = ase.build.molecule("CH3COOH")
    oxygens = [k for k, z in enumerate(acid.numbers) if z == 8]
    hydroxyl = [k for k, z in enumerate(acid.numbers) if z == 1 and acid.get_distances(k, oxygens).min() < 1.1]
    del acid[hydroxyl]
    return Atoms(acid.symbols, acid.positions)


def halogenated(name: str, halogen: str, bond: float) -> Atoms:
    """Return one of ASE's molecules with another halogen for chlorine, at a distance in Å from its carbon."""
    atoms = ase.build.molecule(name)
    (chlorine,) = (k for k, z in enumerate(atoms.numbers) if z == 17)
    distances = np.where(atoms.numbers == 6, atoms.get_distances(chlorine, range(len(atoms))), np.inf)
    carbon = int(np.argmin(distances))
    atoms.set_distance(carbon, chlorine, bond, fix=0)
    symbols = [halogen if k == chlorine else s for k, s in enumerate(atoms.symbols)]
    return Atoms(symbols, atoms.positions)


MOLECULES: dict[str, tuple[Any, QMSettings, dict[str, int]]] = {
    "ammonium": (lambda: centred("N", "H", 1.02), RHF, {"charge": 1}),
    "tetrafluoroborate": (lambda: centred("B", "F", 1.38), RHF, {"charge": -1}),
    "acetate": (acetate, RHF, {"charge": -1}),
    "methyl": (lambda: ase.build.molecule("CH3"), UHF, {"multiplicity": 2}),
    "hydroxyl": (lambda: ase.build.molecule("OH"), UHF, {"multiplicity": 2}),
    "nitrogen_dioxide": (lambda: ase.build.molecule("NO2"), UHF, {"multiplicity": 2}),
    "nitrogen_dioxide_rohf": (lambda: ase.build.molecule("NO2"), UHF, {"multiplicity": 2}),
    "oxygen": (lambda: ase.build.molecule("O2"), UHF, {"multiplicity": 3}),
    "allyl": (allyl, UHF, {"multiplicity": 2}),
    "iodomethane": (lambda: halogenated("CH3Cl", "I", 2.14), TZVP, {}),
    "bromoethane": (lambda: halogenated("CH3CH2Cl", "Br", 1.95), TZVP, {}),
}
"""Starting geometry, method and electrons of every molecule; the minimum of the one with _rohf is that of UHF."""


def start_of(name: str) -> Atoms:
    """Return a geometry near the minimum, with the electrons of the molecule in ``info``."""
    start, _, electrons = MOLECULES[name]
    atoms = start()
    return Atoms(atoms.symbols, atoms.positions, info=dict(electrons))


def make_set(name: str, out: Path) -> Path:
    """Write the samples of a molecule, unless they are there."""
    file = out / f"{name}.extxyz"
    if not file.exists():
        ase.io.write(file, thermal_samples(start_of(name), MOLECULES[name][1], N_SAMPLES), format="extxyz")
    return file


def main(out: Path, names: list[str]) -> None:
    """Make the sets, learn them, and print and write the errors."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in names or list(MOLECULES):
        settings = MOLECULES[name][1]
        if name.endswith("_rohf"):
            settings = settings.model_copy(update={"method": "ROHF"})
        config = build_config(
            {
                "structures": {"file": str(make_set(name, out))},
                "qm": settings.model_dump(exclude_none=True),
                "target": {"kind": "saph", "virtuals": "valence", "minimal_basis": "minao"},
                "model": {"features": {"kind": "bond_frame"}},
                "split": {"train": N_SAMPLES - N_TEST, "test": N_TEST, "seed": 0, "curve": [20, 40, 80, 160]},
            }
        )
        results = run(config, out / name, executor="local").results
        assert results is not None
        errors = [f"{results[key]:.3g}" for key in ("eigenvalue_rmse_mev", "gap_rmse_mev", "hamiltonian_rmse_mev")]
        rows.append([name, settings.method, *errors])
        print(*rows[-1], flush=True)
    with (out / "ions_and_radicals.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["molecule", "method", "levels_mev", "gap_mev", "matrix_mev"], *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
