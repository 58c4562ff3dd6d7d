"""Speed of the kernels of atoms and pairs that all blocks of a Hamiltonian need, beside matrix products of that core.

    python benchmarks/pair_kernels.py [REPEATS]

One core. Kernels of all (L, sigma) of a SAPH between structures, default settings, a table row for every kind of
samples. HAMLEARN_BENCHMARK_DATA names the folder of ethanol_4500.extxyz; without it the shipped waters are used.
The last line is one JSON object.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import sys
from functools import partial
from pathlib import Path

import torch
from ase.io import read
from wigner import in_turn

from hamlearn.config import SaphTarget, WignerSettings
from hamlearn.kernels import BlockKernel
from hamlearn.learning.groups import family_name
from hamlearn.learning.tasks import targets_of
from hamlearn.learning.tiles import wanted_of
from hamlearn.o3 import node_integrals
from hamlearn.targets import target_orbitals

ROWS, COLUMNS = 6, 60  # structures


def main() -> None:
    torch.set_num_threads(1)
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = os.environ.get("HAMLEARN_BENCHMARK_DATA")
    shipped = Path(__file__).parents[1] / "data" / "water.extxyz"
    file = Path(folder) / "ethanol_4500.extxyz" if folder else shipped
    atoms = read(file, f":{ROWS + COLUMNS}")
    orbitals = target_orbitals(SaphTarget(), "def2-SVP", sorted(set(atoms[0].numbers.tolist())))
    kernel = BlockKernel(WignerSettings()).fit(atoms)
    centres = kernel.centres(atoms)
    rows, columns = centres.part(0, ROWS)[0], centres.part(ROWS, ROWS + COLUMNS)[0]
    wanted = {f: irreps for f, irreps in wanted_of(targets_of(orbitals)).items() if centres.count(f)}
    kinds: dict[str, dict] = {}
    for family, irreps in wanted.items():
        kinds.setdefault(family_name(family), {})[family] = irreps
    runs = {name: partial(kernel.between, rows, columns, own) for name, own in kinds.items()}
    runs |= {"all": partial(kernel.between, rows, columns, wanted)}
    best, gflops = in_turn(runs, repeats)
    print(f"{file.name}, {ROWS} x {COLUMNS} structures; matrix products: {gflops:.1f} GFlop/s on one core")
    print(f"compiled loop: {'yes' if node_integrals.is_compiled() else 'no'}\n")
    print(f"{'samples':<10}{'numbers':>9}{'ms per pair of structures':>28}{'us per pair of samples':>26}")
    for name, own in {**kinds, "all": wanted}.items():
        numbers = sum((2 * L + 1) ** 2 for irreps in own.values() for L, _ in irreps)
        pairs = sum(rows.count(f) * columns.count(f) for f in own if f.kind != "minus")
        each = 1e3 * best[name] / (ROWS * COLUMNS)
        print(f"{name:<10}{numbers:>9}{each:>28.3f}{1e6 * best[name] / pairs:>26.2f}")
    figures = {f"{name}_ms": round(1e3 * t / (ROWS * COLUMNS), 4) for name, t in best.items()}
    print(json.dumps({"gemm_gflops": round(gflops, 1), **figures}))


if __name__ == "__main__":
    main()
