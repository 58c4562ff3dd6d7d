"""Learning curves of Hamiltonians: Wigner kernels and linear features side by side, with error bars and timings.

    python workflows/hamiltonian/learning_curves.py ethanol OUT [--target direct delta valence] [--model wigner ridge]
        [--train 50 100 200 500 1000] [--orders 3] [--active N] [--executor local:2]

Sets: ethanol (MD frames of Schütt et al. 2019, 500 test structures), qm7 (its CHNO molecules, 100 test molecules) and
water (200 test geometries), all RHF/def2-SVP, SAPH; training sets are nested and come first in a seeded permutation,
test sets come last. Targets: direct, delta (over the guess minao), and valence: delta with valence virtuals, which are
smooth where the lowest ones jump from molecule to molecule, but not canonical levels. HAMLEARN_BENCHMARK_DATA names the
folder of the sets. OUT gets qm/SET (calculations, continued if they are there), SET.csv with a row for every fit,
SET_*.npz with the errors and error bars of the test set, and the figures; kernels are there during a fit. Finished fits
are not done again. Seconds of targets after the first are without the kernels, which all targets share.
"""

import argparse
import csv
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from hamlearn import HamiltonianModel, QMSettings
from hamlearn.artifacts import written_atomically
from hamlearn.config import FeatureSettings, ModelSettings, TargetSettings, WignerSettings
from hamlearn.models.active_samples import ActiveBy, clipped_active
from hamlearn.models.domain import families_of, outside
from hamlearn.observables import calibration_metrics, errors_with_stds, metrics, reference_prediction
from hamlearn.plots import error_against_std, reliability, save_figure
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, GREEN, VERMILION, add_legend, log_ticks
from hamlearn.qm import Campaign, run_campaign
from hamlearn.structures.splits import split, training_orders
from hamlearn.targets import build_target
from hamlearn.testing.benchmark_data import benchmark_file

GUESS = ("minao",)
TARGETS = {
    "direct": TargetSettings(kind="saph"),
    "delta": TargetSettings(kind="saph", delta="minao"),
    "valence": TargetSettings(kind="saph", delta="minao", virtuals="valence"),
}


@dataclass(frozen=True)
class Set:
    """A set of structures and the settings that serve it, found by cross-validation on training structures.

    Kernel models of up to ``full`` structures hold all atoms and pairs in their basis, larger ones an active set:
    ``active`` of each kind, as far as there are so many.
    """

    file: str
    train: int
    test: int
    wigner: WignerSettings
    features: FeatureSettings
    full: int = 200
    elements: str = "CHNO"
    active: int | dict[str, int] = 2000
    active_by: ActiveBy = "farthest"


SETS = {
    "ethanol": Set(
        "ethanol_4500.extxyz",
        1000,
        500,
        WignerSettings(),
        FeatureSettings(cutoff_angstrom=4.5, max_l=4, max_n=4),
        active={"H": 3000, "C": 2000, "O": 1000, "H-H": 5000, "H-C": 3333, "H-O": 3000, "C-C": 1000, "C-O": 2000},
        active_by="structures",
    ),
    "qm7": Set(
        "qm7_original_7165.extxyz",
        900,
        100,
        WignerSettings(pair_cutoff_angstrom=10.0),
        FeatureSettings(cutoff_angstrom=4.5, max_l=4, max_n=4, pair_cutoff_angstrom=10.0),
        active=1000,
    ),
    "water": Set(
        "water_1000.extxyz",
        500,
        200,
        WignerSettings(max_l=6, smearing_angstrom=0.4, smearing_growth_angstrom=None),
        FeatureSettings(max_l=8),
        full=500,
    ),
}


def load(chosen: Set) -> list[Atoms]:
    """Return the structures of a set that are made of its elements."""
    atoms = read(benchmark_file(chosen.file), ":")
    return [a for a in atoms if set(a.get_chemical_symbols()) <= {"H", *chosen.elements}]


