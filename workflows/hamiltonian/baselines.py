"""How far the levels of guesses are from converged ones, and what a guess costs: what is left for a model to learn.

    python workflows/hamiltonian/baselines.py SET [OUT] [--structures 100] [--timed 5] [--executor local:2]

OUT gets qm/SET (calculations of test structures, shared with learning_curves.py) and baselines.csv, a row for every
guess: mean and standard deviation of the errors of occupied valence levels, LUMO and gap (a mean is learned at once, a
scatter is not), root mean square element of the delta SAPH, how many LUMOs it does not keep, and the processor time of
a guess over that of the SCF it replaces, of TIMED structures. Finished rows are not computed again.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.linalg import eigvalsh
from study import BASELINES, SETS, TARGETS, Set, add_row, calculate, done, load

from hamlearn.qm import QMRecord, build_mole, guess_fock, run_scf
from hamlearn.structures.splits import split
from hamlearn.targets import build_target
from hamlearn.targets.minimal_basis import n_core
from hamlearn.targets.virtual_levels import NO_LUMO
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV, HARTREE_MEV


def main() -> None:
    """Compare the guesses with the converged calculations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/hamiltonian"))
    parser.add_argument("--structures", type=int, default=100)
    parser.add_argument("--timed", type=int, default=5)
    parser.add_argument("--executor", default="local")
    arguments = parser.parse_args()
    chosen, table = SETS[arguments.set], arguments.out / "baselines.csv"
    everything = load(chosen)
    last = split(len(everything), chosen.train, chosen.test, 0)[1][: arguments.structures]
    atoms = [everything[k] for k in last]
    campaign, usable = calculate(chosen, atoms, arguments.out / "qm" / arguments.set, arguments.executor)
    records = [campaign.load(k) for k in usable.tolist()]
    for guess in BASELINES:
        name = {"set": arguments.set, "guess": guess, "structures": len(records)}
        if done(table, name):
            continue
        cost = relative_cost(chosen, [atoms[k] for k in usable[: arguments.timed]], guess)
        row = name | errors_of(records, guess) | {"cost": cost}
        add_row(table, row)
        print(", ".join(f"{key} {value:.3g}" if key not in name else f"{key} {value}" for key, value in row.items()))


def errors_of(records: Sequence[QMRecord], guess: str) -> dict[str, float]:
    """Return means and standard deviations of errors, eV, rms of the delta, meV, and how many LUMOs are not kept."""
    errors: dict[str, list[float]] = {"occupied": [], "lumo": [], "gap": []}
    targets = [build_target(record, TARGETS[guess]) for record in records]
    for record in records:
        levels = eigvalsh(record.guess_focks[guess], record.overlap) - record.orbital_energies
        n, core = int(record.occupations.sum()) // 2, sum(n_core(int(number)) for number in record.numbers)
        errors["occupied"] += levels[core:n].tolist()
        errors["lumo"].append(levels[n])
        errors["gap"].append(levels[n] - levels[n - 1])
    elements = np.concatenate([target.matrix.ravel() for target in targets])
    row = {"delta_rms_mev": float(HARTREE_MEV * np.sqrt(np.mean(elements**2)))}
    for key, values in errors.items():
        found = HARTREE_EV * np.array(values)
        row |= {f"{key}_mean_ev": float(found.mean()), f"{key}_std_ev": float(found.std())}
    flags = [target.diagnostics.flags for target in targets if target.diagnostics is not None]
    return row | {"lumo_not_kept": sum(NO_LUMO in each for each in flags)}


def relative_cost(chosen: Set, atoms: Sequence[Atoms], guess: str) -> float:
    """Return the processor time of a guess's Fock matrix over that of the calculation it replaces."""
    warm = [times(chosen, structure, guess) for structure in (atoms[0], *atoms)][1:]  # the first also loads data
    of_guess, of_scf = np.sum(warm, axis=0)
    return float(of_guess / of_scf)


def times(chosen: Set, structure: Atoms, guess: str) -> tuple[float, float]:
    """Return processor times of the guess's Fock matrix and of the calculation, s."""
    positions = structure.positions / BOHR_ANGSTROM
    start = time.process_time()
    guess_fock(build_mole(structure.numbers, positions, chosen.qm.basis), chosen.qm, guess)
    between = time.process_time()
    run_scf(structure.numbers, positions, chosen.qm)
    return between - start, time.process_time() - between


if __name__ == "__main__":
    main()
