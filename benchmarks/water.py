"""Fit, predict and compare with PySCF on water: seconds, memory and ratios, all in one run.

    HAMLEARN_BENCHMARK_DATA=FOLDER python benchmarks/water.py [--kind saph] [--max-l 8] [--train 800] [--test 200]

FOLDER holds water_1000.extxyz; without the variable the 500 waters of data/ are used (400 / 100). The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("saph", "lowdin", "fock"), default="saph")
    parser.add_argument("--max-l", type=int, default=8)
    parser.add_argument("--train", type=int, default=None)
    parser.add_argument("--test", type=int, default=None)
    parser.add_argument("--records", type=Path, help="folder to keep the PySCF records in (default: a new one)")
    arguments = parser.parse_args()

    import hamlearn
    from hamlearn.structures import split

    folder = os.environ.get("HAMLEARN_BENCHMARK_DATA")
    shipped = Path(__file__).parent.parent / "data" / "water.extxyz"
    structures = hamlearn.read_structures(Path(folder) / "water_1000.extxyz" if folder else shipped)
    n_train = arguments.train or (800 if folder else 400)
    n_test = arguments.test or (200 if folder else 100)
    train, test = split(len(structures), n_train, n_test, seed=0)
    qm, target = hamlearn.QMSettings(), hamlearn.TargetSettings(kind=arguments.kind)
    settings = hamlearn.RidgeSettings(features=hamlearn.FeatureSettings(max_l=arguments.max_l))
    with tempfile.TemporaryDirectory() as temporary:
        records = arguments.records or Path(temporary)
        campaign = hamlearn.run_campaign(structures, qm, records, executor="local", echo=print)
        targets = [hamlearn.build_target(campaign.load(k), target) for k in range(len(structures))]

    model = hamlearn.HamiltonianModel(qm, target, settings)
    fit_seconds, _ = clock(lambda: model.fit([structures[k] for k in train], [targets[k] for k in train]))
    tested = [structures[k] for k in test]
    model.predict(tested[:2])
    predict_seconds, predictions = clock(lambda: model.predict(tested))
    spectra_seconds, _ = clock(lambda: [p.eigenvalues_ev for p in predictions])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    pyscf_seconds = bare_pyscf(tested[:40]) / 40
    per_molecule = (predict_seconds + spectra_seconds) / n_test
    errors = hamlearn.metrics(predictions, [targets[k] for k in test])
    figures = {
        "kind": arguments.kind,
        "max_l": arguments.max_l,
        "n_train": n_train,
        "n_test": n_test,
        "cores": len(os.sched_getaffinity(0)),
        "fit_s": fit_seconds,
        "predict_s": predict_seconds + spectra_seconds,
        "peak_memory_gb": peak,
        "pyscf_ms_per_molecule": 1e3 * pyscf_seconds,
        "prediction_ms_per_molecule": 1e3 * per_molecule,
        "times_faster_than_pyscf": pyscf_seconds / per_molecule,
        "import_hamlearn_s": import_seconds(),
        "eigenvalue_rmse_mev": errors["eigenvalue_rmse_mev"],
    }
    for name, value in figures.items():
        print(f"{name:28s} {value if isinstance(value, (str, int)) else format(value, '.4g')}")
    print(json.dumps(figures))


def clock(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def bare_pyscf(structures) -> float:
    """Seconds of plain PySCF RHF kernels with all cores, one warm-up apart."""
    from pyscf import scf

    from hamlearn.qm import build_mole
    from hamlearn.units import BOHR_ANGSTROM

    def kernel(atoms):
        field = scf.RHF(build_mole(atoms.numbers, atoms.positions / BOHR_ANGSTROM, "def2-SVP"))
        field.conv_tol = 1e-10
        field.kernel()

    kernel(structures[0])
    return clock(lambda: [kernel(atoms) for atoms in structures])[0]


def import_seconds() -> float:
    """Median of five fresh `import hamlearn`, without the start of Python."""
    code = "import time; t = time.perf_counter(); import hamlearn; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return float(np.median([float(run.stdout) for run in runs]))


if __name__ == "__main__":
    main()
