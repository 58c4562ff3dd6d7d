"""Energies and forces of the rMD17 molecules, official split 01: learning curves of both bases.

    python workflows/property/rmd17.py MOLECULE [OUT] [--derivatives 50 100] [--sparse 50 100 200 500 1000]
                                       [--active 4000] [--test 1000]

The basis of derivatives holds energies and all forces of its training structures; the sparse one holds active
environments, at most ACTIVE, shared among the elements as the atoms are. Training structures are the first of the
split's training set, all TEST structures are of its test set. HAMLEARN_BENCHMARK_DATA names the folder that holds
rmd17/MOLECULE.npz. OUT gets rmd17_MOLECULE.csv and .png; finished sizes are not computed again.
"""

import argparse
import csv
import time
from collections import Counter
from pathlib import Path

import numpy as np
from ase import Atoms

from hamlearn.config import KernelRidgeSettings, KernelSettings, PropertyTarget
from hamlearn.model.property import PropertyModel
from hamlearn.plots import save_figure
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, VERMILION
from hamlearn.testing.benchmark_data import benchmark_file

# widths by cross-validation on 20 training structures of ethanol, the same for all molecules
KERNEL = KernelSettings(cutoff_angstrom=5.0, smearing_angstrom=0.2, smearing_growth_angstrom=2.0)
TARGET = PropertyTarget(key="energy_ev", unit="eV", forces_key="forces_ev_angstrom", baseline="mean")
PUBLISHED = {"ethanol": (5.9, 30.8), "malonaldehyde": (8.9, 43.8), "benzene": (0.131, 1.31)}  # meV, meV/Å


def structures(name: str, part: str) -> list[Atoms]:
    """Return the structures of one part of the split with their labels."""
    data = np.load(benchmark_file(f"rmd17/{name}.npz"), allow_pickle=False)
    out = []
    for x, energy, forces in zip(
        *(data[f"{part}_{k}"] for k in ("positions", "energy_eV", "forces_eV_A")), strict=True
    ):
        atoms = Atoms(data["numbers"], x)
        atoms.info["energy_ev"] = float(energy)
        atoms.arrays["forces_ev_angstrom"] = np.asarray(forces, dtype=np.float64)
        out.append(atoms)
    return out


def active_of(train: list[Atoms], most: int) -> dict[str, int]:
    """Share active environments among the elements as the atoms are."""
    count = Counter(symbol for atoms in train for symbol in atoms.get_chemical_symbols())
    total = sum(count.values())
    return {symbol: max(1, min(n, round(n * most / total))) for symbol, n in count.items()}


def errors(train: list[Atoms], test: list[Atoms], basis: str, active: int) -> dict[str, float]:
    """Fit and return errors on the test set, meV and meV/Å."""
    start = time.perf_counter()
    active_counts = active_of(train, active) if basis == "sparse" else None
    settings = KernelRidgeSettings(kernel=KERNEL, basis=basis, active=active_counts, memory_gb=8.0)  # type: ignore[arg-type]
    model = PropertyModel(TARGET, settings).fit(train)
    fitted = time.perf_counter()
    predicted = model.predict(test, forces=True)
    energy = np.array([p.value for p in predicted]) - [atoms.info["energy_ev"] for atoms in test]
    force = np.stack([p.forces for p in predicted]) - [atoms.arrays["forces_ev_angstrom"] for atoms in test]
    return {
        "energy_mae_mev": 1e3 * float(np.abs(energy).mean()),
        "force_mae_mev_angstrom": 1e3 * float(np.abs(force).mean()),
        "energy_rmse_mev": 1e3 * float(np.sqrt((energy**2).mean())),
        "force_rmse_mev_angstrom": 1e3 * float(np.sqrt((force**2).mean())),
        "active": 0 if active_counts is None else sum(active_counts.values()),
        "b": model.hyperparameters_["b"],
        "fit_seconds": fitted - start,
        "predict_ms_per_structure": 1e3 * (time.perf_counter() - fitted) / len(test),
    }


def known(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table that was begun."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(out: Path, name: str, rows: list[dict[str, str]]) -> None:
    """Draw errors of energies and forces against the number of training structures."""
    figure, (axes,) = new_panels(1, 2, 9, 4)
    panels = (("energy_mae_mev", "energy MAE / meV"), ("force_mae_mev_angstrom", "force MAE / meV/Å"))
    for ax, (key, label), published in zip(axes, panels, PUBLISHED.get(name, (None, None)), strict=True):
        for basis, colour, marker in (("derivatives", VERMILION, "^"), ("sparse", BLUE, "o")):
            points = sorted((int(row["n_train"]), float(row[key])) for row in rows if row["basis"] == basis)
            if points:
                ax.plot(*zip(*points, strict=True), color=colour, marker=marker, label=basis)
        if published:
            ax.axhline(published, color="grey", linestyle=":", label="published")
        ax.set(xscale="log", yscale="log", xlabel="training structures", ylabel=label, title=name)
        ax.legend(frameon=False)
    save_figure(figure, out / f"rmd17_{name}.png")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("molecule")
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/published"))
    parser.add_argument("--derivatives", nargs="*", type=int, default=[50, 100])
    parser.add_argument("--sparse", nargs="*", type=int, default=[50, 100, 200, 500, 1000])
    parser.add_argument("--active", type=int, default=4000)
    parser.add_argument("--test", type=int, default=1000)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    table = given.out / f"rmd17_{given.molecule}.csv"
    rows = known(table)
    train, test = (structures(given.molecule, part) for part in ("train", "test"))
    wanted = [("derivatives", n) for n in given.derivatives] + [("sparse", n) for n in given.sparse]
    for basis, n in wanted:
        settings = {"basis": basis, "n_train": str(n), "most_active": str(given.active), "n_test": str(given.test)}
        if any(row.items() >= settings.items() for row in rows):
            continue
        result = errors(train[:n], test[: given.test], basis, given.active)
        rows.append({**settings, **{key: f"{value:.6g}" for key, value in result.items()}})
        print(f"{given.molecule} " + ", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        draw(given.out, given.molecule, rows)
    print(f"published energy and force MAE: {PUBLISHED.get(given.molecule, 'none')} meV, meV/Å")


if __name__ == "__main__":
    main()
