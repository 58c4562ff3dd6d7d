"""Densities, features and products beside those of featomic and e3nn: identical work, one thread, in one run.

    HAMLEARN_BENCHMARK_DATA=FOLDER OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 python benchmarks/side_by_side.py
        [--molecules 200] [--repeats 2]

FOLDER holds ethanol_4500.extxyz and qm7_original_7165.extxyz. ``make install`` brings featomic; e3nn is used by no part
of hamlearn: ``pip install --no-deps e3nn opt_einsum opt_einsum_fx`` leaves torch as it is. What is not installed is
left out. Densities: 4.5 Å, l <= 4, 8 radial functions of Gaussian type, each element of neighbours by itself; g_ij
within 6 Å; L <= 2; of featomic with the same radial functions, as splines. Times are processor times per molecule, the
best of repeats taken in turn; from geometries on, and from densities on for products. Numbers are those that are made;
featomic makes pairs in both directions. Deviations are relative, of scalar products of all features, which depend
neither on order nor on signs; factors of normalisation are fitted, and what hamlearn has beside (the intercept, single
densities) with them.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from side_by_side_hamlearn import OUTPUTS, Molecules, Ours, Work

import hamlearn
from hamlearn.testing.benchmark_data import benchmark_file

FILES = {"ethanol": "ethanol_4500.extxyz", "QM7": "qm7_original_7165.extxyz"}
AT_ONCE = 10
"""Molecules in one call."""


def measured(works: Sequence[Work], molecules: Molecules, repeats: int) -> None:
    """Print numbers and times of every work, hamlearn and the library in turn."""
    lots = [molecules[k : k + AT_ONCE] for k in range(0, len(molecules), AT_ONCE)]
    for work in works:
        runs = {who: run for who, run in (("ours", work.ours), ("theirs", work.theirs)) if run is not None}
        made = {who: sum(np.asarray(x).size for lot in lots for x in run(lot)) for who, run in runs.items()}
        best = dict.fromkeys(runs, float("inf"))
        for _ in range(repeats):
            for who, run in runs.items():
                start = time.process_time()
                for lot in lots:
                    run(lot)
                best[who] = min(best[who], time.process_time() - start)
        line = f"{work.name:<40}"
        for who in ("ours", "theirs"):
            n, t = made.get(who, 0), best.get(who, 0.0)
            line += f"{n / len(molecules):10.0f}{1e3 * t / len(molecules):9.3f}{1e9 * t / n:8.1f}" if n else " " * 27
        if len(runs) == 2:
            ratio = best["theirs"] / best["ours"]
            line += f"{ratio:7.1f}{ratio * made['ours'] / made['theirs']:7.1f}"
            line += "" if np.isnan(work.deviation) else f"{work.deviation:9.0e}"
        print(line.rstrip(), flush=True)


def main() -> None:
    """Measure both sets of molecules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # that of e3nn
    warnings.filterwarnings("ignore", message="overflow encountered in dot")  # when featomic makes its splines
    there = [name for name in ("featomic", "e3nn") if has(name)]
    for name, file in FILES.items():
        everything = hamlearn.read_structures(benchmark_file(file))
        chosen = np.linspace(0, len(everything) - 1, arguments.molecules).astype(int)
        molecules = [everything[k] for k in chosen]
        ours = Ours(molecules)
        elements = sorted({int(z) for atoms in molecules for z in atoms.numbers})
        columns = "".join(f"{who:>10}{'ms':>9}{'ns each':>8}" for who in ("numbers", "library's"))
        print(f"\n{f'{len(molecules)} molecules of {name}':<40}{columns}{'ratio':>7}{'each':>7}{'off':>9}")
        bond_frame = [
            Work("bond frame: contracted variables", ours.variables),
            Work("bond frame: monomials to degree 4", ours.monomials),
            Work(f"bond frame: {OUTPUTS} weighted sums of each |M|", ours.sums),
        ]
        works = []
        if "featomic" in there:
            from side_by_side_featomic import Featomic

            works += Featomic(elements).works(ours, molecules)
        if "e3nn" in there:
            from side_by_side_e3nn import E3nn

            library = E3nn(ours, molecules)
            works += library.works(molecules)
            bond_frame.append(Work("four densities of H, channel-wise", theirs=library.their_powers))
        measured([*works, *bond_frame], molecules, arguments.repeats)


def has(library: str) -> bool:
    """Return whether a library is installed, and say so if not."""
    found = importlib.util.find_spec(library) is not None
    if not found:
        print(f"{library} is not installed: left out")
    return found


if __name__ == "__main__":
    main()
