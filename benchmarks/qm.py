"""Wall time of a campaign of waters beside bare PySCF kernels and on one and two cores.

    python benchmarks/qm.py [N] [REPEATS]

Reads water_1000.extxyz of the folder $HAMLEARN_BENCHMARK_DATA if set, else the waters shipped in data/. Every line is
the best of REPEATS runs, all measured in turn, so that a busy machine disturbs them alike. RHF/def2-SVP, 1e-10.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ase import Atoms
from pyscf import gto, lib, scf
from pyscf.scf import hf
from threadpoolctl import threadpool_limits

from hamlearn.config import QMSettings
from hamlearn.qm import run_campaign
from hamlearn.structures import read_structures

SETTINGS = QMSettings()


def waters(n: int) -> list[Atoms]:
    folder = os.environ.get("HAMLEARN_BENCHMARK_DATA")
    path = Path(folder) / "water_1000.extxyz" if folder else Path(__file__).parent.parent / "data" / "water.extxyz"
    unique = {atoms.positions.tobytes(): atoms for atoms in read_structures(path)}
    return list(unique.values())[:n]


def bare(structures: list[Atoms], checkpoint_file: bool) -> None:
    hf.MUTE_CHKFILE = not checkpoint_file
    for atoms in structures:
        pairs = list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True))
        mole = gto.M(atom=pairs, basis=SETTINGS.basis, verbose=0)
        scf.RHF(mole).run(conv_tol=SETTINGS.conv_tol)


def campaign(structures: list[Atoms], executor: str) -> None:
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        result = run_campaign(structures, SETTINGS, folder, executor=executor)
    if result.failures:
        raise SystemExit(f"failed: {dict(result.failures)}")


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    structures = waters(n)
    runs: dict[str, Callable[[], None]] = {
        "bare PySCF": lambda: bare(structures, checkpoint_file=True),
        "bare PySCF without checkpoint file": lambda: bare(structures, checkpoint_file=False),
        "campaign, serial": lambda: campaign(structures, "serial"),
        "campaign, local:1": lambda: campaign(structures, "local:1"),
        "campaign, local:2": lambda: campaign(structures, "local:2"),
    }
    lib.num_threads(1)
    with threadpool_limits(1):
        bare(structures[:1], checkpoint_file=True)  # imports and caches
        taken = [{name: seconds(run) for name, run in runs.items()} for _ in range(repeats)]
    best = {name: min(row[name] for row in taken) for name in runs}
    print(f"{len(structures)} waters, best of {repeats}")
    for name, value in best.items():
        print(f"{name:<38}{value:8.2f} s{1e3 * value / len(structures):8.1f} ms each")
    for name in ("bare PySCF", "bare PySCF without checkpoint file"):
        print(f"overhead of the serial campaign over {name}: {best['campaign, serial'] / best[name] - 1:+.0%}")
    print(f"two cores / one core: {best['campaign, local:2'] / best['campaign, local:1']:.3f}")


if __name__ == "__main__":
    main()
