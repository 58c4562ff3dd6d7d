"""Learning curves of the published sets of the Wigner-kernel papers, mean over seeds, beside the published figures.

    python workflows/property/published_sets.py SET [OUT] [--sizes 100 200 500] [--seeds 0 1 2] [--test 1000]

SET is one of methane, qm9_energy, qm9_dipole, water_dipole, water_polarizability_0, water_polarizability_2.
HAMLEARN_BENCHMARK_DATA names the folder of the files. Widths of the Gaussians, the mixture of orders and the
regulariser are chosen by cross-validation inside every training set. OUT gets SET.csv and SET.png.
"""

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from hamlearn.config import KernelRidgeSettings, KernelSettings, PropertyTarget
from hamlearn.learning.choice import grid_of
from hamlearn.model.property import PropertyModel
from hamlearn.observables.properties import property_metrics
from hamlearn.plots import save_figure
from hamlearn.plots.learning import learning_curve
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, VERMILION
from hamlearn.targets.labels import read_labels
from hamlearn.testing.benchmark_data import benchmark_file

KCAL_PER_HARTREE = 627.5094740631
DEBYE_PER_AU = 2.541746473


@dataclass(frozen=True)
class PublishedSet:
    """A file, a property of it and how it is learned; errors are multiplied by ``factor`` to give ``unit``.

    Molecules with an element of ``leave_out``, or a property larger than ``largest``, take no part; kernels are chosen
    on the first ``chosen_on``.
    """

    file: str
    target: PropertyTarget
    kernel: dict[str, object]
    grid: dict[str, list[float | None]]
    loss: str
    unit: str
    factor: float
    sizes: tuple[int, ...]
    published: str
    leave_out: frozenset[int] = frozenset()
    chosen_on: int = 500
    largest: float = float("inf")


MOLECULE = {"cutoff_angstrom": 5.0, "smearing_angstrom": 0.03, "smearing_growth_angstrom": 1.0, "decay_angstrom": 1.0,
            "element_likeness": 3.0}  # fmt: skip
WATER = {"cutoff_angstrom": 4.0, "smearing_angstrom": 0.3, "smearing_growth_angstrom": None}
SETS = {
    "methane": PublishedSet(
        "methane_random_10000.extxyz",
        PropertyTarget(key="energy_hartree", unit="hartree"),
        {"cutoff_angstrom": 6.0},
        {"smearing_angstrom": [0.5, 0.6, 0.7], "smearing_growth_angstrom": [4.0, 5.0]},
        "rmse",
        "kcal/mol",
        KCAL_PER_HARTREE,
        (50, 100, 200, 500),
        "RMSE 7.514 kcal/mol at 500",
    ),
    "qm9_energy": PublishedSet(
        "qm9_b3lyp_6000.extxyz",
        PropertyTarget(key="u0", unit="hartree"),
        MOLECULE,
        {"smearing_angstrom": [0.02, 0.03, 0.05]},
        "mae",
        "kcal/mol",
        KCAL_PER_HARTREE,
        (125, 250, 500),
        "MAE 1.665 kcal/mol at 500",
        frozenset({9}),
        150,
    ),
    "qm9_dipole": PublishedSet(
        "qm9_orca_10000.extxyz",
        PropertyTarget(key="mu_mp2_au", l=1),
        MOLECULE,
        {"smearing_angstrom": [0.05, 0.1], "decay_angstrom": [1.0, 3.0]},
        "mae",
        "debye",
        DEBYE_PER_AU,
        (50, 100, 200, 500),
        "a figure: about the error of lambda-SOAP for few structures, below it for many",
        frozenset({9}),
        100,
        4.0,  # 18 molecules, most of them zwitterions: with one of 12.5 au, 200 molecules predict worse than 100
    ),
    "water_dipole": PublishedSet(
        "water_1000.extxyz", PropertyTarget(key="dipole_au", l=1), WATER, {"smearing_angstrom": [0.2, 0.3, 0.5]},
        "rmse", "e bohr", 1.0, (10, 25, 50, 100, 200, 500), "none", chosen_on=50,
    ),
    "water_polarizability_0": PublishedSet(
        "water_1000.extxyz", PropertyTarget(key="polarizability_au"), WATER, {"smearing_angstrom": [0.2, 0.3, 0.5]},
        "rmse", "bohr^3", 1.0, (10, 25, 50, 100, 200, 500), "none", chosen_on=50,
    ),
    "water_polarizability_2": PublishedSet(
        "water_1000.extxyz", PropertyTarget(key="polarizability_au", l=2), WATER,
        {"smearing_angstrom": [0.2, 0.3, 0.5]}, "rmse", "bohr^3", 1.0, (10, 25, 50, 100, 200), "none", chosen_on=50,
    ),
}  # fmt: skip


