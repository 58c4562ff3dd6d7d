"""One ethanol at a time: predictions in the frames of bonds against PySCF and other models, one core, in one run.

    HAMLEARN_BENCHMARK_DATA=FOLDER OMP_NUM_THREADS=1 python benchmarks/bond_frame.py RECORDS [--train 100] [--scf 3]
        [--model bond_frame coupled process process_float32]

FOLDER holds ethanol_4500.extxyz; RECORDS keeps the calculations of training, which are continued. Times are those of
the processor, which other jobs on the machine change least: the least and the median of single calls that end with the
levels, matrix, diagonalisation and all. PySCF calculations are those of the same molecules, without checkpoint files;
the larger method is a single one. Ratios are of medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from pyscf import dft, gto, scf

import hamlearn
from hamlearn.structures import split
from hamlearn.testing.benchmark_data import benchmark_file
from hamlearn.types import FloatArray

MODELS = {
    "bond_frame": lambda: hamlearn.RidgeSettings(features=hamlearn.FeatureSettings(kind="bond_frame"), memory_gb=6),
    "coupled": lambda: hamlearn.RidgeSettings(
        features=hamlearn.FeatureSettings(cutoff_angstrom=4.5, max_l=4, max_n=4), memory_gb=6
    ),
    "process": lambda: hamlearn.KernelRidgeSettings(kernel=hamlearn.BondFrameKernel(), basis="full", memory_gb=6),
    "process_float32": lambda: hamlearn.KernelRidgeSettings(
        kernel=hamlearn.BondFrameKernel(precision="float32"), basis="full", memory_gb=6
    ),
}


def main() -> None:
    """Time PySCF, then every model, and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--train", type=int, default=100)
    parser.add_argument("--scf", type=int, default=3, help="molecules that PySCF calculates")
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    everything = hamlearn.read_structures(benchmark_file("ethanol_4500.extxyz"))
    train, test = split(len(everything), 1000, 100, seed=0)
    known, asked = ([everything[k] for k in part] for part in (train[: arguments.train], test))
    campaign = hamlearn.run_campaign(known, hamlearn.QMSettings(), arguments.records, executor="serial", echo=print)
    targets = [hamlearn.build_target(campaign.load(k), hamlearn.SaphTarget()) for k in range(len(known))]
    few = asked[: arguments.scf]
    references = {
        "RHF/def2-SVP": np.median(seconds(rhf, few)),
        "density-fitted RHF/def2-SVP": np.median(seconds(lambda atoms: rhf(atoms, fitted=True), few)),
        "B3LYP/def2-TZVP": np.median(seconds(b3lyp, few[:1])),
    }
    for name, value in references.items():
        print(f"{name}: {value:.3g} s")
    for name in arguments.model:
        model = hamlearn.HamiltonianModel(model=MODELS[name]())
        start = time.process_time()
        model.fit(known, targets)
        fitted = time.process_time() - start
        each = seconds(lambda atoms, model=model: model.predict([atoms])[0].eigenvalues_ev, asked)
        many = seconds(lambda _, model=model: [p.eigenvalues_ev for p in model.predict(asked)], asked[:3]) / len(asked)
        median = np.median(each)
        ratios = ", ".join(f"{value / median:.0f} times {reference}" for reference, value in references.items())
        print(
            f"{name}: fit {fitted:.1f} s, one prediction {1e3 * each.min():.2f} (median {1e3 * median:.2f}) ms, one of "
            f"{len(asked)} {1e3 * many.min():.2f} ms; {ratios}",
            flush=True,
        )


def seconds(work: Callable[[Atoms], object], molecules: Sequence[Atoms]) -> FloatArray:
    """Return the processor time of every call, s, the first one apart [molecule]."""
    work(molecules[0])
    times = []
    for atoms in molecules:
        start = time.process_time()
        work(atoms)
        times.append(time.process_time() - start)
    return np.array(times)


def molecule(atoms: Atoms, basis: str) -> gto.Mole:
    """Return a molecule of PySCF."""
    geometry = list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True))
    return gto.M(atom=geometry, basis=basis, verbose=0)


def rhf(atoms: Atoms, fitted: bool = False) -> float:
    """Return the energy of RHF/def2-SVP."""
    calculation = scf.RHF(molecule(atoms, "def2-svp"))
    calculation = calculation.density_fit() if fitted else calculation
    calculation.chkfile = None
    return float(calculation.kernel())


def b3lyp(atoms: Atoms) -> float:
    """Return the energy of B3LYP/def2-TZVP."""
    calculation = dft.RKS(molecule(atoms, "def2-tzvp"))
    calculation.xc, calculation.chkfile = "b3lypg", None
    return float(calculation.kernel())


if __name__ == "__main__":
    main()
