"""What the demonstrations share: a model that saw one benzene with a random Hamiltonian, RHF/STO-3G, tables."""

import csv
import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np

from hamlearn import (
    FeatureSettings,
    FockTarget,
    HamiltonianModel,
    QMSettings,
    RidgeSettings,
    SaphTarget,
    Target,
    build_target,
    molecule,
)
from hamlearn.observables import reference_prediction
from hamlearn.qm import run_scf
from hamlearn.targets import target_orbitals
from hamlearn.units import BOHR_ANGSTROM

MODEL = RidgeSettings(features=FeatureSettings(cutoff_angstrom=6.0, pair_cutoff_angstrom=6.5))
BASIS = QMSettings().basis  # its C 2s, 2p and H 1s are the 30 orbitals
STO_3G = QMSettings(basis="STO-3G", conv_tol=1e-12)


def fit_random_benzene(seed=0):
    """Return benzene, a random symmetric matrix of its 30 orbitals, Hartree, and the model trained on this one pair."""
    benzene = molecule("benzene")
    orbitals = target_orbitals(SaphTarget(), BASIS, [1, 6])
    n_ao = orbitals.n_ao(benzene.numbers)
    raw = np.random.default_rng(seed).random((n_ao, n_ao))
    raw = raw + raw.T
    target = Target(benzene.numbers, raw, None, orbitals, n_occupied=15)
    return benzene, raw, HamiltonianModel(model=MODEL).fit([benzene], [target])


def rhf_sto3g(atoms):
    """Return the Fock matrix of RHF/STO-3G with its overlap, and what follows from it."""
    record = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, STO_3G)
    return reference_prediction(build_target(record, FockTarget()))


def options():
    """Return the parser of the command line of every script: --help says what it does, OUT is its folder."""
    parser = ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("out", nargs="?", type=Path, default="runs/symmetry", help="folder of figures and tables")
    return parser


def new_output(given):
    """Return the folder that parsed arguments name, which is made."""
    given.out.mkdir(parents=True, exist_ok=True)
    return given.out


def output_folder():
    """Return the folder named on the command line of a script without other options."""
    return new_output(options().parse_args())


def write_table(path, rows):
    """Print rows as a table and write them as CSV."""
    names = list(rows[0])
    text = [[f"{v:.6g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(len(line[k]) for line in [names, *text]) for k in range(len(names))]
    for line in [names, *text]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *(row.values() for row in rows)])


def check_jahn_teller(rows):
    """Fail unless E levels split linearly along e2g, their mean and single levels stay, and nothing else splits."""
    for row in rows:
        if row["mode"] != "E2g":
            right = row["largest"] < 1e-7
        else:
            still = max(row["largest |mean slope|, E levels"], row["single levels"])
            right = row["least splitting slope"] > 0.1 and still < 1e-4
        if not right:
            raise SystemExit(f"{row['source']} along {row['mode']} does not split as symmetry wants: {row}")
