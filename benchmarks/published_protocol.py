"""Full Fock matrices of PBE/def2-SVP in the metrics of published networks, beside a plain baseline.

    HAMLEARN_BENCHMARK_DATA=FOLDER python benchmarks/published_protocol.py {water,ethanol} RECORDS [--train 80 1000]
        [--test 100] [--model bond_frame aligned] [--memory 6] [--executor local:2]

FOLDER holds water_1000.extxyz and ethanol_4500.extxyz; RECORDS keeps the calculations, which are continued. Metrics are
those of QHNet and QHFlow: mean absolute error of all elements of the matrix, and of the occupied levels, uEh; mean
cosine similarity of the occupied orbitals. The baseline is kernel ridge regression of the whole matrix, turned with
the molecule into the frame of a reference (Kabsch), on the nuclear potentials Z / r between all atoms: atoms keep their
order, and on one nearly rigid molecule it is as good as anything. A figure counts where it is beaten.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

import hamlearn
from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_rotation
from hamlearn.observables.prediction import Prediction
from hamlearn.regression.alphas import choose_alphas
from hamlearn.regression.folds import random_folds
from hamlearn.regression.full import RegularisedKernel
from hamlearn.structures import split
from hamlearn.targets.target import Target
from hamlearn.testing.benchmark_data import benchmark_file

FILES = {"water": "water_1000.extxyz", "ethanol": "ethanol_4500.extxyz"}
ALPHAS = tuple(10.0**k for k in range(-14, 0))
WIDTHS = (1.0, 3.0, 10.0, 30.0)
"""Of the Gaussian of the baseline, in units of the spread of its descriptors; chosen by cross-validation."""


def main() -> None:
    """Calculate what is missing, then fit, predict and print a row for every model and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=FILES)
    parser.add_argument("records", type=Path)
    parser.add_argument("--train", nargs="+", type=int, default=[80])
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--memory", type=float, default=6.0, help="GB")
    parser.add_argument("--executor", default="local:2")
    arguments = parser.parse_args()
    everything = hamlearn.read_structures(benchmark_file(FILES[arguments.set]))
    train, test = split(len(everything), max(arguments.train), arguments.test, seed=0)
    atoms = [everything[k] for k in [*train, *test]]
    qm, target = hamlearn.QMSettings(method="RKS", xc="pbe"), hamlearn.TargetSettings(kind="fock")
    campaign = hamlearn.run_campaign(atoms, qm, arguments.records, executor=arguments.executor, echo=print)
    targets = [hamlearn.build_target(campaign.load(k), target) for k in range(len(atoms))]
    print("model train  H/uEh  occupied/uEh  cosine  gap/mEh  fit/s  ms each  GB")
    for name in arguments.model:
        for n in arguments.train:
            known, asked = (atoms[:n], targets[:n]), (atoms[len(train) :], targets[len(train) :])
            start = time.perf_counter()
            predict = MODELS[name](*known, arguments.memory)
            fitted = time.perf_counter()
            predictions = predict(*asked)
            seconds = fitted - start, 1e3 * (time.perf_counter() - fitted) / len(asked[0])
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-9
            figures = errors(predictions, asked[1])
            print(name, n, *(f"{x:.4g}" for x in (*figures, *seconds, peak)), flush=True)


def errors(predictions: Sequence[Prediction], targets: Sequence[Target]) -> tuple[float, float, float, float]:
    """Return MAE of elements and of occupied levels, uEh, cosine similarity of occupied orbitals, MAE of gaps, mEh."""
    elements, levels, cosines, gaps = [], [], [], []
    for found, target in zip(predictions, targets, strict=True):
        known = hamlearn.observables.reference_prediction(target)
        elements.append(np.abs(found.hamiltonian - known.hamiltonian).mean())
        occupied = known.occupied
        levels.append(np.abs(found.eigenvalues_ev - known.eigenvalues_ev)[occupied].mean())
        a, b = (p.orbitals[:, occupied] for p in (found, known))
        cosines.append(np.abs((a * b).sum(axis=0) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)).mean())
        gaps.append(abs(found.gap_ev - known.gap_ev))
    ev = 1 / hamlearn.units.HARTREE_EV
    return 1e6 * np.mean(elements), 1e6 * ev * np.mean(levels), float(np.mean(cosines)), 1e3 * ev * np.mean(gaps)


def bond_frame(atoms: Sequence[Atoms], targets: Sequence[Target], memory_gb: float):
    """Return predictions by features in the frames of bonds."""
    settings = hamlearn.RidgeSettings(features=hamlearn.FeatureSettings(kind="bond_frame"), memory_gb=memory_gb)
    target = hamlearn.TargetSettings(kind="fock")
    model = hamlearn.HamiltonianModel(hamlearn.QMSettings(method="RKS", xc="pbe"), target, settings)
    model.fit(atoms, targets)
    return lambda new, labels: model.predict(new, sides=[(t.metric, t.baseline) for t in labels])


def aligned(atoms: Sequence[Atoms], targets: Sequence[Target], memory_gb: float):
    """Return predictions by kernel ridge regression of aligned molecules."""
    reference, orbitals = atoms[0], Orbitals.merge(t.orbitals for t in targets)
    turns = [frame(orbitals, a, reference) for a in atoms]
    y = np.array([(t @ target.matrix @ t.T).ravel() for t, target in zip(turns, targets, strict=True)])
    x, mean, folds = np.array([potentials(a) for a in atoms]), y.mean(axis=0), random_folds(len(atoms), 5)
    spread = np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean())
    best = (np.inf, 0.0, 0.0)  # error, width, alpha
    for width in WIDTHS:
        k = np.exp(-cdist(x, x, "sqeuclidean") / (2 * (width * spread) ** 2))

        def error(alpha: float, k: np.ndarray = k) -> np.ndarray:
            return np.array([np.abs(RegularisedKernel(k, alpha).residuals(y - mean, folds)).mean()])

        (alpha,), (least,) = choose_alphas(error, 1, ALPHAS)
        best = min(best, (float(least), width, alpha))
    _, width, alpha = best
    k = np.exp(-cdist(x, x, "sqeuclidean") / (2 * (width * spread) ** 2))
    weights = RegularisedKernel(k, alpha).weights(y - mean)

    def predict(new: Sequence[Atoms], labels: Sequence[Target]) -> list[Prediction]:
        out = []
        for a, label in zip(new, labels, strict=True):
            near = np.exp(-cdist([potentials(a)], x, "sqeuclidean") / (2 * (width * spread) ** 2))
            t = frame(orbitals, a, reference)
            matrix = t.T @ (near @ weights + mean).reshape(t.shape) @ t
            known = hamlearn.observables.reference_prediction(label)
            out.append(Prediction(known.numbers, matrix, label.metric, known.n_occupied, orbitals))
        return out

    return predict


def potentials(atoms: Atoms) -> np.ndarray:
    """Return Z_j / r_ij of all ordered pairs."""
    distances = atoms.get_all_distances() + np.diag(np.full(len(atoms), np.inf))
    return (atoms.numbers / distances).ravel()


def frame(orbitals: Orbitals, atoms: Atoms, reference: Atoms) -> np.ndarray:
    """Return what turns matrices as the atoms are turned on those of the reference, by least squares."""
    there, here = (a.positions - a.positions.mean(axis=0) for a in (reference, atoms))
    rotation, _ = Rotation.align_vectors(there, here)
    return ao_rotation(orbitals, atoms.numbers, rotation.as_matrix())


MODELS = {"bond_frame": bond_frame, "aligned": aligned}

if __name__ == "__main__":
    main()