def fit_and_test(
    campaign: Campaign, atoms: list[Atoms], members: list[int], tests: list[int], model: HamiltonianModel, executor: str
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return figures and arrays of one fit; positions are those of ``atoms``."""
    train, test = ([build_target(campaign.load(k), model.target) for k in part] for part in (members, tests))
    start = time.perf_counter()
    model.fit([atoms[k] for k in members], train, print, f"{len(members)} structures", executor)
    fitted = time.perf_counter()
    sides = [(target.metric, target.baseline) for target in test]
    predictions = model.predict([atoms[k] for k in tests], executor, sides, std=model.model.error_bars)
    seconds = {"fit_seconds": fitted - start, "predict_seconds": time.perf_counter() - fitted}
    references = [reference_prediction(target) for target in test]
    row = metrics(predictions, references) | {"n_inside": len(tests)} | seconds
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    row["peak_memory_gb"] = peak * 1024e-9
    arrays = {}
    if model.model.error_bars:
        for name, (errors, stds) in errors_with_stds(predictions, references).items():
            arrays |= {f"{name}_errors_ev": errors, f"{name}_stds_ev": stds}
            row |= {f"{name}_{key}": value for key, value in calibration_metrics(errors, stds).items()}
    return row, arrays


def main() -> None:
    """Run what is not finished, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/hamiltonian"))
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=["direct", "delta"])
    parser.add_argument("--model", nargs="+", choices=["wigner", "ridge"], default=["wigner", "ridge"])
    parser.add_argument("--train", nargs="+", type=int, default=[50, 100, 200, 500, 1000])
    parser.add_argument("--test", type=int)
    parser.add_argument("--orders", type=int, default=1)
    parser.add_argument("--active", type=int, help="of each kind, farthest from each other; as found best for the set")
    parser.add_argument("--memory", type=float, default=8.0, help="GB")
    parser.add_argument("--executor", default="local")
    arguments = parser.parse_args()
    chosen = set_of(arguments.set, arguments.active)
    everything = load(chosen)
    training, last = split(len(everything), chosen.train, chosen.test, 0)
    test = last[: arguments.test or chosen.test]
    sizes = sorted({min(n, len(training)) for n in arguments.train})
    largest = sizes[-1]
    orders = training_orders(training, arguments.orders, 0)
    used = list(dict.fromkeys(int(k) for k in np.concatenate([*(order[:largest] for order in orders), test])))
    atoms = [everything[k] for k in used]
    position = {k: place for place, k in enumerate(used)}
    folder = arguments.out / "qm" / arguments.set
    campaign = run_campaign(atoms, QMSettings(), folder, guess_focks=GUESS, executor=arguments.executor, echo=print)
    table = arguments.out / f"{arguments.set}.csv"
    for kind in arguments.model:
        for n in sizes:
            for order, members in enumerate(orders[:1] if n == len(training) else orders):  # all orders of all are one
                train, tests = ([position[int(k)] for k in part] for part in (members[:n], test))
                scratch = arguments.out / "kernels" / f"{arguments.set}_{n}_{order}"
                for target in arguments.target:  # all of them share the kernels
                    name = {"target": target, "model": kind, "n_train": n, "order": order, "n_test": len(test)}
                    name |= {"active": active_of(chosen, kind, n)}
                    if done(table, name):
                        continue
                    model = new_model(chosen, target, kind, [atoms[k] for k in train], arguments.memory, scratch)
                    inside = inside_of(atoms, train, tests)
                    row, arrays = fit_and_test(campaign, atoms, train, inside, model, arguments.executor)
                    stem = stem_of(arguments.set, name)
                    np.savez(arguments.out / f"{stem}.npz", test=[used[k] for k in inside], **arrays)
                    add_row(table, name | row)
                    print(stem, ", ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
                    draw(table, arguments.out, arguments.set, active_of(chosen))
                shutil.rmtree(scratch, ignore_errors=True)
    draw(table, arguments.out, arguments.set, active_of(chosen))


def set_of(name: str, active: int | None) -> Set:
    """Return a set, with so many farthest atoms and pairs of a kind in its active sets if a number is given."""
    return SETS[name] if active is None else replace(SETS[name], active=active, active_by="farthest")


def active_of(chosen: Set, kind: str = "wigner", n: int | None = None) -> int | str:
    """Return what tells an active set of a fit of n structures from others; empty where there is none."""
    if kind == "ridge" or (n is not None and n <= chosen.full):
        return ""
    return chosen.active if isinstance(chosen.active, int) else chosen.active_by


def new_model(
    chosen: Set, target: str, kind: str, train: Sequence[Atoms], memory_gb: float, scratch: Path
) -> HamiltonianModel:
    """Return the model of one fit."""
    basis = {"basis": "full"} if kind == "wigner" else {}
    if active_of(chosen, kind, len(train)):
        active = clipped_active(chosen.active, train)
        basis = {"basis": "sparse", "active": active, "active_by": chosen.active_by}
    settings = ModelSettings(kind=kind, memory_gb=memory_gb, error_bars=True, **basis)
    return HamiltonianModel(QMSettings(), TARGETS[target], chosen.features, chosen.wigner, settings, scratch)


def inside_of(atoms: list[Atoms], train: list[int], tests: list[int]) -> list[int]:
    """Return the test structures whose pairs of elements the training set holds."""
    known = families_of([atoms[k] for k in train])
    inside = [k for k in tests if not outside(atoms[k].numbers, known)]
    if len(inside) < len(tests):
        print(f"{len(tests) - len(inside)} test structures hold pairs of elements not in the training set")
    return inside


def stem_of(name: str, row: Mapping[str, object]) -> str:
    """Return the name of the files of a fit of a set."""
    parts = [name, *(row[key] for key in ("target", "model", "n_train", "order")), row["active"]]
    return "_".join(str(part) for part in parts if part != "")


def read_rows(table: Path) -> list[dict[str, str]]:
    """Return the finished fits."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return [{"active": "", **row} for row in csv.DictReader(file)]


def done(table: Path, name: dict[str, object]) -> bool:
    """Return whether a fit is finished."""
    return any(all(row[key] == str(value) for key, value in name.items()) for row in read_rows(table))


def add_row(table: Path, row: dict[str, object]) -> None:
    """Write a finished fit at once."""
    rows = [*read_rows(table), row]
    names = list(dict.fromkeys(key for each in rows for key in each))
    with written_atomically(table) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def draw(table: Path, out: Path, name: str, active: int | str) -> None:
    """Draw learning curves of levels and gap, and error bars of the largest Wigner model of each target.

    Of the sparse models those with this active set are drawn.
    """
    rows = [row for row in read_rows(table) if row["active"] in ("", str(active))]
    for target in sorted({row["target"] for row in rows}):
        own = [row for row in rows if row["target"] == target]
        figure, (panels,) = new_panels(1, 2, 9.0, 3.8)
        for ax, key, label in zip(panels, ("eigenvalue_rmse_mev", "gap_rmse_mev"), ("levels", "gap"), strict=True):
            for kind, colour in (("wigner", BLUE), ("ridge", VERMILION)):
                points = [(int(row["n_train"]), float(row[key])) for row in own if row["model"] == kind]
                sizes = sorted({n for n, _ in points})
                if sizes:
                    means = [np.mean([v for m, v in points if m == n]) for n in sizes]
                    ax.plot(sizes, means, color=colour, marker="o", label=kind)
                    ax.plot(*zip(*points, strict=True), color=colour, marker=".", linestyle="none", alpha=0.5)
            ax.set(xscale="log", yscale="log", xlabel="training structures", ylabel=f"RMSE of the {label} / meV")
            ticks = sorted({int(row["n_train"]) for row in own})
            ax.set_xticks(ticks, [str(n) for n in ticks])
            ax.minorticks_off()
            log_ticks(ax.yaxis, [float(row[key]) for row in own])
            add_legend(ax)
        save_figure(figure, out / f"{name}_{target}_learning_curve.png")
        largest = [row for row in own if row["model"] == "wigner"]
        if largest:
            draw_error_bars(max(largest, key=lambda row: int(row["n_train"])), out, name, target)


def draw_error_bars(row: dict[str, str], out: Path, name: str, target: str) -> None:
    """Draw errors of the gap against their error bars, and the reliability of both kinds of error bars."""
    stem = stem_of(name, row)
    with np.load(out / f"{stem}.npz") as data:
        arrays = {key: 1e3 * data[key] for key in data.files if key.endswith("_ev")}
    figure, ((left, right),) = new_panels(1, 2, 9.0, 4.0)
    error_against_std(left, arrays["gap_errors_ev"], arrays["gap_stds_ev"], "gap / meV")
    for kind, colour in (("gap", VERMILION), ("levels", GREEN)):
        reliability(right, arrays[f"{kind}_errors_ev"], arrays[f"{kind}_stds_ev"], kind, colour)
    save_figure(figure, out / f"{name}_{target}_error_bars.png")


if __name__ == "__main__":
    main()
