"""Gold-like clusters of 5 to 13 atoms from molecular dynamics at high temperature with the EMT potential of ASE.

    python workflows/wigner/make_clusters.py data/gold_clusters.extxyz             # the shipped 300, 3 minutes
    python workflows/wigner/make_clusters.py runs/gold_1500.extxyz --number 1500

Every cluster has its own trajectory and its own random numbers: the first of a longer file are those of a shorter one.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.optimize import FIRE
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform

SIZES = range(5, 14)
KELVIN, STEP_FS, FRICTION_PER_FS = 1500.0, 5.0, 0.02
STEPS, MORE_STEPS = 200, 50  # before a geometry is taken: 20 times the memory of the thermostat; between tries
CLOSEST, LONGEST_BOND = 2.0, 3.6  # Å
VOLUME = 17.0  # Å^3 per atom, that of the solid


def random_cluster(n_atoms, rng):
    """Return n atoms in a sphere of the solid's density, no two closer than 2.1 Å, relaxed for some steps."""
    radius = (3 * n_atoms * VOLUME / (4 * np.pi)) ** (1 / 3)
    positions = np.empty((0, 3))
    while len(positions) < n_atoms:
        point = rng.uniform(-radius, radius, 3)
        if np.linalg.norm(point) < radius and (np.linalg.norm(positions - point, axis=1) > 2.1).all():
            positions = np.vstack([positions, point])
    atoms = Atoms(f"Au{n_atoms}", positions, calculator=EMT())
    FIRE(atoms, logfile=None).run(fmax=0.5, steps=50)
    return atoms


def is_cluster(atoms):
    """Whether the atoms hang together and none are too close."""
    distances = squareform(pdist(atoms.positions))
    together = connected_components(distances < LONGEST_BOND)[0] == 1
    return together and pdist(atoms.positions).min() >= CLOSEST


def labelled(atoms):
    """Return the geometry as it is written, around its centre, with energy (eV) and forces (eV/Å)."""
    positions = (atoms.positions - atoms.positions.mean(axis=0)).round(8) + 0.0  # no minus zeros
    copy = Atoms(atoms.symbols, positions, calculator=EMT())
    energy, forces = copy.get_potential_energy(), copy.get_forces()
    copy.calc = None
    copy.info = {"energy_ev": float(energy)}
    copy.arrays["forces_ev_angstrom"] = forces
    return copy


def cluster(index, seed):
    """Return the cluster of this number: the end of a Langevin trajectory of its own."""
    rng = np.random.default_rng([seed, index])
    atoms = random_cluster(SIZES[index % len(SIZES)], rng)
    step, friction = STEP_FS * units.fs, FRICTION_PER_FS / units.fs
    dynamics = Langevin(atoms, step, temperature_K=KELVIN, friction=friction, fixcm=False, rng=rng)
    dynamics.run(STEPS)
    for _ in range(100):
        if is_cluster(atoms):
            return labelled(atoms)
        dynamics.run(MORE_STEPS)
    raise SystemExit(f"cluster {index} evaporates; lower the temperature")


def main():
    """Write the clusters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where to write, .extxyz")
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.file.parent.mkdir(parents=True, exist_ok=True)
    clusters = [cluster(index, given.seed) for index in range(given.number)]
    ase.io.write(given.file, clusters)
    closest = min(pdist(atoms.positions).min() for atoms in clusters)
    per_atom = [atoms.info["energy_ev"] / len(atoms) for atoms in clusters]
    print(
        f"{len(clusters)} clusters of {SIZES[0]} to {SIZES[-1]} atoms, closest atoms {closest:.2f} Å, "
        f"energy {np.mean(per_atom):.3f} ± {np.std(per_atom):.3f} eV/atom, {given.file.stat().st_size / 1000:.0f} kB"
    )


if __name__ == "__main__":
    main()
