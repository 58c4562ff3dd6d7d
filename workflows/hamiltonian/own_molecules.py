"""What does a first run on a few ordinary molecules give, with nothing but a file and a split?

Sets of two or three molecules of ASE's G2 collection, 60 samples each of the harmonic distribution at 300 K around the
minimum of RHF/def2-SVP; three quarters to learn from, a quarter to test on, all other settings as hamlearn chooses:

    python workflows/hamiltonian/own_molecules.py OUT [SET ...] [--executor local:2]

Sets and run folders go to OUT, the table of errors to OUT/own_molecules.csv: RMSE of levels and gap, the spread of
gaps inside each formula (of the test set), seconds of calculations and of everything after them, and memory.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import ase.build
import ase.io
from ase import Atoms
from thermal import thermal_samples

from hamlearn.config import QMSettings, build_config
from hamlearn.workflow import run

N_EACH = 60


def substituted(name: str, old: str, new: str) -> Atoms:
    """Return one of ASE's molecules with one element in place of another, stretched by a fifth to begin with."""
    atoms = ase.build.molecule(name)
    symbols = [new if symbol == old else symbol for symbol in atoms.symbols]
    return Atoms(symbols, 1.2 * atoms.positions)


SETS: dict[str, list[Atoms]] = {
    "amide_thiophene": [ase.build.molecule(name) for name in ("CH3CONH2", "C4H4S")],
    "alcohols_ethers": [ase.build.molecule(name) for name in ("CH3OH", "CH3CH2OH", "CH3OCH3")],
    "aromatics": [ase.build.molecule(name) for name in ("C4H4O", "C4H4NH", "C5H5N")],
    "chlorides": [ase.build.molecule(name) for name in ("CH3CH2Cl", "H2CCHCl", "CH3COCl")],
    "sulfur": [ase.build.molecule(name) for name in ("CH3SH", "CH2SCH2", "C2H6SO")],
    "phosphines": [ase.build.molecule("PH3"), *(substituted(name, "N", "P") for name in ("H3CNH2", "C2H6NH"))],
}


def make_set(name: str, out: Path) -> Path:
    """Write the samples of a set, molecule by molecule in turn, unless they are there."""
    file = out / f"{name}.extxyz"
    if not file.exists():
        molecules = [thermal_samples(start, QMSettings(), N_EACH) for start in SETS[name]]
        ase.io.write(file, [atoms for some in zip(*molecules, strict=True) for atoms in some], format="extxyz")
    return file


def learn(name: str, out: Path, executor: str) -> dict[str, Any]:
    """Run a set with what is chosen for it; return what its row says."""
    file = make_set(name, out)
    n_test = N_EACH * len(SETS[name]) // 4
    sections = {
        "structures": {"file": str(file)},
        "split": {"train": N_EACH * len(SETS[name]) - n_test, "test": n_test},
    }
    results = run(build_config(sections), out / name, executor=executor).results
    assert results is not None
    seconds = dict(results["seconds"])
    return {
        "set": name,
        "target": results["target"]["kind"],
        "delta": results["target"]["delta"],
        "levels_mev": results["eigenvalue_rmse_mev"],
        "gap_mev": results["gap_rmse_mev"],
        "gap_spread_mev": results["verdict"]["gap_spread_mev"],
        "calculations_s": seconds.pop("qm"),
        "after_s": sum(seconds.values()),
        "memory_gb": results["peak_memory_gb"],
    }


def main() -> None:
    """Make and learn the sets, and print and write the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--executor", default="local:2")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in arguments.sets or SETS:
        rows.append(learn(name, arguments.out, arguments.executor))
        print(*(f"{x:.3g}" if isinstance(x, float) else x for x in rows[-1].values()), flush=True)
    with (arguments.out / "own_molecules.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