def structures_of(chosen: PublishedSet) -> list[Atoms]:
    """Return the molecules of a set."""
    every = read(benchmark_file(chosen.file), ":")
    known = [atoms for atoms in every if not chosen.leave_out & set(atoms.numbers.tolist())]
    return [atoms for atoms in known if not np.linalg.norm(atoms.info.get(str(chosen.target.key), 0)) > chosen.largest]


def fit(chosen: PublishedSet, kernel: KernelSettings, train: list[Atoms]) -> PropertyModel:
    """Return a model whose mixture and regulariser are chosen by cross-validation."""
    settings = KernelRidgeSettings(kernel=kernel, folds=10, loss=chosen.loss, memory_gb=8.0)  # type: ignore[arg-type]
    return PropertyModel(chosen.target, settings).fit(train)


def one_size(chosen: PublishedSet, train: list[Atoms], test: list[Atoms]) -> dict[str, float | str]:
    """Choose a kernel, fit, and return errors on the test set."""
    start = time.perf_counter()
    options = grid_of(KernelSettings(**chosen.kernel, grid=chosen.grid))  # type: ignore[arg-type]
    tried = [fit(chosen, option, train[: chosen.chosen_on]) for option in options]
    fitted = min(tried, key=lambda model: model.hyperparameters_["cv_error"])
    kernel = fitted.learner_.kernel
    if len(train) > chosen.chosen_on:
        fitted = fit(chosen, kernel, train)
    errors = property_metrics(fitted.predict(test), read_labels(test, chosen.target), chosen.target)
    scaled = {name: value * chosen.factor for name, value in errors.items()}
    return {
        **scaled,
        "cv_error": fitted.hyperparameters_["cv_error"] * fitted.task_.scale * chosen.factor,
        "kernel": " ".join(f"{name}={getattr(kernel, name)}" for name in chosen.grid),
        "b": fitted.hyperparameters_["b"],
        "seconds": time.perf_counter() - start,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/published"))
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--test", type=int, default=1000)
    given = parser.parse_args()
    chosen = SETS[given.set]
    structures, sizes = structures_of(chosen), given.sizes or list(chosen.sizes)
    n_test = min(given.test, len(structures) - max(sizes))
    rows = []
    for seed in given.seeds:
        order = np.random.default_rng(seed).permutation(len(structures))
        test = [structures[k] for k in order[len(order) - n_test :]]
        for n in sizes:
            result = one_size(chosen, [structures[k] for k in order[:n]], test)
            rows.append({"n_train": n, "order": seed, **result})
            print(
                f"{given.set} seed {seed} n {n}: RMSE {result['value_rmse']:.4g}, MAE {result['value_mae']:.4g} "
                f"{chosen.unit} (spread {result['value_spread']:.4g}, cross-validated {result['cv_error']:.4g}; "
                f"{result['kernel']}, b {result['b']:.3g}; {result['seconds']:.0f} s)",
                flush=True,
            )
    write(given.out, given.set, rows, chosen)


def write(out: Path, name: str, rows: list[dict[str, float | str]], chosen: PublishedSet) -> None:
    """Write the table and the figure, and print means over seeds."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    figure, ((ax,),) = new_panels(1, 1, 5.5, 4.5)
    curves = (("value_rmse", "RMSE", BLUE, "o"), ("value_mae", "MAE", VERMILION, "^"))
    learning_curve(ax, rows, curves, chosen.unit)
    save_figure(figure, out / f"{name}.png")
    for n in sorted({row["n_train"] for row in rows}):
        rmse, mae = (np.mean([r[e] for r in rows if r["n_train"] == n]) for e in ("value_rmse", "value_mae"))
        print(f"{name} n {n}: mean RMSE {rmse:.4g}, MAE {mae:.4g} {chosen.unit}; published: {chosen.published}")


if __name__ == "__main__":
    main()
