"""How predictions in the frames of bonds grow with the length of alkanes: time in parts, memory, one core.

    OMP_NUM_THREADS=1 python benchmarks/alkanes.py RECORDS [--train 10] [--longest 60] [--repeats 5]

Trained on distorted alkanes C1 ... C4 (RHF/def2-SVP, SAPH); RECORDS keeps their calculations, which are continued.
Predicted one by one are all-trans chains of ideal bonds, also distorted, so that nothing is symmetric. Times are
processor times, medians of repeats after a first call. Exponents are those of lines through the logarithms. Memory is
what predictions add at their peak to the resident set of a process of their own (Linux).
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from ase import Atoms

import hamlearn
from hamlearn.blocks import assemble_matrices
from hamlearn.errors import FarPairsWarning
from hamlearn.job import SILENT
from hamlearn.structures import distort
from hamlearn.structures.families import numbers_of

CARBON, HYDROGEN, ANGLE = 1.53, 1.09, np.radians(112.5)  # C-C and C-H, Å; C-C-C
SPREAD, HALF_HCH = 0.04, np.radians(53.5)  # of the distortion, Å
LENGTHS = [*range(1, 21), 30, 40, 60, 100, 200]
SMALLEST, LONGEST = 20, 62  # atoms of hexane and of C20
IN_MEMORY = [(5, 1), (10, 1), (20, 1), (40, 1), (60, 1), (10, 16), (10, 64), (10, 256)]  # carbons, molecules


def alkane(n: int) -> Atoms:
    """Return C_n H_2n+2, all-trans, its carbons in the plane x, z along x."""
    step = CARBON * np.array([np.sin(ANGLE / 2), 0.0, np.cos(ANGLE / 2)])
    chain = np.array([[k * step[0], 0.0, (k % 2) * step[2]] for k in range(n)])
    side = HYDROGEN * np.array([0.0, np.sin(HALF_HCH), np.cos(HALF_HCH)])
    hydrogens = []
    for k, x in enumerate(chain):
        away = 1.0 if k % 2 else -1.0  # from the bonds of this carbon
        hydrogens += [x + side * [0, sign, away] for sign in (1, -1)]
    ends = [(0, -1.0), (n - 1, 1.0)]
    for k, along in ends:  # where the chain would go on
        hydrogens.append(chain[k] + HYDROGEN / CARBON * step * [along, 0, -1 if k % 2 else 1])
    return Atoms(["C"] * n + ["H"] * len(hydrogens), np.vstack([chain, hydrogens]))


def trained(records: Path, per_length: int) -> hamlearn.HamiltonianModel:
    """Return a model of short alkanes."""
    rng = np.random.default_rng(0)
    known = [distort(alkane(n), SPREAD, rng) for _ in range(per_length) for n in range(1, 5)]
    campaign = hamlearn.run_campaign(known, hamlearn.QMSettings(), records, executor="serial", echo=print)
    targets = [hamlearn.build_target(campaign.load(k), hamlearn.SaphTarget()) for k in range(len(known))]
    features = hamlearn.FeatureSettings(kind="bond_frame")
    return hamlearn.HamiltonianModel(model=hamlearn.RidgeSettings(features=features)).fit(known, targets)


def parts_of(model: hamlearn.HamiltonianModel, atoms: Atoms) -> dict[str, Callable[[], object]]:
    """Return a prediction and what it consists of."""
    learner, task, numbers = model.learner_, model.task_, numbers_of([atoms])
    answers = learner.predict([atoms], SILENT)
    blocks = task.decode(answers, numbers)
    (matrix,) = assemble_matrices(blocks, numbers, task.orbitals)
    return {
        "all": lambda: model.predict([atoms])[0].eigenvalues_ev,
        "blocks": lambda: learner.predict([atoms], SILENT),
        "matrix": lambda: assemble_matrices(task.decode(answers, numbers), numbers, task.orbitals),
        "levels": lambda: np.linalg.eigvalsh(matrix),
    }


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of a call, the first one apart."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return float(np.median(times))


def megabytes(folder: str, n: int, copies: int) -> float:
    """Return what predictions of alkanes add to the resident set at its peak; of a process of its own."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FarPairsWarning)
    model, rng = hamlearn.load_model(folder), np.random.default_rng(2)
    model.predict([distort(alkane(2), SPREAD, rng)])
    molecules = [distort(alkane(n), SPREAD, rng) for _ in range(copies)]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _resident("VmRSS")
    model.predict(molecules)
    return _resident("VmHWM") - before


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def times(model: hamlearn.HamiltonianModel, longest: int, repeats: int) -> None:
    """Print the time of every length in parts, and exponents."""
    rng, rows = np.random.default_rng(1), []
    print(f"\n{'':6}{'atoms':>6}{'pairs':>7}{'all, ms':>10}{'blocks':>10}{'matrix':>10}{'levels':>10}")
    for n in (n for n in LENGTHS if n <= longest):
        atoms = distort(alkane(n), SPREAD, rng)
        distances = atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
        n_pairs = int((distances < model.learner_.pair_cutoff).sum())
        rows.append([len(atoms), n_pairs, *(seconds(part, repeats) for part in parts_of(model, atoms).values())])
        print(f"C{n:<5}{len(atoms):6d}{n_pairs:7d}" + "".join(f"{1e3 * t:10.2f}" for t in rows[-1][2:]), flush=True)
    for last in (LONGEST, rows[-1][0]):
        x = np.log([row for row in rows if SMALLEST <= row[0] <= last])
        slopes = [np.polyfit(x[:, 0], y, 1)[0] for y in x[:, 1:].T]
        print(f"exponents, {SMALLEST} to {last:3d} atoms" + ": pairs, all, blocks, matrix, levels", end=" ")
        print(", ".join(f"{slope:.2f}" for slope in slopes))


def memory(model: hamlearn.HamiltonianModel) -> None:
    """Print the peak of predictions, each in a process of its own."""
    if not Path("/proc/self/clear_refs").exists():
        print("memory: this system does not tell its peaks")
        return
    print(f"\n{'':6}{'atoms':>6}{'molecules':>11}{'MB':>8}{'MB per atom':>13}")
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder, ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        path = str(Path(folder) / "model")
        model.save(path)
        for n, copies in IN_MEMORY:
            peak, n_atoms = pool.submit(megabytes, path, n, copies).result(), 3 * n + 2
            print(f"C{n:<5}{n_atoms:6d}{copies:11d}{peak:8.0f}{peak / n_atoms / copies:13.2f}", flush=True)


def main() -> None:
    """Train, then time and weigh."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--train", type=int, default=10, help="distorted molecules of every length")
    parser.add_argument("--longest", type=int, default=60, help="carbons")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FarPairsWarning)  # of pairs beyond the cut-off, of which there are many
    model = trained(arguments.records, arguments.train)
    times(model, arguments.longest, arguments.repeats)
    memory(model)


if __name__ == "__main__":
    main()
